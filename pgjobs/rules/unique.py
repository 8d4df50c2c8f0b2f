"""Which jobs are duplicates of one another: fingerprints, periods, and the states that count.

A job with ``unique`` has a fingerprint: a digest of the fields that were chosen, in a form in which two
values are the same text just when they are equal as jsonb. 1 equals 1.0, true does not equal 1; the
order of keys does not matter, that of an array does; nothing is folded; a key that is absent is not
one that is null. A duplicate is a job with an equal fingerprint, in one of the states, whose
timestamp is less than ``period`` ago: half-open, so that at exactly ``period`` the place is free.

It is judged at insert, and never again: no staging, retry or rescue asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Final

from pgjobs.rules.errors import ConfigurationError, reject_unknown, shown
from pgjobs.rules.job import WAITING, Job, JobState
from pgjobs.rules.jsonb import encoder
from pgjobs.rules.schedule import duration
from pgjobs.rules.signatures import checks_options
from pgjobs.rules.swift import swift

META_KEY: Final = "pgjobs_unique"
"""The key of ``meta`` under which a job keeps its fingerprint."""

FIELDS: Final = ("worker", "queue", "args")
TIMESTAMPS: Final = ("inserted_at", "scheduled_at")
DEFAULT_PERIOD: Final = timedelta(seconds=60)
DEFAULT_STATES: Final = tuple(
    state for state in JobState if state not in (JobState.CANCELLED, JobState.DISCARDED)
)
_LIFECYCLE = (*WAITING, JobState.EXECUTING)
UNSET: Final[Any] = type("_Unset", (), {"__repr__": lambda _: "UNSET"})()
"""What an option of ``Unique`` has that was left out; None has a meaning of its own."""


@checks_options
@dataclass(frozen=True, slots=True)
class Unique:
    """How duplicates are recognised. What is left out has its default, or in ``new`` the worker's value.

    ``period`` is seconds, a ``timedelta``, or None for ever (default 60 s). ``fields`` are the parts that
    count (all of ``worker queue args``); ``keys`` narrows ``args`` to these, nested ones as "a.b" (None:
    all of ``args``). A job counts in ``states`` (all but ``cancelled`` and ``discarded``). The period is
    measured from ``timestamp``: ``inserted_at`` or ``scheduled_at``. ``ConfigurationError`` for
    anything else.
    """

    period: float | timedelta | None = UNSET
    fields: Iterable[str] = UNSET
    keys: Iterable[str] | None = UNSET
    states: Iterable[str] = UNSET
    timestamp: str = UNSET
    _whole: Any = field(init=False, compare=False, repr=False)
    """The same with the defaults, in order: known once, where a rule is made for each job."""

    def __post_init__(self) -> None:
        for name, value in self._given().items():
            object.__setattr__(self, name, _CHECKS[name](value))
        whole = (
            self._or(self.fields, FIELDS),
            self._or(self.keys, None),
            self._or(self.period, DEFAULT_PERIOD),
            self._or(self.states, DEFAULT_STATES),
            self._or(self.timestamp, TIMESTAMPS[0]),
        )
        object.__setattr__(self, "_whole", whole)
        if self._narrows_nothing():
            raise ConfigurationError(
                "unique has keys, which narrow args, and fields without args: give one of them"
            )

    def over(self, base: Unique | None) -> Unique:
        """This, with what it leaves out taken from ``base``."""
        if base is None:
            return self
        given = self._given()
        if "args" not in given.get("fields", FIELDS):
            given["keys"] = None
        return replace(base, **given)

    def named_keys(self) -> tuple[str, ...]:
        """The keys that were given, if any were."""
        found: tuple[str, ...] | None = self._or(self.keys, None)
        return found or ()

    def gaps(self) -> tuple[JobState, ...]:
        """The states in which a job is not done yet, and does not count either."""
        counted = self._or(self.states, DEFAULT_STATES)
        return tuple(state for state in _LIFECYCLE if state not in counted)

    def rule(self, worker: str, queue: str, args: Mapping[str, Any]) -> UniqueRule:
        """What the insert of one job looks for; ``args`` are in jsonb's normal form."""
        fields, keys, period, states, timestamp = self._whole
        text, behind = _around_args(fields, worker, queue)
        if behind:
            counted = args if keys is None else [[key, *_found(args, key)] for key in keys]
            text += canonical(counted) + behind
        digest = _digest().copy()  # in two thirds of the time of a new one
        digest.update(text.encode())
        return UniqueRule(digest.hexdigest(), period, states, timestamp, self)

    def _given(self) -> dict[str, Any]:
        options = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return {name: value for name, value in options.items() if value is not UNSET}

    def _narrows_nothing(self) -> bool:
        return bool(self._or(self.keys, None)) and "args" not in self._or(self.fields, FIELDS)

    @staticmethod
    def _or(value: Any, default: Any) -> Any:
        return default if value is UNSET else value


