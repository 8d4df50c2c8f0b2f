"""What an invariant sees: one effect, the ledger as it stands, and the facts; and how it raises an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from pgjobs.rules.job import Job
from pgjobs_testing.invariants.facts import Facts
from pgjobs_testing.invariants.ledger import Ledger
from pgjobs_testing.nodes.watching import Alarm, AlarmError

MANY = 10
"""Ids that an alarm shows of a longer list."""
CLIENT = "-"
"""The node of what a client did."""


@dataclass(slots=True)
class Sight:
    """The effect of ``node`` that took place at ``now`` by the world's clock, with its answer.

    Its kind is known to whoever the table lists for it. Of a claim ``took`` are the ids of what it took, and
    ``queue`` is the queue that it is of; None for all queues. ``by_name``: it asks for certain jobs.
    ``late``: its node was told before that it has failed, and goes by that.
    """

    facts: Facts
    ledger: Ledger
    node: str
    effect: Any
    answer: Any
    now: datetime
    late: bool = False
    took: tuple[int, ...] = ()
    queue: str | None = None
    by_name: bool = False

    def alarm(self, invariant: str, seen: str, *jobs: int) -> NoReturn:
        """Stop the world."""
        by = "a client" if self.node == CLIENT else f"node {self.node}"
        seen = f"{seen} ({type(self.effect).__name__} of {by})"
        raise AlarmError(Alarm(invariant, seen, self.now, jobs))


def few(ids: Sequence[int]) -> str:
    """The first of many jobs, and how many these are."""
    shown = ", ".join(map(str, ids[:MANY]))
    return f"[{shown}]" if len(ids) <= MANY else f"[{shown}, ...: {len(ids)}]"


def named(row: Job) -> str:
    """A job as alarms speak of it."""
    return f"job {row.id} ({row.worker}, {row.state}, attempt {row.attempt} of {row.max_attempts})"
