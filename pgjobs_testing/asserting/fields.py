"""Which fields an assertion may ask for, and what value of each: every one is checked when it is given.

A value that no job can ever have would make ``refute_enqueued`` pass unseen, so it is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any

from pgjobs.rules import options
from pgjobs.rules.errors import ConfigurationError, reject_unknown, shown
from pgjobs.rules.job import MAX_ATTEMPTS, JobState
from pgjobs.rules.schedule import duration, instant, later
from pgjobs.rules.swift import swift
from pgjobs.worker import REGISTRY, Worker, worker_name
from pgjobs_testing.asserting.errors import Failed, OfError
from pgjobs_testing.asserting.kinds import Ahead, Named, Near, OneOf, Tagged
from pgjobs_testing.asserting.times import Times
from pgjobs_testing.matching import matcher, pattern
from pgjobs_testing.patterns import Exactly, Pattern

WEIGHTS = {
    "id": 14.0,
    "worker": 12.0,
    "args": 4.0,
    "error": 3.0,
    "event": 3.0,
    "queue": 2.0,
    "meta": 2.0,
    "scheduled_at": 2.0,
    "scheduled_in": 2.0,
    "state": 1.5,
    "tags": 1.5,
}
"""How far off a job is by each field that differs wholly; 1 for those that are not named here.

The worker weighs most (an id is but another name for the job): a job of the same worker with all
of its args different is nearer than one of another worker with the same args.
"""

OF_JOBS = (
    *("worker", "queue", "args", "meta", "tags", "priority", "state"),
    *("max_attempts", "attempt", "id", "scheduled_at", "scheduled_in"),
)
OF_RUNS = (
    *("worker", "queue", "args", "meta", "tags", "priority", "state"),
    *("max_attempts", "attempt", "id", "error"),
)
_OF = {name: attrgetter(name) for name in (*OF_JOBS, *OF_RUNS)}
_OF["scheduled_in"] = _OF["scheduled_at"]
_RANGES = {
    "priority": (0, options.LOWEST_PRIORITY),
    "max_attempts": (1, MAX_ATTEMPTS),
    "attempt": (0, MAX_ATTEMPTS),
    "id": (1, 2**63 - 1),
}


@swift
@dataclass(frozen=True, slots=True)
class Wanted:
    """One field that is asked for: its pattern, and how to get its value from what is compared."""

    name: str
    pattern: Pattern
    of: Callable[[Any], Any]

    @property
    def weight(self) -> float:
        return WEIGHTS.get(self.name, 1.0)


def wanted(
    filters: Mapping[str, Any], accepted: tuple[str, ...], delta: object, times: Times
) -> tuple[Wanted, ...]:
    """The fields that ``filters`` ask for; ``ConfigurationError`` for one that cannot be asked for."""
    reject_unknown(filters, accepted, "filter")
    within = duration(delta, "delta")
    if "scheduled_at" in filters and "scheduled_in" in filters:
        raise ConfigurationError("give scheduled_at or scheduled_in, not both")
    if "args" in filters and "worker" in filters:
        check_args(filters["worker"], filters["args"])
    found: tuple[Wanted, ...] = ()
    for name in filters:
        compiled = _compiled(name, filters[name], filters, within, times)
        found = (*found, Wanted(name, compiled, _OF[name]))
    return found


def _compiled(
    name: str, value: Any, filters: Mapping[str, Any], within: timedelta, times: Times
) -> Pattern:
    if name == "worker":
        return worker_pattern(value)
    if type(value) is dict and name in ("args", "meta"):
        return pattern(value, name)
    if name == "state":
        return state_pattern(value)
    if name == "error":
        return error_pattern(value)
    if name == "args" and not _is_mapping(value) and isinstance(filters.get("worker"), Worker):
        value = _from_model(value, filters["worker"])
    if (made := matcher(value, name)) is not None:
        return Ahead(made, times.now) if name == "scheduled_in" else made
    return checked(name, value, within, times)


def checked(name: str, value: Any, within: timedelta, times: Times) -> Pattern:
    """The pattern for a plain value of a field; ``ConfigurationError`` for one that no job can have."""
    if name == "scheduled_at":
        return Near(instant(value, name), within, times)
    if name == "scheduled_in":
        span = duration(value, name)
        return Near(later(times.now, span), within, times, span)
    if name in ("args", "meta"):
        if not _is_mapping(value):
            raise _refused(name, "a dict", value)
        return pattern(value, name)
    if name == "tags":
        listed = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        if not all(isinstance(tag, str) for tag in listed):
            raise _refused(name, "a text or a list of texts", value)
        return Tagged(tuple(sorted(listed) if isinstance(value, set | frozenset) else listed))
    if name == "queue":
        if not isinstance(value, str):
            raise _refused(name, "a text", value)
        return Named(options.queue_name(value, "the filter 'queue'"))
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refused(name, "a whole number", value)
    least, most = _RANGES[name]
    if not least <= value <= most:
        raise _refused(name, f"a whole number from {least} to {most:,}", value)
    return Exactly(int(value))


def check_args(worker: Any, args: Any) -> None:
    """``ConfigurationError`` for args that no job of that worker can have, by its model."""
    if not _is_mapping(args):
        return
    if isinstance(worker, str):
        worker = REGISTRY.by_name.get(worker)
    elif not isinstance(worker, Worker):
        worker = next((e for e in REGISTRY.by_name.values() if e.wrapped is worker), None)
    if worker is not None:
        worker.check_asked(args)


def worker_pattern(value: Any) -> Pattern:
    """A worker by object or name, or what judges the name; a worker's own code is none."""
    if isinstance(value, Worker):
        return Named(value.name)
    if isinstance(value, str):
        return Named(value)
    if inspect.isclass(value) or _takes_a_job(value):
        for each in REGISTRY.by_name.values():
            if each.wrapped is value:
                return Named(each.name)
        raise ConfigurationError(
            f"the filter 'worker' is given {shown(value)}, which is no worker: decorate it with "
            "@worker, or give a worker, its name, ANY or a function of the name"
        )
    if (made := matcher(value, "worker")) is not None:
        return made
    return Named(worker_name(value))