@swift
@dataclass(frozen=True, slots=True)
class UniqueRule:
    """What one insert looks for; ``period`` None means for ever. ``how`` made it."""

    fingerprint: str
    period: timedelta | None = DEFAULT_PERIOD
    states: tuple[JobState, ...] = DEFAULT_STATES
    timestamp: str = TIMESTAMPS[0]
    how: Unique | None = field(default=None, compare=False, repr=False)

    def counts(self, job: Job, now: datetime) -> bool:
        """Whether ``job``, whose fingerprint is equal, stands in the way of an insert at ``now``."""
        if job.state not in self.states:
            return False
        after = self.after(now)
        since: datetime = getattr(job, self.timestamp)
        return after is None or since > after

    def after(self, now: datetime) -> datetime | None:
        """A job counts whose timestamp is later than this; None where every one is."""
        try:
            return None if self.period is None else now - self.period
        except OverflowError:
            return None


def fingerprint_of(job: Job) -> str | None:
    """The fingerprint that a job was inserted with, where it was unique."""
    found = job.meta.get(META_KEY)
    return found if isinstance(found, str) else None


def unique(value: object) -> Unique | None:
    """The option ``unique``: a ``Unique``; None or False for none."""
    if value is None or value is False:
        return None
    if isinstance(value, Unique):
        return value
    raise ConfigurationError(f"unique takes Unique(period=..., ...), or None, not {shown(value)}")


def canonical(value: Any) -> str:
    """A text that is equal for two JSON values just when jsonb takes them for equal."""
    text = _compact(value)
    return text if _shows_no_float(text) or _has_no_float(value) else _spelled(value)


_compact = encoder(ensure_ascii=True, sort_keys=True)


def _shows_no_float(text: str) -> bool:
    """Whether nothing in there can be a float: each has a point or, beyond its digits, an exponent.

    A text within may look like one, and is told apart by its type.
    """
    return "." not in text and "e-" not in text and "e+" not in text


def _has_no_float(value: Any) -> bool:
    """Whether the encoder writes alike what jsonb takes for equal: of floats and their like it does not."""
    kind = type(value)
    if kind is dict:
        return all(map(_has_no_float, value.values()))
    if kind is list:
        return all(map(_has_no_float, value))
    return kind is str or kind is int or kind is bool or value is None


@lru_cache(maxsize=1024)
def _around_args(fields: tuple[str, ...], worker: str, queue: str) -> tuple[str, str]:
    """What stands before the args and behind them, alike for most jobs; "" behind where they do not count."""
    named = {"worker": worker, "queue": queue}
    parts = [canonical([name, named[name]]) for name in fields if name in named]
    if "args" in fields:
        parts.append('["args",')
        return "[" + ",".join(parts), "]]"
    return f"[{','.join(parts)}]", ""


@cache
def _digest() -> Any:
    """Of nothing yet."""
    from hashlib import blake2b  # brings OpenSSL along

    return blake2b(digest_size=16)


def _spelled(value: Any) -> str:
    if isinstance(value, float):
        from decimal import Decimal

        number = Decimal(repr(value))
        whole = number.to_integral_value()
        return str(int(whole)) if number == whole else f"{number.normalize():f}"
    if isinstance(value, Mapping):
        items = ",".join(f"{json.dumps(key)}:{_spelled(value[key])}" for key in sorted(value))
        return f"{{{items}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_spelled, value))}]"
    return json.dumps(value)


def _found(args: Mapping[str, Any], key: str) -> list[list[Any]]:
    """What ``args`` has under a key, and what at the path that it spells; an empty list for nothing."""
    found = [[args[key]] if key in args else []]
    if "." in key:
        at: Any = args
        for step in key.split("."):
            if not isinstance(at, Mapping) or step not in at:
                return [*found, []]
            at = at[step]
        found.append([at])
    return found


def _period(value: object) -> timedelta | None:
    if value is None:
        return None
    span = duration(value, "the period of unique")
    if span <= timedelta(0):
        raise ConfigurationError(
            f"the period of unique is more than 0 s, or None for ever, not {shown(value)}"
        )
    return span


def _listed(value: Any, option: str, example: str) -> tuple[str, ...]:
    texts = not isinstance(value, str | Mapping) and isinstance(value, Iterable)
    found = tuple(value) if texts else ()
    if not found or not all(isinstance(each, str) and each for each in found):
        raise ConfigurationError(
            f"the {option} of unique are a list of texts such as {example}, not {shown(value)}"
        )
    return found


def _fields(value: object) -> tuple[str, ...]:
    found = _listed(value, "fields", '["worker", "args"]')
    reject_unknown(found, FIELDS, "field of unique")
    return tuple(name for name in FIELDS if name in found)


def _keys(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    return tuple(sorted(set(_listed(value, "keys", '["user_id", "order.id"]'))))


def _states(value: object) -> tuple[JobState, ...]:
    found = _listed(value, "states", '["available", "scheduled"]')
    reject_unknown(found, [str(state) for state in JobState], "state of unique")
    return tuple(state for state in JobState if state in found)


def _timestamp(value: object) -> str:
    reject_unknown((value,), TIMESTAMPS, "timestamp of unique")  # type: ignore[arg-type]  # it says what is no text
    return str(value)


_CHECKS = {
    "period": _period,
    "fields": _fields,
    "keys": _keys,
    "states": _states,
    "timestamp": _timestamp,
}
