"""Whether a job is the one that an assertion means, field by field, and how far off it is.

Each field of an expectation becomes a ``Field`` for each job: matched or not, expected, actual, and
where it can be said the distance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgjobs.rules.errors import ConfigurationError, reject_unknown
from pgjobs.rules.job import WAITING, Job, JobState
from pgjobs.rules.jsonb import equal
from pgjobs.rules.schedule import duration, instant, later
from pgjobs.worker import worker_name

FIELDS = (
    "worker",
    "queue",
    "args",
    "meta",
    "tags",
    "priority",
    "state",
    "max_attempts",
    "attempt",
    "id",
    "scheduled_at",
    "scheduled_in",
)


class _Any:
    """Equals everything: ``args={"id": ANY}``."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an expectation held against one job."""

    name: str
    matched: bool
    expected: str
    actual: str
    distance: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One job held against an expectation. ``waiting``: its state is one that was asked for."""

    job: Job
    fields: tuple[Field, ...]
    waiting: bool

    @property
    def matched(self) -> bool:
        return self.waiting and all(field.matched for field in self.fields)

    @property
    def misses(self) -> int:
        """How many fields differ: the lower, the nearer."""
        return sum(not field.matched for field in self.fields)


class Expectation:
    """What an assertion looks for; ``ConfigurationError`` for filters that do not exist.

    ``delta_s`` is how far instants may be off. Without ``state``, jobs that wait to run are meant.
    """

    def __init__(self, filters: Mapping[str, Any], delta: Any, now: datetime) -> None:
        reject_unknown(filters, FIELDS, "filter")
        self._delta = duration(delta, "delta")
        self._now = now
        given = dict(filters)
        if "worker" in given and not _is_matcher(given["worker"]):
            given["worker"] = worker_name(given["worker"])
        if "state" in given:
            states = given.pop("state")
            listed = isinstance(states, list | tuple | set | frozenset)
            self.states: tuple[JobState, ...] | None = _states(states if listed else (states,))
        else:
            self.states = None
        for name, value in given.items():
            if not _is_matcher(value):
                _check(name, value)
        if "scheduled_at" in given and not _is_matcher(given["scheduled_at"]):
            given["scheduled_at"] = instant(given["scheduled_at"], "scheduled_at")
        if "scheduled_in" in given:
            if "scheduled_at" in given:
                raise ConfigurationError("give scheduled_at or scheduled_in, not both")
            span = duration(given.pop("scheduled_in"), "scheduled_in")
            given["scheduled_at"] = later(now, span)
        self._fields = given

    def describe(self) -> str:
        """The expectation in one line."""
        parts = [f"{name}={_shown(value)}" for name, value in self._fields.items()]
        if self.states is not None:
            parts.append(f"state in {', '.join(self.states)}")
        return ", ".join(parts) or "any job"

    def compare(self, job: Job) -> Compared:
        """Hold one job against this."""
        fields = tuple(self._field(name, value, job) for name, value in self._fields.items())
        return Compared(job, fields, job.state in (self.states or WAITING))

    def _field(self, name: str, wanted: Any, job: Job) -> Field:
        actual = getattr(job, name)
        if _is_matcher(wanted):
            return Field(name, _accepts(wanted, actual), _shown(wanted), _shown(actual))
        if name in ("args", "meta"):
            return Field(name, contained(wanted, actual), _shown(wanted), _shown(actual))
        if name == "tags":
            wanted = [wanted] if isinstance(wanted, str) else list(wanted)
            missing = [tag for tag in wanted if tag not in actual]
            return Field(name, not missing, _shown(wanted), _shown(list(actual)))
        if name == "scheduled_at":
            off = actual - wanted
            distance = f"off by {_signed(off)}, delta {self._delta.total_seconds():g} s"
            return Field(name, abs(off) <= self._delta, str(wanted), str(actual), distance)
        return Field(name, bool(actual == wanted), _shown(wanted), _shown(actual))


def contained(part: Any, whole: Any) -> bool:
    """Whether every key of ``part`` is in ``whole`` with a value that matches, at any depth.

    Lists match element by element; ``ANY`` matches everything, a callable what it returns True for.
    """
    if _is_matcher(part):
        return _accepts(part, whole)
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            str(key) in whole and contained(value, whole[str(key)]) for key, value in part.items()
        )
    if isinstance(part, list | tuple):
        return (
            isinstance(whole, list)
            and len(whole) == len(part)
            and all(contained(each, item) for each, item in zip(part, whole, strict=True))
        )
    return equal(part, whole)


def failure(expected: Expectation, compared: list[Compared], headline: str) -> str:
    """Why an assertion failed: the nearest jobs, field by field."""
    lines = [headline, f"  expected: {expected.describe()}"]
    if not compared:
        return "\n".join([*lines, "  no job was stored at all"])
    ranked = sorted(compared, key=lambda each: (each.misses, not each.waiting, each.job.id))
    lines.append(f"  {len(compared)} job(s) are stored; the nearest:")
    for each in ranked[:5]:
        lines.extend(_explained(each))
    if len(ranked) > 5:
        lines.append(f"  ... and {len(ranked) - 5} more")
    return "\n".join(lines)


def _explained(compared: Compared) -> list[str]:
    job = compared.job
    title = f"  job {job.id}: {job.worker} in {job.queue}, {job.state}"
    if not compared.misses and not compared.waiting:
        title += f" (matched, but already {job.state})"
    lines = [title]
    for field in compared.fields:
        if field.matched:
            lines.append(f"    ✓ {field.name} {field.actual}")
        else:
            distance = f" ({field.distance})" if field.distance else ""
            lines.append(
                f"    ✗ {field.name} expected {field.expected}, is {field.actual}{distance}"
            )
    return lines


def _is_matcher(value: object) -> bool:
    """ANY, or a predicate; a worker is callable too, and is none."""
    return isinstance(value, _Any) or (callable(value) and not hasattr(value, "wrapped"))


def _check(name: str, value: object) -> None:
    """``ConfigurationError`` for a value that no job can have, which would match nothing unseen."""
    if name in ("args", "meta"):
        accepted, good = "a dict", isinstance(value, Mapping)
    elif name == "tags":
        listed = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        accepted, good = "a text or a list of texts", all(isinstance(tag, str) for tag in listed)
    elif name == "queue":
        accepted, good = "a text", isinstance(value, str)
    elif name in ("priority", "max_attempts", "attempt", "id"):
        good = isinstance(value, int) and not isinstance(value, bool)
        accepted = "a whole number"
    else:
        return
    if not good:
        raise ConfigurationError(
            f"the filter {name!r} takes {accepted}, ANY or a function of the value, not {value!r}"
        )


def _accepts(matcher: Callable[[Any], object] | _Any, value: Any) -> bool:
    return True if isinstance(matcher, _Any) else bool(matcher(value))


def _states(given: Any) -> tuple[JobState, ...]:
    if not given:
        raise ConfigurationError("state takes a state or a list of states, and this list is empty")
    reject_unknown([str(state) for state in given], [str(state) for state in JobState], "state")
    return tuple(JobState(state) for state in given)


def _signed(off: timedelta) -> str:
    seconds = off.total_seconds()
    if abs(seconds) < 1:
        return f"{seconds * 1000:+g} ms"
    return f"{seconds:+g} s"


def _shown(value: object) -> str:
    text = getattr(value, "__name__", "") if callable(value) else ""
    text = text or repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
