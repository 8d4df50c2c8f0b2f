"""What a limited claim promises: no more than the limits leave, exactly, in turn, and in order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import (
    Claimed,
    ClaimWithin,
    Controls,
    Find,
    Poll,
    ResetControl,
    SetControl,
    Settle,
    Windows,
)
from pgjobs.ports import Store
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.control import EVERY_QUEUE, Control
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import RateLimit
from pgjobs.rules.schedule import micros
from pgjobs.rules.selection import claim_order
from pgjobs_testing.conformance.given import (
    MICROSECOND,
    NOW,
    SECOND,
    Plant,
    claim,
    every,
    examples,
    ids,
    insert,
    new,
    read,
    row,
)
from pgjobs_testing.properties.values import texts

RATE = RateLimit(3, 60)
EDGE = NOW + 60 * SECOND


def within(
    store: Store,
    token: str = "token",  # noqa: S107 - a claim's token is no password
    *,
    rate: RateLimit | None = None,
    most: int | None = None,
    queue: str = "default",
    demand: int = 100,
    now: datetime = NOW,
) -> Claimed:
    change = lifecycle.claim("node", token, now)
    limits = Limits(rate, most)
    return store.run(ClaimWithin(queue, selection.claimable(queue), demand, change, limits))


def complete(store: Store, *jobs: Job) -> None:
    store.run(Settle(tuple(lifecycle.settle(job, outcome.COMPLETED, NOW) for job in jobs)))


class Limited:
    """Tests of ``ClaimWithin`` and ``Windows``."""

    def test_a_limited_claim_starts_the_next_attempt_of_a_job(self, store: Store) -> None:
        (job,) = insert(store, new(args={"a": 1}))
        claimed = within(store, rate=RATE, most=2, now=NOW + SECOND)
        change = lifecycle.claim("node", "token", NOW + SECOND)
        assert [lifecycle.apply(change, job)] == claimed.jobs == every(store)
        assert (claimed.opens_at, claimed.running) == (None, 1)

    def test_one_claim_takes_no_more_than_the_rate_allows_whatever_its_demand(
        self, store: Store
    ) -> None:
        insert(store, *[new() for _ in range(10)])
        first = within(store, rate=RATE, demand=10)
        assert (len(first.jobs), first.opens_at) == (3, EDGE)
        assert Claimed([], EDGE, 0) == within(store, "second", rate=RATE)

    def test_a_window_lets_go_exactly_a_period_after_each_start(self, store: Store) -> None:
        insert(store, *[new() for _ in range(10)])
        within(store, "a", rate=RATE, demand=1)
        within(store, "b", rate=RATE, demand=2, now=NOW + SECOND)
        assert Claimed([], EDGE, 0) == within(store, "c", rate=RATE, now=EDGE - MICROSECOND)
        again = within(store, "d", rate=RATE, now=EDGE)
        assert (len(again.jobs), again.opens_at) == (1, EDGE + SECOND)
        assert len(within(store, "e", rate=RATE, now=EDGE + SECOND).jobs) == 2

    def test_a_clock_that_is_behind_starts_jobs_at_the_last_start(self, store: Store) -> None:
        insert(store, *[new() for _ in range(4)])
        within(store, "ahead", rate=RATE, demand=1, now=NOW + 5 * SECOND)
        behind = within(store, "behind", rate=RATE, now=NOW)
        assert [job.attempted_at for job in behind.jobs] == [NOW + 5 * SECOND] * 2
        assert behind.opens_at == EDGE + 5 * SECOND
        assert within(store, "later", rate=RATE, now=EDGE).jobs == []
        assert store.run(Windows()) == {"default": ((micros(NOW + 5 * SECOND), 3),)}

    def test_a_claim_that_finds_nothing_uses_nothing_up(self, store: Store) -> None:
        for n in range(5):
            assert Claimed([], None, 0) == within(store, f"empty{n}", rate=RATE)
        assert store.run(Windows()) == {}
        insert(store, *[new() for _ in range(2)])
        assert None is within(store, "two", rate=RATE).opens_at
        assert store.run(Windows()) == {"default": ((micros(NOW), 2),)}

    def test_nothing_is_claimed_where_nothing_is_wanted(self, store: Store) -> None:
        insert(store, new())
        assert within(store, rate=RATE, most=1, demand=0).jobs == []
        assert store.run(Windows()) == {}

    def test_no_more_run_over_all_nodes_than_their_limit(self, store: Store, plant: Plant) -> None:
        theirs = plant([row(JobState.EXECUTING, attempted_by=("other", "theirs"))])
        plant([row(JobState.EXECUTING, queue="mail")])
        insert(store, *[new() for _ in range(5)])
        first = within(store, "first", most=3, demand=5)
        assert (len(first.jobs), first.running) == (2, 3)
        assert Claimed([], None, 3) == within(store, "full", most=3)
        complete(store, theirs[0], first.jobs[0])
        assert len(within(store, "second", most=3).jobs) == 2
        assert Claimed([], None, 1) == within(store, "lower", most=1)

    def test_jobs_that_a_limit_held_back_keep_their_order(self, store: Store) -> None:
        order = [(priority, NOW - n * SECOND) for n in range(3) for priority in (5, 0, 9)]
        jobs = insert(store, *[new(priority=p, scheduled_at=at) for p, at in order])
        found: list[int] = []
        for n in range(5):
            taken = within(store, f"t{n}", rate=RateLimit(2, 60), now=NOW + n * 60 * SECOND)
            found += ids(taken.jobs)
            assert taken.jobs == sorted(taken.jobs, key=claim_order)
        assert ids(sorted(jobs, key=claim_order)) == found

    def test_both_limits_and_the_demand_hold_together(self, store: Store) -> None:
        insert(store, *[new() for _ in range(20)])
        given = {"rate": RateLimit(5, 60), "most": 4}
        assert len(within(store, "a", demand=2, **given).jobs) == 2  # type: ignore[arg-type]  # as given
        first = within(store, "b", demand=9, **given)  # type: ignore[arg-type]  # as given
        assert (len(first.jobs), first.opens_at, first.running) == (2, None, 4)
        complete(store, *first.jobs)
        second = within(store, "c", demand=9, **given)  # type: ignore[arg-type]  # as given
        assert (len(second.jobs), second.opens_at, second.running) == (1, EDGE, 3)

    def test_queues_do_not_count_for_one_another(self, store: Store) -> None:
        insert(store, *[new(queue=queue) for queue in ("a", "b") for _ in range(5)])
        assert len(within(store, "a", queue="a", rate=RATE, most=3).jobs) == 3
        assert len(within(store, "b", queue="b", rate=RATE, most=3).jobs) == 3
        assert store.run(Windows()) == {"a": ((micros(NOW), 3),), "b": ((micros(NOW), 3),)}

    def test_a_reset_and_a_pause_of_all_forget_no_start(self, store: Store) -> None:
        insert(store, *[new() for _ in range(5)])
        within(store, "first", rate=RATE)
        window = store.run(Windows())
        for effect in (
            SetControl("default", Control(paused=True, concurrency=2), NOW),
            ResetControl("default", NOW),
            SetControl(EVERY_QUEUE, Control(paused=True), NOW),
            ResetControl(EVERY_QUEUE, NOW),
        ):
            store.run(effect)
            assert window == store.run(Windows())
        assert within(store, "second", rate=RATE).jobs == []

    def test_a_window_alone_is_nothing_set_by_hand(self, store: Store) -> None:
        insert(store, new())
        within(store, rate=RATE)
        assert store.run(Controls()) == {}
        assert store.run(Poll(lifecycle.stage(NOW), 10, ("default",))).controls == {}
        store.run(SetControl("default", Control(concurrency_over=3), NOW))
        store.run(SetControl(EVERY_QUEUE, Control(paused=True), NOW))
        assert {EVERY_QUEUE: Control(paused=True)} == store.run(Controls())
        store.run(SetControl("default", Control(concurrency=3), NOW))
        assert Control(concurrency=3) == store.run(Controls())["default"]

    def test_what_is_set_by_hand_outlives_limited_claims(self, store: Store) -> None:
        store.run(SetControl("default", Control(concurrency=3, concurrency_over=1), NOW))
        insert(store, new())
        within(store, rate=RATE)
        expected = {"default": Control(concurrency=3, concurrency_over=1)}
        assert expected == store.run(Controls())

    def test_a_limited_claim_whose_answer_was_lost_is_found_by_its_token(
        self, store: Store
    ) -> None:
        insert(store, *[new() for _ in range(4)])
        taken = within(store, "mine", rate=RATE, demand=2)
        assert taken.jobs == store.run(Find(selection.claimed_under("mine", "default")))
        assert len(within(store, "next", rate=RATE).jobs) == 1

    def test_a_job_without_an_attempt_left_is_not_claimed_within_limits_either(
        self, store: Store, plant: Plant
    ) -> None:
        spent, _ = plant([row(attempt=3, max_attempts=3), row(attempt=2, max_attempts=3)])
        assert len(within(store, rate=RATE).jobs) == 1
        assert spent == read(store, spent.id)

    def test_limited_and_other_claims_share_a_queue(self, store: Store) -> None:
        insert(store, *[new() for _ in range(6)])
        claim(store, "unlimited", demand=2)
        assert len(within(store, "within", most=3, rate=RATE).jobs) == 1
        assert store.run(Windows()) == {"default": ((micros(NOW), 1),)}

    @examples(20)
    @given(queue=texts().filter(bool))
    def test_a_queue_of_any_name_may_be_limited(self, store: Store, queue: str) -> None:
        queue = f"{queue[:120]}{len(every(store))}"  # examples share the store
        insert(store, *[new(queue=queue) for _ in range(2)])
        assert len(within(store, "t", queue=queue, rate=RateLimit(1, 60), most=9).jobs) == 1
        assert store.run(Windows())[queue] == ((micros(NOW), 1),)

    @examples(40)
    @given(
        steps=st.lists(
            st.tuples(
                st.integers(-3, 8).map(lambda n: n * SECOND / 2),
                st.integers(0, 5),
                st.none() | st.builds(RateLimit, st.integers(1, 4), st.integers(1, 4)),
                st.none() | st.integers(1, 5),
                st.booleans(),
            ),
            max_size=12,
        )
    )
    def test_any_claims_end_as_in_memory(
        self,
        store: Store,
        steps: list[tuple[timedelta, int, RateLimit | None, int | None, bool]],
    ) -> None:
        queue = f"any{len(every(store))}"  # examples share the store
        reference = MemoryStore(1)
        ours = {job.id: n for n, job in enumerate(_filled(store, queue))}
        theirs = {job.id: n for n, job in enumerate(_filled(reference, queue))}
        now = NOW
        for n, (moved, demand, rate, most, finish) in enumerate(steps):
            now += moved
            given = {"rate": rate, "most": most, "queue": queue, "demand": demand, "now": now}
            found = within(store, f"t{n}", **given)  # type: ignore[arg-type]  # as given
            expected = within(reference, f"t{n}", **given)  # type: ignore[arg-type]  # as given
            assert [theirs[job.id] for job in expected.jobs] == [ours[job.id] for job in found.jobs]
            assert replace(expected, jobs=[]) == replace(found, jobs=[])
            if finish:
                complete(store, *found.jobs)
                complete(reference, *expected.jobs)
        assert reference.run(Windows()).get(queue) == store.run(Windows()).get(queue)


def _filled(store: Store, queue: str) -> list[Job]:
    return insert(store, *[new(queue=queue, priority=n % 3) for n in range(12)])
