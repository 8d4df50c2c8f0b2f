"""How rows go that no correct engine makes go so: states, attempts, outcomes."""

from __future__ import annotations

from dataclasses import replace

from pgjobs.effects import Delete, Settle
from pgjobs.rules import backoff, lifecycle, selection
from pgjobs.rules.job import JobState, Retry
from pgjobs_testing.invariants.sight import CLIENT
from tests.simulation.stories.told import (
    breaks,
    rogue_insert,
    running,
    transition_of,
)
from tests.simulation.story import SECOND, Story


@breaks("known")
def a_job_that_no_insert_stored_is_claimed() -> None:
    story = Story()
    story.up()
    story.store.run(rogue_insert(story))
    story.claim()


@breaks("known")
def an_insert_answers_with_an_id_that_is_taken() -> None:
    story = Story()
    (first,) = story.insert()
    story.insert(lie=lambda jobs: [replace(jobs[0], id=first.id)])


@breaks("known")
def a_job_that_was_deleted_is_staged() -> None:
    story = Story()
    story.up()
    (job,) = story.insert(schedule_in=SECOND)
    story.do(CLIENT, Delete(selection.by_id(job.id), 1))
    story.poll(lie=lambda polled: replace(polled, staged=((job.id, job.queue),)))


@breaks("lawful")
def a_job_that_executes_is_claimed_by_another() -> None:
    story = Story()
    job = running(story)
    story.up("b")
    story.claim("b", lie=lambda _: [replace(job, attempted_by=("b", "x"), attempt=2)])


@breaks("lawful")
def a_poll_stages_what_is_over() -> None:
    story = Story()
    job = running(story)
    story.settle(job)
    story.poll(lie=lambda polled: replace(polled, staged=((job.id, job.queue),)))


@breaks("counted")
def a_claim_passes_the_last_attempt() -> None:
    story = Story()
    story.up()
    (job,) = story.insert(max_attempts=1)
    spent = replace(story.row(job), attempt=1)
    story.seen.planted([spent], story.now)
    story.claim(lie=lambda jobs: [replace(jobs[0], attempt=2)])


@breaks("counted")
def a_snooze_takes_no_attempt_back() -> None:
    story = Story()
    job = running(story)
    settlement = lifecycle.settle(job, lifecycle.Outcome(lifecycle.Event.SNOOZE), story.now)
    kept = replace(settlement, change=replace(settlement.change, attempt_by=0))
    story.do("a", Settle((kept,)))


@breaks("can_run")
def a_retry_by_hand_leaves_no_attempt() -> None:
    story = Story()
    job = running(story, max_attempts=1)
    story.settle(job)
    story.do(CLIENT, transition_of(job, replace(lifecycle.retry(story.now), revive=False)))


@breaks("fenced")
def an_outcome_counts_for_a_claim_that_was_lost() -> None:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    story.settle(job, lie=lambda _: [True])


@breaks("fenced")
def an_outcome_of_the_first_claim_counts_for_the_second() -> None:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    story.order(lifecycle.retry, job)
    story.claim()
    story.settle(job, lie=lambda _: [True])


@breaks("at_its_last_attempt")
def a_failure_discards_a_job_that_has_attempts_left() -> None:
    story = Story()
    job = running(story, max_attempts=5)
    change = lifecycle.Change(lifecycle.Event.FAIL, JobState.DISCARDED, story.now, error="no")
    story.do("a", Settle((lifecycle.Settlement(job.id, job.token, change),)))


@breaks("backed_off")
def a_failure_waits_less_than_its_backoff() -> None:
    story = Story()
    story.settle(running(story), Retry("no"), delay_s=15.9)


@breaks("backed_off")
def a_failure_waits_longer_than_its_backoff_without_jitter() -> None:
    story = Story(worker={"backoff": backoff.exponential(60)}, jitter=False)
    story.settle(running(story), Retry("no"), delay_s=60.1)


@breaks("same_args")
def an_attempt_gets_other_args() -> None:
    story = Story()
    story.up()
    story.insert(args={"n": 1})
    story.claim(lie=lambda jobs: [replace(jobs[0], args={"n": 1.0})])


@breaks("as_told")
def an_answer_is_not_the_row() -> None:
    story = Story()
    story.insert(lie=lambda jobs: [replace(jobs[0], priority=3)])


@breaks("not_refused")
def an_outcome_of_the_claim_that_the_row_has_is_refused() -> None:
    story = Story()
    story.settle(running(story), lie=lambda _: [False], take=False)


@breaks("books")
def an_insert_that_was_committed_is_lost() -> None:
    story = Story()
    story.insert()
    story.seen.compare([], story.now)
