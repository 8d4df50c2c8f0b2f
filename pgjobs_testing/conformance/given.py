"""What the suite's tests begin with: an instant, jobs, rows in any state, JSON with every trap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pgjobs.effects import Claim, Find, Insert
from pgjobs.ports import Store
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.job import MAX_ATTEMPTS, Job, JobState, NewJob
from pgjobs.rules.selection import Selection
from pgjobs_testing.properties.instants import instants as instants_around
from pgjobs_testing.properties.values import json_objects, small_objects, texts

NOW = datetime(2030, 1, 1, 12, 0, 0, 123_457, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)

BEYOND_INT4 = 2**31
"""Ids begin here at the least."""


class Plant(Protocol):
    """Writes jobs as they are, but for the id, which the store gives."""

    def __call__(self, jobs: Sequence[Job]) -> list[Job]: ...


def new(worker: str = "tests.work", **given: Any) -> NewJob:
    """A job that is not stored yet."""
    return NewJob(worker, given.pop("args", {}), **given)


def row(state: JobState = JobState.AVAILABLE, **given: Any) -> Job:
    """A stored job, as ``plant`` takes it."""
    fields: dict[str, Any] = {
        "id": 0,
        "state": state,
        "queue": "default",
        "worker": "tests.work",
        "args": {},
        "meta": {},
        "tags": (),
        "errors": (),
        "attempt": 1,
        "max_attempts": 20,
        "priority": 0,
        "attempted_by": ("node", "token"),
        "inserted_at": NOW - 2 * SECOND,
        "scheduled_at": NOW - SECOND,
    }
    return Job(**(fields | given))


def insert(store: Store, *jobs: NewJob, now: datetime = NOW) -> list[Job]:
    return store.run(Insert(jobs, now))


def claim(
    store: Store,
    token: str = "token",  # noqa: S107 - a claim's token is no password
    *,
    queue: str | None = "default",
    demand: int = 100,
    now: datetime = NOW,
) -> list[Job]:
    chosen = selection.claimable(queue)
    return store.run(Claim(chosen, demand, lifecycle.claim("node", token, now)))


def read(store: Store, job_id: int) -> Job | None:
    found = store.run(Find(selection.by_id(job_id)))
    return found[0] if found else None


def every(store: Store) -> list[Job]:
    return store.run(Find(Selection()))


def ids(jobs: Sequence[Job]) -> list[int]:
    return [job.id for job in jobs]


def examples(count: int) -> Callable[[Any], Any]:
    """Settings for a property: examples share the store of their test, may take their time, and
    are run for several stores."""
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )


def instants() -> st.SearchStrategy[datetime]:
    """Instants near ``NOW``, that tie; and far ones."""
    return instants_around(NOW)


def queues() -> st.SearchStrategy[str]:
    return st.sampled_from(["default", "mail", "Mail", "ä", "a'b\"c\\", "*"])


def workers() -> st.SearchStrategy[str]:
    return st.sampled_from(["tests.work", "tests.rest", "Tests.work", "z", "Ä"])


def lists() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(["a", "b", "NULL", "", 'c,"\\{}']), max_size=3).map(tuple)


def _job(**fields: Any) -> Job:
    attempt = min(fields.pop("attempt"), fields["max_attempts"])
    return Job(id=0, attempt=attempt, **fields)


def rows() -> st.SearchStrategy[Job]:
    """Rows in every state, also such as pgjobs would not make."""
    stamp = st.none() | instants()
    attempts = st.sampled_from([1, 2, 3, 20, MAX_ATTEMPTS - 1, MAX_ATTEMPTS])
    errors = st.fixed_dictionaries(
        {"at": st.just("2030-01-01T00:00:00.000000Z"), "attempt": st.just(1), "error": texts()}
    )
    return st.builds(
        _job,
        state=st.sampled_from(list(JobState)),
        queue=queues(),
        worker=workers(),
        args=small_objects() | json_objects(),
        meta=small_objects(),
        tags=lists(),
        errors=st.lists(errors, max_size=2).map(tuple),
        attempt=st.just(0) | attempts,
        max_attempts=attempts,
        priority=st.integers(0, 9),
        attempted_by=st.sampled_from([(), ("node",), ("node", "token"), ("node", "other")]),
        inserted_at=instants(),
        scheduled_at=instants(),
        attempted_at=stamp,
        completed_at=stamp,
        discarded_at=stamp,
        cancelled_at=stamp,
    )


def new_jobs() -> st.SearchStrategy[NewJob]:
    return st.builds(
        NewJob,
        worker=workers(),
        args=json_objects(),
        queue=queues(),
        max_attempts=st.sampled_from([1, 2, 20, MAX_ATTEMPTS]),
        priority=st.integers(0, 9),
        tags=lists().map(lambda tags: tuple(dict.fromkeys(tags))),
        meta=small_objects(),
        scheduled_at=st.none() | instants(),
    ) | st.builds(
        NewJob,
        worker=workers(),
        args=small_objects(),
        schedule_in=st.sampled_from([timedelta(0), MICROSECOND, SECOND, timedelta.max]),
    )
