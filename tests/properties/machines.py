"""Machines over the whole of the engine: every kind of queue, workers that end as they are told."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from hypothesis import strategies as st

from pgjobs import Queue, RateLimit, Unique
from pgjobs_testing import JobsMachine
from pgjobs_testing.properties import facts
from pgjobs_testing.properties.instants import spans
from pgjobs_testing.properties.machine import REPLACED

QUEUES = {
    "default": Queue(2),
    "slow": Queue(3, rate_limit=RateLimit(allowed=2, period=30)),
    "few": Queue(3, global_concurrency=2),
    "held": Queue(1, paused=True),
}


class InMemory(JobsMachine):
    """Every kind of queue, in memory."""

    queues = QUEUES
    mode = "manual"


class OnPostgres(InMemory):
    """The same, on a real server."""

    mode = "postgres"


class Dense(InMemory):
    """Few kinds of jobs, that often meet: what is wrong with the engine shows soon."""

    queues = {
        "default": Queue(1),
        "slow": Queue(5, rate_limit=RateLimit(allowed=1, period=30)),
        "held": QUEUES["held"],
    }

    def job_options(self) -> st.SearchStrategy[dict[str, Any]]:
        plain: dict[str, st.SearchStrategy[Any]] = {
            "queue": self.queue(),
            "priority": st.integers(0, 2),
            "max_attempts": st.integers(1, 3),
            "schedule_in": spans(60),
        }
        unique = {"unique": st.sampled_from([Unique(fields=["worker"]), Unique(fields=["queue"])])}
        replaced = {"replace": st.just({"scheduled": REPLACED, "available": ("scheduled_at",)})}
        return st.fixed_dictionaries({}, optional=plain) | st.fixed_dictionaries(
            unique, optional=plain | replaced
        )


class Counting(Dense):
    """Counts what happened in all examples: what never does is not tested."""

    seen: ClassVar[Counter[str]] = Counter()

    def note(self, fact: facts.Fact) -> None:
        self.seen[type(fact).__name__] += 1
        match fact:
            case facts.Inserted(answer=answer):
                self.seen[answer.came_of] += 1
            case facts.Settled(endings=endings):
                for ending in endings:
                    self.seen[ending.word if ending.counted else "late"] += 1
            case facts.Changed(word=word, ids=ids):
                self.seen[f"by hand: {word}"] += len(ids)

    def judge(self, fact: facts.Fact) -> None:
        self.note(fact)
        before = {row.id: row.state for row in self.model.jobs.values()}
        super().judge(fact)
        for row in self.model.jobs.values():
            if isinstance(fact, facts.Settled) and row.state == "cancelled":
                settled = [ending.id for ending in fact.endings]
                if before.get(row.id, "cancelled") != "cancelled" and row.id not in settled:
                    self.seen["cancelled with its group"] += 1
