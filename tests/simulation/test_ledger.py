"""The ledger holds what the store holds, of any effects, on both stores; and says what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import ClaimWithin, Controls, Effect, Find, Insert
from pgjobs.leading import Beat, Fence, Heartbeats, Lead, Leases, Leave, Prune, Rescue, Tick
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.errors import LeaseLostError
from pgjobs.rules.job import FINAL, Job, JobState, NewJob
from pgjobs.rules.limits import Limits
from pgjobs.rules.newjobs import insertable
from pgjobs.rules.options import RateLimit
from pgjobs.rules.selection import Selection
from pgjobs.rules.unique import Unique
from pgjobs_testing.conformance.given import NOW, examples
from pgjobs_testing.conformance.programs import Side, Step, steps
from pgjobs_testing.invariants.beside import BESIDE
from pgjobs_testing.invariants.ledger import Ledger
from pgjobs_testing.invariants.passages import PASSAGES, Passage
from pgjobs_testing.servers import Server
from pgjobs_testing.stores import LocalPostgres

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def _database(server: Server) -> Iterator[LocalPostgres]:
    made = PostgresStore(server.create_database("ledger"))
    made.migrate()
    local = LocalPostgres(made)
    yield local
    local.close()
    server.drop_database("ledger")


@pytest.fixture(
    params=[
        "memory",
        pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]),
    ]
)
def new_store(request: pytest.FixtureRequest) -> Callable[[], LocalStore]:
    """Gives an empty store at each call."""
    if request.param == "memory":
        return MemoryStore
    local: LocalPostgres = request.getfixturevalue("_database")

    def emptied() -> LocalStore:
        local.clear()
        return local

    return emptied


def enter(ledger: Ledger, effect: Effect[Any], answer: Any, now: datetime) -> Iterator[Passage]:
    """Enter an effect into the ledger, as the watch does, and give each passage before it is entered."""
    passages, beside = PASSAGES.get(type(effect)), BESIDE.get(type(effect))
    for passage in () if passages is None else passages(ledger, effect, answer):
        yield passage
        if passage.after is not passage.before:
            ledger.put(passage.before, passage.after, now)
    if beside is not None:
        beside(ledger, effect, answer)


def kept(store: LocalStore, ledger: Ledger, effect: Effect[Any], now: datetime = NOW) -> Any:
    answer = store.run(effect)
    assert list(enter(ledger, effect, answer, now))
    return answer


def alike(store: LocalStore, ledger: Ledger) -> None:
    """The store's rows and tables are the ledger's."""
    rows = store.run(Find(Selection()))
    assert ledger.difference(rows) is None
    assert dict(store.run(Controls())) == ledger.controls
    assert store.run(Heartbeats()) == [ledger.beats[node] for node in sorted(ledger.beats)]
    assert store.run(Leases()) == dict(sorted(ledger.leases.items()))
    by_state: dict[str, list[int]] = {}
    for row in rows:
        by_state.setdefault(row.state, []).append(row.id)
    waiting = by_state.get("scheduled", []) + by_state.get("retryable", [])
    assert sorted(waiting) == sorted(job_id for _, job_id in ledger.due)
    over = [job_id for state in FINAL for job_id in by_state.get(state, [])]
    assert sorted(over) == sorted(job_id for _, job_id in ledger.over)
    for queue, keys in ledger.ready.items():
        ready = [row for row in rows if row.state == "available" and row.queue == queue]
        assert [row.id for row in sorted(ready, key=selection.claim_order)] == [k[2] for k in keys]
    running = [row for row in rows if row.state is JobState.EXECUTING]
    assert sorted(row.id for row in running) == sorted(
        job_id for held in ledger.executing.values() for job_id in held
    )
    assert len(running) == sum(ledger.running.values())


def _unique(period: float | None, timestamp: str, states: tuple[str, ...]) -> Unique:
    return Unique(period=period, timestamp=timestamp, states=states, keys=("n",))


def uniques() -> st.SearchStrategy[NewJob]:
    """Jobs that meet one another, and what they make of whom they meet."""
    fields = st.lists(
        st.sampled_from(
            ["args", "meta", "max_attempts", "priority", "queue", "scheduled_at", "tags"]
        ),
        unique=True,
        min_size=1,
    )
    names = st.sampled_from([state for state in JobState if state != "suspended"])
    made = st.builds(
        lambda n, extra, unique, replaces, delay, most: NewJob(
            "tests.work",
            {"n": n, "extra": extra},
            queue="ab"[n % 2],
            max_attempts=most,
            schedule_in=delay,
            tags=(f"t{extra}",),
            unique=unique.rule("tests.work", "ab"[n % 2], {"n": n, "extra": extra}),
            replace=tuple((JobState(state), tuple(each)) for state, each in replaces.items()),
        ),
        st.integers(0, 1),
        st.integers(0, 3),
        st.builds(
            _unique,
            st.sampled_from([None, 2, 5]),
            st.sampled_from(["inserted_at", "scheduled_at"]),
            st.sampled_from([("available", "scheduled"), tuple(map(str, JobState))]),
        ),
        st.dictionaries(names, fields, max_size=3),
        st.sampled_from([None, SECOND, 3 * SECOND]),
        st.integers(1, 3),
    )
    return made.map(insertable)


def more_steps() -> st.SearchStrategy[Step]:
    """What leaders, limited queues and unique jobs do."""
    fence = st.builds(
        lambda node: lambda now: Fence("leader", node, 1, now), st.sampled_from(["x", "node"])
    )
    jobs = st.lists(uniques(), min_size=1, max_size=4).map(tuple)

    def within(queue: str, demand: int, token: str, allowed: int | None, most: int | None) -> Step:
        rate = None if allowed is None else RateLimit(allowed, 4)
        chosen = selection.claimable(queue)
        return lambda _, now: ClaimWithin(
            queue, chosen, demand, lifecycle.claim("node", token, now), Limits(rate, most)
        )

    def rescue(fence: Callable[[datetime], Fence], limit: int) -> Step:
        return lambda _, now: Rescue(
            fence(now), lifecycle.rescue(now), lifecycle.rescue_last(now), SECOND, limit
        )

    some = st.none() | st.integers(1, 3)
    return st.one_of(
        st.builds(lambda jobs: lambda _, now: Insert(jobs, now), jobs),
        st.builds(
            within, st.sampled_from("ab"), st.integers(0, 4), st.sampled_from("uvw"), some, some
        ),
        st.just(lambda _, now: Beat("node", NOW, now, SECOND)),
        st.just(lambda _, __: Leave("node")),
        st.builds(
            lambda node: lambda _, now: Lead("leader", node, now, 3 * SECOND),
            st.sampled_from(["x", "node"]),
        ),
        st.builds(rescue, fence, st.integers(0, 4)),
        st.builds(
            lambda fence, limit: lambda _, now: Prune(fence(now), now - 2 * SECOND, limit),
            fence,
            st.integers(0, 4),
        ),
        st.builds(
            lambda fence, jobs: lambda _, now: Tick(fence(now), "key", now, jobs), fence, jobs
        ),
    )


@examples(60)
@given(program=st.lists(st.tuples(st.integers(0, 3), steps() | more_steps()), max_size=30))
def test_after_any_effects_the_ledger_holds_what_the_store_holds(
    new_store: Callable[[], LocalStore], program: list[tuple[int, Step]]
) -> None:
    store, ledger = new_store(), Ledger()
    side = Side(store)
    now = NOW
    for pause, step in program:
        now += timedelta(seconds=pause)
        effect = step(side, now)
        try:
            answer = store.run(effect)
        except LeaseLostError:
            continue
        if isinstance(effect, ClaimWithin):
            side.claims += answer.jobs
        elif type(effect).__name__ == "Claim":
            side.claims += answer
        for passage in enter(ledger, effect, answer, now):
            if passage.told is not None:
                left = passage.after or passage.before
                assert replace(passage.told, conflict=False, replaced=False) == left
        alike(store, ledger)


def _inserted(new_store: Callable[[], LocalStore]) -> tuple[LocalStore, Ledger, Job]:
    store, ledger = new_store(), Ledger()
    (job,) = kept(store, ledger, Insert((NewJob("tests.work", {"n": 1}),), NOW))
    return store, ledger, job


def test_a_row_that_the_store_has_lost_is_named(new_store: Callable[[], LocalStore]) -> None:
    _, ledger, job = _inserted(new_store)
    assert ledger.difference([]) == (
        job.id,
        "is available by its history, and the store has no such row",
    )


def test_a_row_without_a_history_is_named(new_store: Callable[[], LocalStore]) -> None:
    store, ledger, job = _inserted(new_store)
    more = store.run(Insert((NewJob("tests.work", {}),), NOW))
    assert ledger.difference([job, *more]) == (
        more[0].id,
        "is available in the store, and has no history that leaves it there",
    )


def test_a_row_that_differs_is_named_with_the_first_column_that_does(
    new_store: Callable[[], LocalStore],
) -> None:
    _, ledger, job = _inserted(new_store)
    assert ledger.difference([replace(job, attempt=3, priority=2)]) == (
        job.id,
        "has attempt 3, and by its history 0",
    )
