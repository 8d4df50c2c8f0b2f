"""What a transition and a deletion promise: legal ones as the rule says, illegal ones not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.effects import Delete, Find, Transition
from pgjobs.ports import Store
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.job import MAX_ATTEMPTS, Job, JobState
from pgjobs.rules.lifecycle import TRANSITIONS, Change, Event
from pgjobs.rules.selection import OneOf, Selection
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
    instants,
    new,
    read,
    row,
    rows,
)
from pgjobs_testing.properties.values import small_objects, texts

CHANGES = [(event, state) for event, (_, reached) in TRANSITIONS.items() for state in reached]
MOVES = [(event, state) for event, state in CHANGES if event is not Event.INSERT]


def any_change() -> st.SearchStrategy[Change]:
    """Changes of every event, each with whatever a change may write."""

    def build(kind: tuple[Event, JobState], **fields: object) -> Change:
        return Change(kind[0], kind[1], revive=kind[0] is Event.RETRY, **fields)  # type: ignore[arg-type]  # drawn below

    return st.builds(
        build,
        kind=st.sampled_from(MOVES),
        at=instants(),
        attempted_by=st.none() | st.just(("node", 'tok"en')),
        scheduled_at=st.none() | instants(),
        error=st.none() | texts(),
        meta=small_objects(),
    )


class Moving:
    """Tests of ``Transition`` and ``Delete``."""

    @pytest.mark.parametrize("state", JobState)
    @pytest.mark.parametrize("event,reached", MOVES)
    def test_a_job_leaves_a_state_as_the_table_says_or_not_at_all(
        self, store: Store, plant: Plant, state: JobState, event: Event, reached: JobState
    ) -> None:
        stamps = {f"{name}_at": NOW - SECOND for name in ("completed", "cancelled", "discarded")}
        (job,) = plant([row(state, attempt=20, max_attempts=20, **stamps)])
        change = Change(event, reached, NOW, scheduled_at=NOW, revive=event is Event.RETRY)
        legal = state in lifecycle.sources(event)
        expected = lifecycle.apply(change, job) if legal else job
        answer = store.run(Transition(selection.by_id(job.id), change, 10))
        assert ([expected] if legal else []) == answer
        assert expected == read(store, job.id)

    def test_a_retry_by_hand_leaves_one_attempt_at_the_least(
        self, store: Store, plant: Plant
    ) -> None:
        spans = [(20, 20), (3, 20), (MAX_ATTEMPTS, MAX_ATTEMPTS), (MAX_ATTEMPTS - 1, MAX_ATTEMPTS)]
        jobs = plant([row(JobState.DISCARDED, attempt=at, max_attempts=most) for at, most in spans])
        change = lifecycle.retry(NOW)
        answer = store.run(Transition(Selection(), change, 10))
        assert [lifecycle.apply(change, job) for job in jobs] == answer
        assert len(jobs) == len(claim(store))

    def test_jobs_are_taken_and_answered_by_due_instant_then_id(
        self, store: Store, plant: Plant
    ) -> None:
        offsets = [5, 1, 3, 1, 4, 2]
        jobs = plant([row(JobState.RETRYABLE, scheduled_at=NOW + n * MICROSECOND) for n in offsets])
        order = ids(sorted(jobs, key=lambda job: (job.scheduled_at, job.id)))
        first = store.run(Transition(Selection(), lifecycle.retry(NOW + SECOND), 4))
        assert order[:4] == ids(first)
        second = store.run(Transition(Selection(), lifecycle.cancel(NOW), 10))
        assert [*order[4:], *sorted(order[:4])] == ids(second)

    def test_a_transition_touches_what_was_selected_and_nothing_else(self, store: Store) -> None:
        insert(store, new(queue="a"), new(queue="b"), new(queue="a", schedule_in=SECOND))
        chosen = Selection((OneOf("queue", ("a",)),))
        moved = store.run(Transition(chosen, lifecycle.cancel(NOW), 10))
        assert {"a"} == {job.queue for job in moved}
        states = [job.state for job in every(store)]
        assert states == [JobState.CANCELLED, JobState.AVAILABLE, JobState.CANCELLED]
        assert store.run(Transition(chosen, lifecycle.cancel(NOW), 10)) == []
        assert store.run(Transition(Selection(), lifecycle.cancel(NOW), 0)) == []

    @examples(60)
    @given(given_rows=st.lists(rows(), max_size=6), change=any_change(), limit=st.integers(0, 7))
    def test_any_change_of_any_rows_equals_the_rule(
        self, store: Store, plant: Plant, given_rows: list[Job], change: Change, limit: int
    ) -> None:
        before = plant(given_rows)
        mine = Selection((OneOf("id", tuple(ids(before))),))
        legal = filter(mine.leaving(change.event).matches, before)
        chosen = sorted(legal, key=lambda job: (job.scheduled_at, job.id))[:limit]
        moved = [lifecycle.apply(change, job) for job in chosen]
        assert moved == store.run(Transition(mine, change, limit))
        after = {job.id: job for job in moved}
        assert [after.get(job.id, job) for job in before] == store.run(Find(mine))

    def test_deleted_jobs_are_taken_and_answered_in_the_same_order_as_they_were(
        self, store: Store, plant: Plant
    ) -> None:
        made = [
            row(state, errors=({"error": "x"},), scheduled_at=NOW - n % 3 * SECOND)
            for n, state in enumerate(JobState)
        ]
        jobs = sorted(plant(made), key=lambda job: (job.scheduled_at, job.id))
        assert jobs[:3] == store.run(Delete(Selection(), 3))
        assert sorted(ids(jobs[3:])) == ids(every(store))
        assert jobs[3:] == store.run(Delete(Selection(), 100))
        assert store.run(Delete(Selection(), 100)) == []
        assert every(store) == []

    def test_only_what_was_selected_is_deleted(self, store: Store) -> None:
        kept, gone = insert(store, new(), new("tests.rest"))
        chosen = Selection((OneOf("worker", ("tests.rest",)),))
        assert store.run(Delete(chosen, 0)) == []
        assert [gone] == store.run(Delete(chosen, 10))
        assert [kept] == every(store)
