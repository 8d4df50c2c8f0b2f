"""What a claim promises: the right jobs, in order, each to one claimer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pgjobs.effects import Claim, Find
from pgjobs.ports import Store
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.selection import Contains, OneOf, Selection, claim_order
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
    rows,
)


class Claiming:
    """Tests of ``Claim``."""

    def test_a_claim_starts_the_next_attempt_of_a_job(self, store: Store) -> None:
        (job,) = insert(store, new(args={"a": 1}))
        change = lifecycle.claim("node", "token", NOW + SECOND)
        claimed = store.run(Claim(selection.claimable("default"), 10, change))
        assert [lifecycle.apply(change, job)] == claimed == every(store)
        assert JobState.EXECUTING is claimed[0].state
        assert claimed[0].attempted_by == ("node", "token")

    def test_jobs_are_claimed_by_priority_then_due_instant_then_id(self, store: Store) -> None:
        order = [
            (priority, NOW - offset * MICROSECOND)
            for offset in (0, 2, 1, 1)
            for priority in (9, 0, 5, 0)
        ]
        jobs = insert(store, *[new(priority=p, scheduled_at=at) for p, at in order])
        expected = ids(sorted(jobs, key=claim_order))
        found: list[int] = []
        for demand in (1, 3, 5, 100):
            found += ids(claim(store, f"t{demand}", demand=demand))
        assert expected == found

    def test_no_more_than_the_demand_is_claimed(self, store: Store) -> None:
        insert(store, *[new() for _ in range(5)])
        assert claim(store, demand=0) == []
        assert len(claim(store, demand=3)) == 3
        assert len(claim(store, "other", demand=3)) == 2
        assert claim(store, "third", demand=3) == []

    def test_what_is_not_available_is_not_claimed(self, store: Store, plant: Plant) -> None:
        planted = plant([row(state) for state in JobState])
        assert [job.state for job in planted if job.id in ids(claim(store))] == [JobState.AVAILABLE]

    def test_a_job_without_an_attempt_left_is_not_claimed(self, store: Store, plant: Plant) -> None:
        spent, _ = plant([row(attempt=3, max_attempts=3), row(attempt=2, max_attempts=3)])
        assert len(claim(store)) == 1
        assert spent == read(store, spent.id)

    def test_a_queue_is_served_alone_and_no_queue_means_all(self, store: Store) -> None:
        first, second, third = insert(
            store, new(queue="b", priority=1), new(queue="a"), new(queue="b")
        )
        assert [second.id] == ids(claim(store, queue="a"))
        assert claim(store, queue="B") == []
        assert [third.id, first.id] == ids(claim(store, queue=None))

    def test_a_claim_may_be_narrowed_by_any_condition(self, store: Store) -> None:
        insert(store, new(args={"k": 1}), new(args={"k": 2}), new("tests.rest", args={"k": 2}))
        chosen = selection.claimable(None).and_(
            Contains("args", {"k": 2}), OneOf("worker", ("tests.work",))
        )
        claimed = store.run(Claim(chosen, 10, lifecycle.claim("node", "token", NOW)))
        assert [(job.args, job.worker) for job in claimed] == [({"k": 2}, "tests.work")]

    def test_a_claim_of_everything_takes_what_is_available_alone(
        self, store: Store, plant: Plant
    ) -> None:
        planted = plant([row(state, queue=f"q{n}") for n, state in enumerate(JobState)])
        claimed = store.run(Claim(Selection(), 10, lifecycle.claim("node", "new", NOW)))
        available = [job.id for job in planted if job.state is JobState.AVAILABLE]
        assert available == ids(claimed)

    def test_a_claim_whose_answer_was_lost_is_found_by_its_token(self, store: Store) -> None:
        insert(store, *[new() for _ in range(4)])
        taken = claim(store, "mine", demand=2)
        claim(store, "other", demand=1)
        assert taken == store.run(Find(selection.claimed_under("mine", "default")))
        assert store.run(Find(selection.claimed_under("mine", "mail"))) == []
        assert store.run(Find(selection.claimed_under("nobody", None))) == []

    @examples(40)
    @given(planted=st.lists(rows(), max_size=8), demand=st.integers(0, 9))
    def test_a_claim_of_any_rows_equals_the_rule(
        self, store: Store, plant: Plant, planted: list[Job], demand: int
    ) -> None:
        before = plant([replace(job, priority=job.priority % 2) for job in planted])
        mine = Selection((OneOf("id", tuple(ids(before))),))
        change = lifecycle.claim("node", "new token", NOW)
        chosen = mine.and_(*selection.claimable(None).conditions)
        expected = sorted(filter(chosen.matches, before), key=claim_order)[:demand]
        claimed = store.run(Claim(chosen, demand, change))
        assert [lifecycle.apply(change, job) for job in expected] == claimed
        after = {job.id: job for job in claimed}
        assert [after.get(job.id, job) for job in before] == store.run(Find(mine))
