"""Which options a worker, a job and a queue accept, checked when they are given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgjobs.rules import replacing, unique
from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.job import MAX_ATTEMPTS
from pgjobs.rules.jsonb import is_plain, normal_object
from pgjobs.rules.replacing import Replace
from pgjobs.rules.schedule import duration, instant
from pgjobs.rules.signatures import checks_options
from pgjobs.rules.unique import Unique

EVERY_QUEUE = "*"
"""The name under which ``pause_all_queues`` and ``resume_all_queues`` are kept."""

POLL_INTERVAL = timedelta(seconds=1)
"""How long a lost notification can go unnoticed, unless told otherwise."""
NAME_LIMIT = 127
LOWEST_PRIORITY = 9
MAX_CONCURRENCY = 100_000
MAX_ALLOWED = 1_000_000
LEAST_PERIOD_S = 0.001
LARGE_ARGS_BYTES = 1_024

log = logging.getLogger("pgjobs")


@checks_options
@dataclass(frozen=True, slots=True, init=False)
class RateLimit:
    """At most ``allowed`` starts in any half-open window of ``period`` (seconds or a timedelta)."""

    allowed: int
    period: timedelta

    def __init__(self, allowed: int, period: float | timedelta) -> None:
        whole(allowed, "the allowed of a rate limit", 1, MAX_ALLOWED)
        span = duration(period, "the period of a rate limit", least_s=LEAST_PERIOD_S)
        object.__setattr__(self, "allowed", allowed)
        object.__setattr__(self, "period", span)


@checks_options
@dataclass(frozen=True, slots=True)
class Queue:
    """How a node serves a queue: ``concurrency`` runs at a time, and whether it starts paused.

    ``global_concurrency`` and ``rate_limit`` hold over all nodes, each of which is to be given the same.
    """

    concurrency: int = 10
    paused: bool = False
    global_concurrency: int | None = None
    rate_limit: RateLimit | None = None

    def __post_init__(self) -> None:
        whole(self.concurrency, "the concurrency of a queue", 1, MAX_CONCURRENCY)
        if not isinstance(self.paused, bool):
            raise ConfigurationError(f"paused takes True or False, not {self.paused!r}")
        if self.global_concurrency is not None:
            limit = self.global_concurrency
            whole(limit, "the global_concurrency of a queue", 1, MAX_CONCURRENCY)
        if self.rate_limit is not None and not isinstance(self.rate_limit, RateLimit):
            raise ConfigurationError(
                "rate_limit takes RateLimit(allowed=50, period=60), or None, not "
                f"{self.rate_limit!r}"
            )


def queues(given: object) -> dict[str, Queue]:
    """The queues of a node: a mapping of names to concurrencies or ``Queue``; False for none."""
    if given is False or given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f'queues takes a dict such as {{"default": 10}}, or False for a client, not {shown(given)}'
        )
    return {queue_name(each, "a queue's name"): _queue(each, given[each]) for each in given}


def _queue(name: str, spec: object) -> Queue:
    if isinstance(spec, Queue):
        return spec
    if isinstance(spec, bool) or not isinstance(spec, int):
        raise ConfigurationError(
            f"queue {name!r} takes a concurrency, or Queue(concurrency=...), not {spec!r}"
        )
    try:
        return Queue(spec)
    except ConfigurationError as error:
        raise ConfigurationError(f"queue {name!r}: {error}") from None


def name(value: object, option: str) -> str:
    """A name of 1 to 127 characters that a text column can hold."""
    if not isinstance(value, str) or not value or len(value) > NAME_LIMIT:
        raise ConfigurationError(
            f"{option} is a text of 1 to {NAME_LIMIT} characters: {shown(value)}"
        )
    return value if is_plain(value) else _plain(value, option)


def queue_name(value: object, option: str) -> str:
    """The name of one queue."""
    if value == EVERY_QUEUE:
        raise ConfigurationError(f"{option} cannot be {shown(value)}, which stands for every queue")
    return name(value, option)


def whole(value: object, option: str, least: int, most: int) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(
            f"{option} is a whole number from {least} to {most}: {shown(value)}"
        )
    return value


def tags(value: object) -> tuple[str, ...]:
    """Tags: an iterable of texts, each kept once, in order."""
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise ConfigurationError(
            f'tags takes a list of texts such as ["a", "b"], not {shown(value)}'
        )
    ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    return tuple(dict.fromkeys(name(tag, "a tag") for tag in ordered))


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "queue": lambda value: queue_name(value, "queue"),
    "max_attempts": lambda value: whole(value, "max_attempts", 1, MAX_ATTEMPTS),
    "priority": lambda value: whole(value, "priority", 0, LOWEST_PRIORITY),
    "tags": tags,
    "meta": lambda value: normal_object(value, "meta"),
    "scheduled_at": lambda value: None if value is None else instant(value, "scheduled_at"),
    "schedule_in": lambda value: None if value is None else duration(value, "schedule_in"),
    "unique": unique.unique,
    "replace": replacing.replace,
}
JOB_OPTIONS = tuple(_CHECKS)
"""What ``worker.new`` takes beside the args."""
WORKER_OPTIONS = ("queue", "max_attempts", "priority", "tags", "meta", "unique", "replace")
"""The options of ``worker`` that every job of the worker starts from."""


def job_options(given: Mapping[str, Any]) -> dict[str, datetime | timedelta | Any]:
    """The options of a job, each checked; the names are known to be accepted ones."""
    if given.get("scheduled_at") is not None and given.get("schedule_in") is not None:
        raise ConfigurationError("give scheduled_at or schedule_in, not both")
    return {option: _CHECKS[option](value) for option, value in given.items()}


def reject_lone_replace(unique: Unique | None, replace: Replace) -> None:
    """``ConfigurationError`` for ``replace`` where nothing is unique, hence nothing ever replaced."""
    if replace and unique is None:
        raise ConfigurationError(
            "replace needs unique, by which the job to be replaced is found: give unique=Unique(...) "
            "as well, or leave replace out"
        )


def _plain(value: str, option: str) -> str:
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ConfigurationError(
            f"{option} holds a NUL character or a lone surrogate, which a text column cannot: "
            f"{shown(value)}"
        )
    return value
