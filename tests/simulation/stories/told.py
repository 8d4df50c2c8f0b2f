"""Which histories break which invariant, and what many of them begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pgjobs.effects import Insert, Transition
from pgjobs.plugins import Cron, Pruner, Stalled
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.job import Job, NewJob
from tests.simulation.story import SECOND, Story

BROKEN: list[tuple[str, Callable[[], None]]] = []
"""The name of an invariant, and a history whose last effect breaks it."""
PLUGINS = (Stalled(), Pruner(max_age=300), Cron([("* * * * *", NewJob("task", {}))]))
KEY = f"default:{PLUGINS[2].entries[0].key}"
"""The entry as the store knows it."""
MINUTE = 60 * SECOND


def breaks(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """The function tells a history whose last effect breaks the invariant ``name``."""

    def named(history: Callable[[], None]) -> Callable[[], None]:
        BROKEN.append((name, history))
        return history

    return named


def running(story: Story, **given: Any) -> Job:
    """A job that was inserted and claimed, on a node that is up."""
    story.up()
    story.insert(**given)
    (job,) = story.claim()
    return job


def claimed_instead(job: Job, like: Job) -> Job:
    """``job`` as if it had been claimed as ``like`` was."""
    return replace(
        job,
        state=like.state,
        attempt=1,
        attempted_by=like.attempted_by,
        attempted_at=like.attempted_at,
    )


def rogue_insert(story: Story, new: NewJob | None = None) -> Any:
    return Insert((new or NewJob("task", {}),), story.now)


def transition_of(job: Job, change: lifecycle.Change) -> Any:
    return Transition(selection.by_id(job.id), change, 1)
