"""What settling promises: an outcome counts once, for the claim that produced it, whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.effects import Find, Settle, Transition
from pgjobs.ports import Store
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.job import Cancel, Discard, Job, JobState, Result, Retry, Snooze
from pgjobs.rules.jsonb import storable_text
from pgjobs.rules.lifecycle import Change, Event, Settlement
from pgjobs.rules.selection import OneOf, Selection
from pgjobs_testing.conformance.given import (
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

OUTCOMES = (None, Retry("again"), Discard("no"), Snooze(30), Cancel("stop"))
LATER = NOW + SECOND
STALE = "stale"


def settlement(job: Job, answer: Result | None = None) -> Settlement:
    return lifecycle.settle(job, outcome.returned(answer), LATER, 16.0)


def changes() -> st.SearchStrategy[Change]:
    """Changes that end a run, each with whatever a change may write."""
    kinds = [
        (event, state)
        for event, (left, reached) in lifecycle.TRANSITIONS.items()
        if JobState.EXECUTING in left
        for state in reached
    ]
    return st.builds(
        lambda kind, **fields: Change(kind[0], kind[1], **fields),
        kind=st.sampled_from(kinds),
        at=instants(),
        attempt_by=st.sampled_from([0, -1]),
        scheduled_at=st.none() | instants(),
        error=st.none() | texts(),
        meta=small_objects(),
    )


class Settling:
    """Tests of ``Settle``."""

    @pytest.mark.parametrize("answer", OUTCOMES, ids=str)
    @pytest.mark.parametrize("max_attempts", [1, 2])
    def test_an_outcome_makes_of_a_row_what_the_rule_says(
        self, store: Store, answer: Result | None, max_attempts: int
    ) -> None:
        insert(store, new(max_attempts=max_attempts, meta={"snoozed": 1, "kept": True}))
        (job,) = claim(store)
        settled = settlement(job, answer)
        assert store.run(Settle((settled,))) == [True]
        assert [lifecycle.apply(settled.change, job)] == every(store)

    def test_a_run_that_is_given_back_keeps_its_attempt(self, store: Store) -> None:
        insert(store, new())
        (job,) = claim(store)
        given_back = lifecycle.release(job, LATER)
        assert store.run(Settle((given_back,))) == [True]
        (found,) = every(store)
        assert lifecycle.apply(given_back.change, job) == found
        assert (found.state, found.attempt, found.meta) == (JobState.AVAILABLE, 0, {"released": 1})

    def test_a_batch_is_counted_in_its_order_and_mixes_every_outcome(self, store: Store) -> None:
        insert(store, *[new(args={"n": n}) for n in range(12)])
        jobs = claim(store)
        batch = [settlement(job, OUTCOMES[n % 5]) for n, job in enumerate(jobs)]
        batch.insert(3, Settlement(jobs[3].id, STALE, batch[3].change))
        batch.append(Settlement(jobs[0].id + 10**6, "token", batch[0].change))
        batch.reverse()
        expected = [one.token != STALE and one.id in ids(jobs) for one in batch]
        assert expected == store.run(Settle(tuple(batch)))
        by_id = {one.id: one.change for one in batch if one.token != STALE}
        assert [lifecycle.apply(by_id[job.id], job) for job in jobs] == every(store)

    def test_a_large_batch_is_settled_whole(self, store: Store) -> None:
        insert(store, *[new() for _ in range(1_000)])
        jobs = claim(store, demand=1_000)
        assert store.run(Settle(tuple(settlement(job) for job in jobs))) == [True] * 1_000
        assert {JobState.COMPLETED} == {job.state for job in every(store)}

    def test_completions_of_several_claims_are_each_fenced_by_their_own(self, store: Store) -> None:
        insert(store, *[new() for _ in range(4)])
        first, second = (claim(store, token, demand=2) for token in ("first", "second"))
        batch = [settlement(job) for job in (*first, *second)]
        batch[1] = Settlement(batch[1].id, "second", batch[1].change)
        batch[2] = Settlement(batch[2].id, "", batch[2].change)
        assert store.run(Settle(tuple(batch))) == [True, False, False, True]
        done = [JobState.COMPLETED, JobState.EXECUTING, JobState.EXECUTING, JobState.COMPLETED]
        assert done == [job.state for job in every(store)]

    def test_nothing_is_settled_by_an_empty_batch(self, store: Store) -> None:
        assert store.run(Settle(())) == []

    def test_of_two_outcomes_for_one_claim_in_a_batch_the_first_counts(self, store: Store) -> None:
        insert(store, new())
        (job,) = claim(store)
        batch = (settlement(job, Retry("first")), settlement(job), settlement(job))
        assert store.run(Settle(batch)) == [True, False, False]
        assert [lifecycle.apply(batch[0].change, job)] == every(store)

    def test_an_outcome_is_counted_once_even_when_it_is_sent_again(self, store: Store) -> None:
        insert(store, new())
        (job,) = claim(store)
        batch = (settlement(job, Retry("x")),)
        assert store.run(Settle(batch)) == [True]
        assert store.run(Settle(batch)) == [False]
        assert [lifecycle.apply(batch[0].change, job)] == every(store)

    def test_a_late_outcome_changes_nothing_after_the_job_was_claimed_anew(
        self, store: Store
    ) -> None:
        insert(store, new())
        (first,) = claim(store, "first")
        store.run(Settle((lifecycle.release(first, NOW),)))
        (second,) = claim(store, "second", now=LATER)
        assert store.run(Settle((settlement(first),))) == [False]
        assert [second] == every(store)
        assert store.run(Settle((settlement(second),))) == [True]

    def test_a_late_outcome_changes_nothing_after_a_cancellation(self, store: Store) -> None:
        insert(store, new())
        (job,) = claim(store)
        (cancelled,) = store.run(Transition(selection.by_id(job.id), lifecycle.cancel(NOW), 1))
        assert store.run(Settle((settlement(job, Retry("late")),))) == [False]
        assert [cancelled] == every(store)

    def test_only_executing_rows_are_settled(self, store: Store, plant: Plant) -> None:
        planted = plant([row(state) for state in JobState])
        batch = tuple(settlement(job) for job in planted)
        expected = [job.state is JobState.EXECUTING for job in planted]
        assert expected == store.run(Settle(batch))
        for job, one, counted in zip(planted, batch, expected, strict=True):
            after = lifecycle.apply(one.change, job) if counted else job
            assert after == read(store, job.id)

    def test_errors_are_appended_with_the_attempt_that_failed(
        self, store: Store, plant: Plant
    ) -> None:
        earlier = {"at": "2029-12-31T00:00:00.000000Z", "attempt": 1, "error": "first"}
        (job,) = plant([row(JobState.EXECUTING, attempt=2, errors=(earlier,))])
        assert store.run(Settle((settlement(job, Retry("second")),))) == [True]
        found = read(store, job.id)
        assert found is not None
        appended = {"at": "2030-01-01T12:00:01.123457Z", "attempt": 2, "error": "second"}
        assert (earlier, appended) == found.errors

    @pytest.mark.parametrize(
        "text",
        ["\x00", "\ud800", "a\x00b\udfff\\u0000", "\\x00", "{\"a\": 'b'}\\", "\n\t\x1f\x7f", ""],
    )
    def test_an_error_that_jsonb_cannot_hold_is_kept_in_escapes(
        self, store: Store, text: str
    ) -> None:
        insert(store, new())
        (job,) = claim(store)
        assert store.run(Settle((settlement(job, Retry(text)),))) == [True]
        (found,) = every(store)
        assert storable_text(text) == found.last_error

    @examples(60)
    @given(
        given_rows=st.lists(rows(), min_size=1, max_size=6),
        given_changes=st.lists(changes(), min_size=6, max_size=6),
        stale=st.sets(st.integers(0, 5)),
    )
    def test_any_batch_on_any_rows_equals_the_rule(
        self,
        store: Store,
        plant: Plant,
        given_rows: list[Job],
        given_changes: list[Change],
        stale: set[int],
    ) -> None:
        possible = [job for job in given_rows if job.attempt > 0]
        before = plant(possible)
        batch = tuple(
            Settlement(job.id, STALE if n in stale else job.token, change)
            for n, (job, change) in enumerate(zip(before, given_changes, strict=False))
        )
        counted = [
            job.state is JobState.EXECUTING and one.token == job.token
            for job, one in zip(before, batch, strict=True)
        ]
        assert counted == store.run(Settle(batch))
        after = [
            lifecycle.apply(one.change, job) if fits else job
            for job, one, fits in zip(before, batch, counted, strict=True)
        ]
        assert after == store.run(Find(Selection((OneOf("id", tuple(ids(before))),))))

    def test_every_way_to_end_a_run_is_covered(self) -> None:
        ends = {event for event in Event if JobState.EXECUTING in lifecycle.sources(event)}
        tried = {outcome.returned(answer).event for answer in OUTCOMES}
        assert ends - {Event.RELEASE, Event.RESCUE, Event.DELETE} <= tried
