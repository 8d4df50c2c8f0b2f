"""What heartbeats, leases and a leader's effects promise: fenced, paged, and blind to no job."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Delete, Effect
from pgjobs.leading import (
    Beat,
    Fence,
    Heartbeat,
    Heartbeats,
    Lead,
    Lease,
    Leases,
    Leave,
    Prune,
    Pruned,
    Rescue,
    Resign,
    Tick,
    Watermarks,
)
from pgjobs.ports import Store
from pgjobs.rules import lifecycle
from pgjobs.rules.errors import LeaseLostError
from pgjobs.rules.job import FINAL, Job, JobState
from pgjobs.rules.selection import Selection
from pgjobs_testing.conformance.given import (
    MICROSECOND,
    NOW,
    SECOND,
    Plant,
    every,
    examples,
    ids,
    insert,
    new,
    row,
    rows,
)

SPAN = 30 * SECOND
EVERY = 10 * SECOND
AFTER = 60 * SECOND


def beat(store: Store, node: str, at: datetime = NOW, every: timedelta = EVERY) -> None:
    store.run(Beat(node, NOW - SECOND, at, every))


def lead(store: Store, node: str = "leader", at: datetime = NOW, span: timedelta = SPAN) -> Fence:
    lease = store.run(Lead("default", node, at, span))
    assert lease.node == node
    return Fence("default", node, lease.token, at)


def rescue(fence: Fence, limit: int = 100, after: timedelta = AFTER) -> Rescue:
    again, last = lifecycle.rescue(fence.now), lifecycle.rescue_last(fence.now)
    return Rescue(fence, again, last, after, limit)


def executing(node: str = "gone", token: str = "t", **given: Any) -> Job:  # noqa: S107 - no password
    fields = {"attempted_by": (node, token), "attempted_at": NOW - 3600 * SECOND} | given
    return row(JobState.EXECUTING, **fields)


class Leading:
    """Tests of heartbeats, leases, ``Rescue``, ``Prune``, ``Watermarks`` and ``Tick``."""

    def test_a_heartbeat_that_commits_late_makes_no_node_older(self, store: Store) -> None:
        beat(store, "a", NOW)
        beat(store, "a", NOW - SECOND)
        assert [heard.beat_at for heard in store.run(Heartbeats())] == [NOW]

    def test_a_renewal_that_commits_late_makes_no_lease_shorter(self, store: Store) -> None:
        first = store.run(Lead("default", "a", NOW, timedelta(seconds=30)))
        assert first == store.run(Lead("default", "a", NOW - SECOND, timedelta(seconds=30)))
        assert first == store.run(Leases())["default"]

    def test_a_heartbeat_is_replaced_by_the_next(self, store: Store) -> None:
        assert store.run(Heartbeats()) == []
        beat(store, "b")
        beat(store, "a")
        store.run(Beat("a", NOW, NOW + SECOND, 7 * MICROSECOND))
        expected = [
            Heartbeat("a", NOW, NOW + SECOND, 7 * MICROSECOND),
            Heartbeat("b", NOW - SECOND, NOW, EVERY),
        ]
        assert expected == store.run(Heartbeats())

    def test_a_node_that_leaves_is_forgotten_unless_a_job_executes_in_its_name(
        self, store: Store, plant: Plant
    ) -> None:
        beat(store, "a")
        beat(store, "b")
        plant([executing("b")])
        for node in ("a", "b", "unknown"):
            store.run(Leave(node))
        assert [heard.node for heard in store.run(Heartbeats())] == ["b"]

    def test_a_lease_is_held_to_its_end_and_not_at_it(self, store: Store) -> None:
        first = store.run(Lead("x", "a", NOW, SPAN))
        assert Lease("a", 1, NOW + SPAN) == first
        assert first == store.run(Lead("x", "b", NOW + SPAN - MICROSECOND, SPAN))
        second = store.run(Lead("x", "b", NOW + SPAN, SPAN))
        assert Lease("b", 2, NOW + 2 * SPAN) == second
        assert {"x": second} == store.run(Leases())

    def test_a_renewal_keeps_the_token_as_long_as_nobody_else_led(self, store: Store) -> None:
        store.run(Lead("x", "a", NOW, SPAN))
        assert Lease("a", 1, NOW + 2 * SPAN) == store.run(Lead("x", "a", NOW + SPAN, SPAN))
        assert Lease("a", 1, NOW + 9 * SPAN) == store.run(Lead("x", "a", NOW + 8 * SPAN, SPAN))
        store.run(Lead("x", "b", NOW + 9 * SPAN, SPAN))
        assert store.run(Lead("x", "a", NOW + 10 * SPAN, SPAN)).token == 3

    def test_leases_of_different_names_are_apart(self, store: Store) -> None:
        store.run(Lead("y", "a", NOW, SPAN))
        store.run(Lead("x", "b", NOW, SPAN))
        assert {name: lease.node for name, lease in store.run(Leases()).items()} == {
            "x": "b",
            "y": "a",
        }

    def test_a_lease_that_was_given_back_is_free_at_once(self, store: Store) -> None:
        fence = lead(store, "a")
        store.run(Resign(Fence("default", "b", fence.token, NOW)))
        assert store.run(Lead("default", "b", NOW, SPAN)).node == "a"
        store.run(Resign(fence))
        assert Lease("b", 2, NOW + SPAN) == store.run(Lead("default", "b", NOW, SPAN))

    @pytest.mark.parametrize("how", ["another leads", "expired", "old token", "unknown lease"])
    def test_no_effect_of_a_leader_changes_anything_after_its_lease(
        self, store: Store, plant: Plant, how: str
    ) -> None:
        held = lead(store)
        beat(store, "old", NOW - timedelta(days=3))
        old = NOW - timedelta(days=30)
        plant([executing(), row(JobState.COMPLETED, completed_at=old)])
        if how == "another leads":
            lead(store, "usurper", NOW + SPAN)
        lost = {
            "another leads": held,
            "expired": Fence("default", "leader", held.token, NOW + SPAN),
            "old token": Fence("default", "leader", held.token - 1, NOW),
            "unknown lease": Fence("other", "leader", held.token, NOW),
        }[how]
        effects: list[Effect[Any]] = [
            rescue(lost, after=SECOND),
            Prune(lost, NOW, 10),
            Watermarks(lost, (("k", NOW),)),
            Tick(lost, "k", NOW, (new(),)),
        ]
        before = every(store), store.run(Heartbeats())
        for effect in effects:
            with pytest.raises(LeaseLostError, match="is no longer held by leader"):
                store.run(effect)
        assert before == (every(store), store.run(Heartbeats()))
        again = lead(store, "usurper" if how == "another leads" else "leader", NOW + SPAN)
        assert store.run(Watermarks(again, (("k", NOW + SECOND),))) == {"k": NOW + SECOND}

    def test_jobs_of_a_silent_node_are_rescued_and_those_of_a_beating_one_never(
        self, store: Store, plant: Plant
    ) -> None:
        fence = lead(store)
        beat(store, "silent", NOW - AFTER - MICROSECOND)
        beat(store, "alive", NOW - AFTER)
        planted = plant(
            [
                executing("silent", attempted_at=NOW),
                executing("alive", attempted_at=NOW - timedelta(days=900)),
                executing("silent", attempt=20, max_attempts=20),
                executing("leader", attempted_at=NOW - timedelta(days=900)),
                row(JobState.RETRYABLE, attempted_by=("silent", "t")),
            ]
        )
        again, last = (
            lifecycle.apply(lifecycle.rescue(NOW), planted[0]),
            lifecycle.apply(lifecycle.rescue_last(NOW), planted[2]),
        )
        assert [again, last] == store.run(rescue(fence))
        assert (again.state, again.attempt) == (JobState.AVAILABLE, 1)
        assert (last.state, last.discarded_at) == (JobState.DISCARDED, NOW)
        assert last.last_error == lifecycle.RESCUED_LAST
        assert [again, planted[1], last, *planted[3:]] == every(store)
        assert store.run(rescue(fence)) == []

    def test_a_node_is_given_three_of_its_own_intervals(self, store: Store, plant: Plant) -> None:
        fence = lead(store)
        beat(store, "slow", NOW - 3 * AFTER, AFTER)
        beat(store, "gone", NOW - 3 * AFTER - MICROSECOND, AFTER)
        _, lost = plant([executing("slow"), executing("gone")])
        assert [lost.id] == ids(store.run(rescue(fence, after=SECOND)))

    def test_a_job_of_an_unknown_node_is_rescued_after_an_hour(
        self, store: Store, plant: Plant
    ) -> None:
        fence = lead(store)
        hour = timedelta(hours=1)
        young = executing("oban@host", attempted_at=NOW - hour)
        old = executing("oban@host", attempted_at=NOW - hour - MICROSECOND)
        unknown = executing(attempted_at=None, attempted_by=())
        planted = plant([young, old, unknown])
        assert ids(planted[1:]) == ids(store.run(rescue(fence)))

    def test_jobs_that_are_not_to_be_rescued_fill_no_page(self, store: Store, plant: Plant) -> None:
        fence = lead(store)
        beat(store, "alive")
        beat(store, "silent", NOW - 2 * AFTER)
        plant([executing("alive") for _ in range(7)])
        lost = plant([executing("silent") for _ in range(5)])
        assert [len(store.run(rescue(fence, limit=2))) for _ in range(4)] == [2, 2, 1, 0]
        assert {JobState.AVAILABLE} == {
            job.state for job in every(store) if job.id in set(ids(lost))
        }

    def test_a_heartbeat_that_executing_jobs_name_is_kept_for_ever(
        self, store: Store, plant: Plant
    ) -> None:
        fence = lead(store, span=timedelta(days=1000))
        day = timedelta(days=1)
        beat(store, "idle", NOW - day - MICROSECOND)
        beat(store, "young", NOW - day)
        beat(store, "busy", NOW - 900 * day, 400 * day)
        beat(store, "leader", NOW - 900 * day)
        plant([executing("busy")])
        assert store.run(rescue(fence)) == []
        assert [heard.node for heard in store.run(Heartbeats())] == ["busy", "leader", "young"]

    @examples(40)
    @given(planted=st.lists(rows(), max_size=6), ago=st.integers(0, 90))
    def test_a_rescue_of_any_rows_equals_that_in_memory(
        self, store: Store, plant: Plant, planted: list[Job], ago: int
    ) -> None:
        store.run(Delete(Selection(), 1_000))
        store.run(Leave("node"))  # of an earlier example, whose beat may be younger
        kept = plant(planted)
        reference = MemoryStore(1)
        for job in kept:
            reference.tables.jobs.put(job)
        found = []
        for each in (store, reference):
            fence = lead(each)
            beat(each, "node", NOW - ago * SECOND)
            found.append([job for job in each.run(rescue(fence)) if job.id in set(ids(kept))])
        assert found[1] == found[0]

    def test_age_counts_from_the_final_state_of_each_kind(self, store: Store, plant: Plant) -> None:
        fence = lead(store)
        old, young = NOW - SECOND, NOW - SECOND + MICROSECOND
        long_ago = NOW - timedelta(days=300)
        gone = plant(
            [
                row(JobState.COMPLETED, completed_at=old),
                row(JobState.CANCELLED, cancelled_at=old),
                row(JobState.DISCARDED, discarded_at=old),
            ]
        )
        kept = plant(
            [
                row(JobState.COMPLETED, completed_at=young, scheduled_at=long_ago),
                row(JobState.CANCELLED, cancelled_at=young, completed_at=long_ago),
                row(JobState.DISCARDED, discarded_at=young, cancelled_at=long_ago),
                row(JobState.RETRYABLE, completed_at=old),
                executing(scheduled_at=long_ago),
            ]
        )
        assert Pruned(3, young) == store.run(Prune(fence, old, 10))
        assert kept == every(store)
        assert Pruned(0, young) == store.run(Prune(fence, old, 10))
        assert gone[0] not in every(store)

    def test_the_oldest_are_pruned_first_and_no_more_than_the_limit(
        self, store: Store, plant: Plant
    ) -> None:
        fence = lead(store)
        planted = plant(
            [
                row(JobState.COMPLETED, completed_at=NOW - 2 * SECOND),
                row(JobState.DISCARDED, discarded_at=NOW - 4 * SECOND),
                row(JobState.CANCELLED, cancelled_at=NOW - 3 * SECOND),
                row(JobState.COMPLETED, completed_at=NOW - 2 * SECOND),
            ]
        )
        left = [planted, [planted[0], *planted[2:]], [planted[0], planted[3]], planted[3:], []]
        for n, expected in enumerate(left[1:]):
            assert Pruned(1, None) == store.run(Prune(fence, NOW, 1)), n
            assert expected == every(store)
        assert Pruned(0, None) == store.run(Prune(fence, NOW, 1))

    def test_what_is_not_over_is_never_pruned(self, store: Store, plant: Plant) -> None:
        fence, long_ago = lead(store), NOW - timedelta(days=900)
        stamps = {"inserted_at": long_ago, "scheduled_at": long_ago, "attempted_at": long_ago}
        planted = plant([row(state, **stamps) for state in JobState if state not in FINAL])
        assert Pruned(0, None) == store.run(Prune(fence, NOW, 100))
        assert planted == every(store)

    def test_an_entry_starts_where_it_is_first_seen(self, store: Store) -> None:
        fence = lead(store)
        first = store.run(Watermarks(fence, (("b", NOW), ("a", NOW + SECOND))))
        assert list(first.items()) == [("b", NOW), ("a", NOW + SECOND)]
        again = store.run(Watermarks(fence, (("a", NOW), ("c", NOW))))
        assert again == {"a": NOW + SECOND, "c": NOW}
        assert store.run(Watermarks(fence, ())) == {}

    def test_a_tick_is_fired_once_whoever_leads(self, store: Store) -> None:
        fence = lead(store)
        store.run(Watermarks(fence, (("k", NOW),)))
        tick = Tick(fence, "k", NOW + SECOND, (new(args={"n": 1}), new(args={"n": 2})))
        fired = store.run(tick)
        assert fired is not None
        assert [job.args for job in fired] == [{"n": 1}, {"n": 2}]
        assert fired == every(store)
        assert store.run(tick) is None
        usurper = lead(store, "usurper", NOW + SPAN)
        assert store.run(Tick(usurper, "k", NOW + SECOND, (new(),))) is None
        assert store.run(Tick(usurper, "k", NOW, (new(),))) is None
        assert fired == every(store)
        assert store.run(Tick(usurper, "k", NOW + 2 * SECOND, ())) == []
        assert store.run(Watermarks(usurper, (("k", NOW),))) == {"k": NOW + 2 * SECOND}

    def test_a_tick_of_an_entry_that_nobody_has_seen_is_fired(self, store: Store) -> None:
        fence = lead(store)
        assert store.run(Tick(fence, "new", NOW, ())) == []
        assert store.run(Tick(fence, "new", NOW, ())) is None

    def test_what_a_tick_inserts_is_as_any_insert(self, store: Store) -> None:
        fence = lead(store)
        jobs = (new(schedule_in=SECOND), new(queue="mail"))
        (fired,) = [store.run(Tick(fence, "k", NOW, jobs))]
        inserted = insert(store, *jobs)
        assert fired is not None
        assert [job.scheduled_at for job in fired] == [job.scheduled_at for job in inserted]
        assert [job.state for job in fired] == [JobState.SCHEDULED, JobState.AVAILABLE]
