"""What is promised of a statement: how many rows and pages it touches on a table of any size.

Rows are those of ``oban_jobs`` that its plan hands on or throws away, pages those of 8 kB that it touches,
whatever they hold. A statement without a bound reads what it is asked about, each row once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pgjobs.effects import Effect
from pgjobs.leading import Fence
from pgjobs.rules.job import Job
from pgjobs_testing.conformance.given import NOW

KEY = "oban_jobs_pkey"
STATES = "oban_jobs_state_queue_priority_scheduled_at_id_index"
STAGING = "oban_jobs_staging_index"
UNIQUE = "pgjobs_jobs_unique"
COMPLETED, CANCELLED, DISCARDED = FINISHED = tuple(
    f"oban_jobs_{state}_at_index" for state in ("completed", "cancelled", "discarded")
)

BATCH = 200
"""Jobs of one claim, settlement or insert."""
DAY = timedelta(days=1)
LEASE = Fence("default", "leader", 1, NOW)
"""Held in every table."""


@dataclass(frozen=True)
class There:
    """What is in a table: a batch that executes, one that waits in a queue, a job of the large group."""

    executing: tuple[Job, ...]
    waiting: tuple[Job, ...]
    grouped: Job


@dataclass(frozen=True)
class Case:
    """A statement (or the few of an effect), made of what is there, and the promise.

    ``places`` ask for it, as ``file:function:effect``. ``heads`` of index ranges are sought past what is
    dead there. ``rest``: how much is read where there is no bound. A ``running`` one reads what executes.
    An ``own`` one is sent over a connection of the store's alone.
    """

    effect: Callable[[There], Effect[Any]]
    indexes: tuple[str, ...] = ()
    rows: int | None = None
    pages: int | None = None
    heads: int = 0
    rest: str = ""
    running: bool = False
    own: bool = False
    places: tuple[str, ...] = ()


Cases = Mapping[str, Case]