def state_pattern(value: Any) -> Pattern:
    """A state or a list of states, or what judges the state."""
    return matcher(value, "state") or OneOf(states(value))


def states(value: Any) -> tuple[JobState, ...]:
    """A state or a list of states, of any spelling of theirs."""
    listed = isinstance(value, list | tuple | set | frozenset)
    given = [str(state) for state in value] if listed else [str(value)]
    if not given:
        raise ConfigurationError("state takes a state or a list of states, and this list is empty")
    reject_unknown(given, [str(state) for state in JobState], "state")
    return tuple(state for state in JobState if state in given)


def error_pattern(value: Any) -> Pattern:
    """A text that the error contains, a type of exception, None for no error, or a function."""
    if value is None or isinstance(value, str):
        return Failed(value)
    if isinstance(value, type) and issubclass(value, BaseException):
        return Failed(value)
    made = matcher(value, "error")
    if made is None:
        raise _refused("error", "a text that it contains, a type of exception, None", value)
    return OfError(made)


def _takes_a_job(value: object) -> bool:
    """Whether a function looks like a worker that was not decorated: its first argument is a job."""
    if not inspect.isfunction(value):
        return False
    code = value.__code__
    return code.co_argcount > 0 and code.co_varnames[0] == "job"


def _is_mapping(value: object) -> bool:
    return type(value) is dict or isinstance(value, Mapping)  # the second question is a slow one


def _from_model(value: Any, worker: Worker[Any, Any]) -> Any:
    """What ``worker.new`` makes of an instance of its model; another value as it is."""
    if hasattr(value, "__dataclass_fields__") or hasattr(value, "model_fields"):
        return value if isinstance(value, type) else worker.new(value).args
    return value


def _refused(name: str, accepted: str, value: object) -> ConfigurationError:
    return ConfigurationError(
        f"the filter {name!r} takes {accepted}, ANY or a function of the value, not {shown(value)}"
    )
