"""Which scripted worker plays which job: one for all jobs of a worker whose runs went alike, else several.

``runs`` count the starts of one job, so jobs can share a worker where the runs of one are the first
runs of the other. Jobs are cast from the last to the first, since a run's inserts name the worker of
what they insert, which comes later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pgjobs.rules import backoff as backoffs
from pgjobs.rules.backoff import Backoff
from pgjobs.rules.job import NewJob
from pgjobs.rules.options import NAME_LIMIT
from pgjobs_testing.scenarios.flowing import flow
from pgjobs_testing.scenarios.options import options_of
from pgjobs_testing.scenarios.told import Asked, Happened, Ran, Told

Key = tuple[Any, ...]
TIMED_OUT = "JobTimeoutError: the run took longer than its"


@dataclass(slots=True)
class Part:
    """One scripted worker. ``name`` is given at the end; ``delays`` are the waits by failed attempt."""

    worker: str
    keys: list[Key] = field(default_factory=list)
    runs: list[Ran] = field(default_factory=list)
    jobs: list[int] = field(default_factory=list)
    delays: dict[int, timedelta] = field(default_factory=dict)
    timeout: timedelta | None = None
    backoff: Any = None
    name: str = ""


class Cast:
    """The scripted workers of what happened, each job's by its ordinal."""

    def __init__(self, happened: Happened) -> None:
        self._happened = happened
        self._named = {step.job for step in happened.steps if step.job}
        self._parts: dict[str, list[Part]] = {}
        self.of: dict[int, Part] = {}
        for ordinal in sorted(happened.jobs, reverse=True):
            self._cast(happened.jobs[ordinal])
        for told in happened.jobs.values():
            for run in told.runs:
                for asked in run.inserts:
                    self.plays(asked)
        for step in happened.steps:
            if step.asked is not None:
                self.plays(step.asked)
        self._name()

    @property
    def parts(self) -> list[Part]:
        """Every scripted worker, in the order of their first jobs."""
        found = [part for parts in self._parts.values() for part in parts]
        return sorted(found, key=lambda part: min(part.jobs, default=0))

    def plays(self, asked: Asked) -> Part:
        """The worker that an insert names: that of the job it met, if it is of the same worker."""
        part = self.of.get(asked.ordinal)
        if part is not None and part.worker == asked.new.worker:
            return part
        others = self._parts.setdefault(asked.new.worker, [])
        if not others:
            others.append(Part(asked.new.worker))
        return others[0]

    def options(self, new: NewJob) -> dict[str, Any]:
        """What an insert says, with a group that outlives the split of its worker where one is cancelled."""
        parts = self._parts.get(new.worker, [])
        cancels = any(run.outcome[:1] == ("cancel",) for part in parts for run in part.runs)
        return options_of(new, split=len(parts) > 1 and cancels)

    def backoff(self, part: Part) -> Any:
        """The backoff of a worker as the format has it; None for the default."""
        if part.backoff is not None:
            return None if part.backoff == "guide" else part.backoff
        own = self._schedule(part)
        if own is not None and (self._happened.jitter or _agrees(own, part.delays)):
            return spelt(own)
        found = fitting(part.delays) if part.delays else None
        return None if found == "guide" else found

    def _cast(self, told: Told) -> None:
        keys = [self._key(run) for run in told.runs]
        delays = {run.attempt: run.delay for run in told.runs if run.delay is not None}
        limits = {_limit(run) for run in told.runs} - {None}
        timeout = next(iter(limits)) if len(limits) == 1 else None
        parts = self._parts.setdefault(told.worker, [])
        for part in parts:
            if self._fits(part, told, keys, delays, timeout):
                break
            if told.recurs and self._recurring(part):
                self._say(f"ticks of {told.worker} went differently; they are told as the last")
                part.jobs.append(told.ordinal)
                self.of[told.ordinal] = part
                return
        else:
            part = Part(told.worker)
            parts.append(part)
        if len(keys) > len(part.keys):
            part.keys, part.runs = keys, told.runs
        part.delays |= delays
        part.backoff = part.backoff or told.backoff
        part.timeout = part.timeout or timeout
        part.jobs.append(told.ordinal)
        self.of[told.ordinal] = part
        if len(part.jobs) == 1 and self._unfit(part):
            self._say(
                f"no backoff of a scenario waits as {told.worker} did after #{told.ordinal} failed"
            )

    def _recurring(self, part: Part) -> bool:
        return any(self._happened.jobs[ordinal].recurs for ordinal in part.jobs)

    def _fits(
        self,
        part: Part,
        told: Told,
        keys: list[Key],
        delays: dict[int, timedelta],
        timeout: timedelta | None,
    ) -> bool:
        given = {json.dumps(each, default=flow) for each in (part.backoff, told.backoff) if each}
        if len(given) > 1:
            return False
        if any(one != other for one, other in zip(part.keys, keys, strict=False)):
            return False
        if timeout is not None and part.timeout not in (None, timeout):
            return False
        limit = timeout or part.timeout
        if limit is not None and any(_takes(run) > limit for run in part.runs):
            return False
        own = self._schedule(part)
        if self._happened.jitter and own is not None:
            return True
        if any(part.delays.get(attempt, wait) != wait for attempt, wait in delays.items()):
            return False
        if given:
            return True
        both = part.delays | delays
        return not both or fitting(both) is not None or (own is not None and _agrees(own, both))

    def _unfit(self, part: Part) -> bool:
        own = self._schedule(part)
        if not part.delays or part.backoff or (self._happened.jitter and own is not None):
            return False
        return fitting(part.delays) is None and not (own is not None and _agrees(own, part.delays))

    def _schedule(self, part: Part) -> Backoff | None:
        """The worker's own backoff, where the format can give it."""
        known = self._happened.worker(part.worker)
        own = backoffs.DEFAULT if known is None else known.schedule
        if own is None or (own.kind == "exponential" and own.factor != 2):
            return None
        return own if own.kind != "guide" or own == backoffs.DEFAULT else None

    def _key(self, run: Ran) -> Key:
        """What two runs have in common that can be told by one entry."""
        took = None if run.ended is None else run.ended - run.started
        inserts = tuple(self._insert_key(asked) for asked in run.inserts)
        return (took, _limit(run) is not None, run.outcome, inserts, run.ignores)

    def _insert_key(self, asked: Asked) -> Key:
        wanted = json.dumps(options_of(asked.new), default=flow, sort_keys=True)
        if asked.came_of != "insert" or asked.ordinal in self._named:
            return (asked.came_of, asked.ordinal, wanted)
        part = self.of.get(asked.ordinal)
        return (id(part), asked.new.worker, wanted)

    def _name(self) -> None:
        taken = set(self._parts)
        for worker, parts in self._parts.items():
            ordered = sorted(parts, key=lambda part: min(part.jobs, default=0))
            for n, part in enumerate(ordered, 1):
                part.name = worker if n == 1 else _free(worker, n, taken)
                taken.add(part.name)

    def _say(self, note: str) -> None:
        if note not in self._happened.notes:
            self._happened.notes.append(note)


