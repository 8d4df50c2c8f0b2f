"""What ``worker.new`` and ``worker`` take beside the args: every option, at its bounds and beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from pgjobs import Job, JobState, NewJob, Queue, RateLimit, Unique, Worker, backoff
from pgjobs.rules.backoff import Backoff
from pgjobs.rules.job import MAX_ATTEMPTS
from pgjobs.rules.unique import FIELDS
from pgjobs_testing.properties.instants import START, instants, spans
from pgjobs_testing.properties.values import args, small_objects, texts

STATES = tuple(state for state in JobState if state is not JobState.SUSPENDED)
REPLACEABLE = ("args", "meta", "max_attempts", "priority", "queue", "scheduled_at", "tags")


def queue_names() -> st.SearchStrategy[str]:
    """Names of queues: plain ones that are often equal, and ones that need quoting."""
    return st.sampled_from(["default", "mail", "Mail", "\u00e4", "a'b\"c\\", "x" * 127])


def tags() -> st.SearchStrategy[list[str]]:
    """Lists of tags, with repetitions."""
    plain = st.sampled_from(["a", "b", "NULL", 'c,"\\{}', "\u00e9", "e\u0301"])
    return st.lists(plain | texts().filter(lambda text: 0 < len(text) <= 127), max_size=3)


def uniques(keys: Sequence[str] = ("a", "b", "a.b")) -> st.SearchStrategy[Unique]:
    """Every way to be unique. ``keys`` are some that the args may have; without, no key is named."""
    given: dict[str, st.SearchStrategy[Any]] = {
        "period": st.none() | spans().filter(bool),
        "timestamp": st.sampled_from(["inserted_at", "scheduled_at"]),
        "states": st.lists(st.sampled_from(STATES), min_size=1, unique=True),
    }
    fields = st.sampled_from([["queue"], ["worker"], ["queue", "worker"], ["args"], list(FIELDS)])
    ways = [st.fixed_dictionaries({}, optional=given | {"fields": fields})]
    if keys:
        some = st.lists(st.sampled_from(list(keys)), min_size=1, unique=True)
        ways.append(st.fixed_dictionaries({"keys": some}, optional=given))
    return st.one_of(ways).map(lambda options: Unique(**options))


def replaces() -> st.SearchStrategy[dict[str, Any]]:
    """What a conflict may make of the job that was there, by its state."""
    some = st.lists(st.sampled_from(REPLACEABLE), min_size=1, unique=True)
    return st.dictionaries(
        st.sampled_from([str(s) for s in STATES]), st.just(True) | some, max_size=3
    )


def job_options(
    now: datetime | None = None,
    queues: Sequence[str] | None = None,
    keys: Sequence[str] = ("a", "b", "a.b"),
    longest_s: float = 600,
    most_attempts: int = MAX_ATTEMPTS,
    replace: st.SearchStrategy[Any] | None = None,
) -> st.SearchStrategy[dict[str, Any]]:
    """Options of ``worker.new``, each of which may be left out.

    ``queues`` are the names to choose from (default: any), ``keys`` those of args that ``unique`` may
    name, ``longest_s`` and ``most_attempts`` are bounds. With ``now`` there are absolute instants
    around it as well; ``replace`` is what a unique job may bring (default: anything).
    """
    names = queue_names() if queues is None else st.sampled_from(list(queues))
    plain: dict[str, st.SearchStrategy[Any]] = {
        "queue": names,
        "priority": st.sampled_from([0, 1, 9]) | st.integers(0, 9),
        "max_attempts": st.sampled_from(sorted({1, 2, 3, most_attempts})),
        "tags": tags(),
        "meta": small_objects(),
    }
    when: list[dict[str, st.SearchStrategy[Any]]] = [{"schedule_in": spans(longest_s)}]
    if now is not None:
        when.append({"scheduled_at": instants(now)})
    alone = [st.fixed_dictionaries({}, optional=plain | each) for each in when]
    unique = {"unique": uniques(keys)}
    replaced = replaces() if replace is None else replace
    in_groups = [
        st.fixed_dictionaries(
            unique,
            optional={**plain, **each, "replace": replaced},
        )
        for each in when
    ]
    return st.one_of(*alone, *in_groups)


def worker_options() -> st.SearchStrategy[dict[str, Any]]:
    """Options of ``worker``, each of which may be left out."""
    plain: dict[str, st.SearchStrategy[Any]] = {
        "queue": queue_names(),
        "priority": st.integers(0, 9),
        "max_attempts": st.sampled_from([1, 2, 20, 32_767]),
        "tags": tags(),
        "meta": small_objects(),
        "timeout": st.none() | spans().filter(bool),
        "backoff": backoffs(),
        "unique": st.none() | uniques(),
    }
    return st.fixed_dictionaries({}, optional=plain)


def backoffs() -> st.SearchStrategy[Backoff]:
    """Schedules of every kind, with and without a cap and jitter."""
    seconds = st.sampled_from([0, 1, 15, 60, 86_400]) | st.floats(0, 1e9)
    more: dict[str, Any] = {"jitter": st.sampled_from([0, 0.3, 1]) | st.floats(0, 1)}
    cap = st.none() | seconds
    return st.one_of(
        st.builds(backoff.guide, max=cap, **more),
        st.builds(backoff.constant, seconds, max=cap, **more),
        st.builds(backoff.linear, seconds, max=cap, **more),
        st.builds(backoff.exponential, seconds, st.floats(1, 1e6), cap, **more),
    )


def rate_limits(longest_s: float = 600) -> st.SearchStrategy[RateLimit]:
    """Few starts in periods up to ``longest_s``."""
    periods = spans(longest_s).filter(lambda span: span.total_seconds() >= 0.001)
    return st.builds(RateLimit, st.integers(1, 5), periods)


def queues(longest_s: float = 600) -> st.SearchStrategy[Queue]:
    """Queues with few slots, and any combination of limits."""
    few = st.integers(1, 4)
    limit = st.none() | rate_limits(longest_s)
    return st.builds(Queue, few, st.booleans(), st.none() | few, limit)


def new_jobs(
    workers: Mapping[Worker[..., Any], st.SearchStrategy[Any]],
    options: st.SearchStrategy[dict[str, Any]] | None = None,
) -> st.SearchStrategy[NewJob]:
    """Jobs not stored yet, of ``workers`` with args from their strategies, and ``options`` of ``new``."""
    chosen = job_options() if options is None else options
    each = [
        st.builds(lambda given, more, w=worker: w.new(given, **more), drawn, chosen)
        for worker, drawn in workers.items()
    ]
    return st.one_of(each)


def jobs(
    worker: Worker[..., Any], given: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[Job]:
    """Jobs as ``worker`` gets them: executing, at any attempt, with args from ``given`` (default: any)."""
    from pgjobs_testing.performing import built

    options = {
        "attempt": st.integers(1, 20),
        "max_attempts": st.integers(20, 32_767),
        "priority": st.integers(0, 9),
        "tags": tags(),
        "meta": small_objects(),
    }
    return st.builds(
        lambda value, more: built(worker, value, dict(more), START),
        args() if given is None else given,
        st.fixed_dictionaries({}, optional=options),
    )
