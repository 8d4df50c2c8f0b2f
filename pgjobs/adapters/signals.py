"""What a store tells its listeners of each effect, and whether there is more that only a poll would tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pgjobs import effects, leading
from pgjobs.effects import Effect, Insert, Poll, Polled, Settle, Transition
from pgjobs.leading import Rescue, Tick
from pgjobs.ports import Signal
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.lifecycle import Event


def signals_of(effect: Effect[Any], answer: Any) -> list[Signal]:
    """What a store tells its listeners after an effect; each queue once."""
    tells = _TELLS.get(type(effect))
    return [] if tells is None else tells(effect, answer)


def silent(effect: Effect[Any], answer: Any) -> bool:
    """Whether the effect did what other nodes than the one that asked for it learn by polling only.

    That is: jobs were made available, claims were taken away, or what was to fall due does not any more.
    What falls due anew is told by signals, or by ``due_of``. The end of a run is none of it: a node that
    waits for the ends of others' runs polls on purpose.
    """
    if not answer or type(effect) in TELL_NOTHING:
        return False
    hides = _HIDES.get(type(effect))
    return True if hides is None else hides(effect, answer)


def due_of(effect: Effect[Any], answer: Any) -> datetime | None:
    """When the first falls due of the jobs that the effect lets wait, and no signal tells of it."""
    if type(effect) is not Settle:
        return None
    pairs = zip(effect.settlements, answer, strict=True)
    waits = [each.change.scheduled_at for each, counted in pairs if counted]
    return min((at for at in waits if at is not None), default=None)


def _inserted(_: Insert | Tick, answer: list[Job] | None) -> list[Signal]:
    return _arrivals([job for job in answer or () if job.came_of != "conflict"])


def _settled(effect: Settle, answer: list[bool]) -> list[Signal]:
    groups = (each.group is not None for each in effect.settlements)
    stopped = any(group and counted for group, counted in zip(groups, answer, strict=True))
    return [Signal("cancel")] if stopped else []


def _moved(effect: Transition, answer: list[Job]) -> list[Signal]:
    if effect.change.event is Event.RETRY:
        return _arrivals(answer)
    if effect.change.event is Event.CANCEL:
        return [Signal("cancel", job_id=job.id) for job in answer if job.attempted_at]
    return []


def _deleted(_: effects.Delete, answer: list[Job]) -> list[Signal]:
    return [Signal("cancel", job_id=job.id) for job in answer if job.state is JobState.EXECUTING]


def _rescued(_: Rescue, answer: list[Job]) -> list[Signal]:
    return _arrivals(answer)


def _set(effect: effects.SetControl | effects.ResetControl, _: None) -> list[Signal]:
    return [Signal("control", effect.queue)]


def _arrivals(jobs: list[Job]) -> list[Signal]:
    ready = dict.fromkeys(job.queue for job in jobs if job.state is JobState.AVAILABLE)
    found = [Signal("insert", queue) for queue in ready]
    waits = (JobState.SCHEDULED, JobState.RETRYABLE)
    later = [job.scheduled_at for job in jobs if job.state in waits]
    if later:
        found.append(Signal("due", at=min(later)))
    return found


_TELLS: dict[type[Any], Callable[[Any, Any], list[Signal]]] = {
    Insert: _inserted,
    Tick: _inserted,
    Settle: _settled,
    Transition: _moved,
    effects.Delete: _deleted,
    Rescue: _rescued,
    effects.SetControl: _set,
    effects.ResetControl: _set,
}


def _released(effect: Settle, answer: list[bool]) -> bool:
    for each, counted in zip(effect.settlements, answer, strict=True):
        if counted and (each.change.state is JobState.AVAILABLE or each.group is not None):
            return True
    return False


def _replaced(_: Insert | Tick, answer: list[Job]) -> bool:
    for job in answer:  # noqa: SIM110 - any() over a generator takes twice as long
        if job.replaced:
            return True
    return False


def _staged(_: Poll, answer: Polled) -> bool:
    return bool(answer.staged)


_HIDES: dict[type[Any], Callable[[Any, Any], bool]] = {
    Settle: _released,
    Poll: _staged,
    Insert: _replaced,
    Tick: _replaced,
}
"""Whether an answer hides anything, where one that is not empty may not. Any other does, a rescue's too: a
node that lives, and was taken for gone, has lost its claims."""

LOOKS: frozenset[type[Any]] = frozenset((Poll, Rescue))
"""The effects that do nothing at all, mostly: what they do not hide they have not done."""

ENDING: frozenset[type[Any]] = frozenset((Settle, Transition, effects.Delete, Rescue))
"""The effects by which jobs cease to execute."""


def ends_own_runs(effect: Effect[Any]) -> bool:
    """Whether the runs that the effect ends are those that the answer tells its node of."""
    return type(effect) is Settle and all(each.group is None for each in effect.settlements)


TELL_NOTHING: frozenset[type[Any]] = frozenset(
    (
        *(effects.Claim, effects.ClaimWithin),  # what is taken is no news to anybody else
        *(effects.Find, effects.FindIds, effects.Count, effects.Controls, effects.Windows),
        *(leading.Beat, leading.Leave, leading.Heartbeats),
        *(leading.Lead, leading.Resign, leading.Leases, leading.Watermarks, leading.Prune),
    )
)
"""The effects of which there is nothing to tell, and nothing to hide."""