def fitting(delays: Mapping[int, timedelta]) -> Any:
    """The backoff of the format that gives these waits after these attempts; None where there is none."""
    attempts = sorted(delays)
    first = attempts[0]
    waits = delays[first]
    tried: list[Any] = ["guide", {"constant": waits}, {"linear": waits / first}]
    doubled = waits / 2 ** min(first - 1, 40)
    tried += [{"exponential": doubled}, {"exponential": doubled, "max": max(delays.values())}]
    for spec in tried:
        if _agrees(_made(spec), delays):
            return spec
    return None


def spelt(own: Backoff) -> Any:
    """A backoff as the format has it; None for the default."""
    jitter = {} if own.kind == "guide" or not own.jitter else {"jitter": own.jitter}
    cap = {} if own.max_s == float("inf") else {"max": timedelta(seconds=own.max_s)}
    if own.kind == "guide":
        return None
    return {own.kind: timedelta(seconds=own.first_s), **jitter, **cap}


def _made(spec: Any) -> Backoff:
    if spec == "guide":
        return backoffs.DEFAULT
    if "constant" in spec:
        return backoffs.constant(spec["constant"])
    if "linear" in spec:
        return backoffs.linear(spec["linear"])
    return backoffs.exponential(spec["exponential"], max=spec.get("max", 86_400))


def _agrees(own: Backoff, delays: Mapping[int, timedelta]) -> bool:
    return all(_as_span(own(attempt)) == wait for attempt, wait in delays.items())


def _as_span(seconds: float) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        return timedelta.max


def _limit(run: Ran) -> timedelta | None:
    """The time limit that ended a run; None where it ended otherwise."""
    if run.limit is not None:
        return run.limit
    told = run.outcome[:1] == ("error",) and str(run.outcome[1:]).find(TIMED_OUT) >= 0
    took = timedelta(0) if run.ended is None else run.ended - run.started
    return took if told and took else None


def _takes(run: Ran) -> timedelta:
    """How long a run took that a time limit would have ended sooner."""
    return timedelta(0) if run.ended is None or run.ignores else run.ended - run.started


def _free(worker: str, n: int, taken: Iterable[str]) -> str:
    """A name for the next worker of the same script: ``Sync-2``."""
    known = set(taken)
    while (name := f"{worker[: NAME_LIMIT - 8]}-{n}") in known:
        n += 1
    return name
