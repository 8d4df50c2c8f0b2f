"""Each invariant sees the history that breaks it, and no other; and the engine as it is breaks none.

A history that breaks one invariant ends with the effect, or the answer, that no correct engine or store
gives. ``test_every_invariant_has_a_history_that_breaks_it`` keeps the list whole.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pgjobs.effects import Claimed, Delete, Insert, Poll, Settle, Transition
from pgjobs.leading import Lease, Prune, Pruned, Rescue, Tick, Watermarks
from pgjobs.plugins import Cron, Pruner, Stalled
from pgjobs.rules import backoff, lifecycle, selection
from pgjobs.rules.errors import LeaseLostError, StoreError, StoreUnavailableError
from pgjobs.rules.job import Discard, Job, JobState, NewJob, Retry, Snooze
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.unique import Unique
from pgjobs_testing.simulation import invariants
from pgjobs_testing.simulation.invariants import settles_within
from pgjobs_testing.simulation.invariants.sight import CLIENT
from pgjobs_testing.simulation.watching import AlarmError
from tests.simulation.story import SECOND, START, Story

BROKEN: list[tuple[str, Callable[[], None]]] = []
PLUGINS = (Stalled(), Pruner(max_age=300), Cron([("* * * * *", NewJob("task", {}))]))
KEY = PLUGINS[2].entries[0].key
MINUTE = 60 * SECOND


def breaks(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """The function tells a history whose last effect breaks the invariant ``name``."""

    def named(history: Callable[[], None]) -> Callable[[], None]:
        BROKEN.append((name, history))
        return history

    return named


def running(story: Story, **given: Any) -> Job:
    """A job that was inserted and claimed, on a node that is up."""
    story.up()
    story.insert(**given)
    (job,) = story.claim()
    return job


def _claimed_instead(job: Job, like: Job) -> Job:
    """``job`` as if it had been claimed as ``like`` was."""
    return replace(
        job,
        state=like.state,
        attempt=1,
        attempted_by=like.attempted_by,
        attempted_at=like.attempted_at,
    )


def rogue_insert(story: Story, new: NewJob | None = None) -> Any:
    return Insert((new or NewJob("task", {}),), story.now)


def transition_of(job: Job, change: lifecycle.Change) -> Any:
    return Transition(selection.by_id(job.id), change, 1)


# States, attempts, outcomes


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


# Starting


@breaks("in_order")
def a_job_overtakes_one_of_a_higher_priority() -> None:
    story = Story()
    story.up()
    story.insert(priority=1)
    (second,) = story.insert(priority=2)
    story.claim(lie=lambda jobs: [_claimed_instead(second, jobs[0])])


@breaks("in_order")
def jobs_of_one_claim_start_out_of_order() -> None:
    story = Story()
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(demand=2, lie=lambda jobs: jobs[::-1])


@breaks("not_early")
def a_job_is_available_before_it_is_due() -> None:
    story = Story()
    job = running(story)
    story.settle(job, Snooze(60))
    change = replace(lifecycle.retry(story.now), scheduled_at=story.now + SECOND)
    story.do(CLIENT, transition_of(job, change))


@breaks("not_early")
def a_job_starts_before_it_is_due_by_every_clock() -> None:
    story = Story(skew=SECOND)
    story.up()
    (job,) = story.insert()
    later = replace(story.row(job), scheduled_at=story.now + 2 * SECOND)
    story.seen.planted([later], story.now)
    story.claim(lie=lambda jobs: [replace(jobs[0], scheduled_at=later.scheduled_at)])


@breaks("not_dated_ahead")
def an_insert_is_dated_ahead_of_every_clock() -> None:
    story = Story(skew=SECOND)
    story.insert(now=story.now + 2 * SECOND)


@breaks("in_its_own_name")
def a_node_claims_in_the_name_of_another() -> None:
    story = Story()
    story.up()
    story.insert()
    story.claim(name="b")


@breaks("beats_first")
def a_node_claims_before_its_first_heartbeat() -> None:
    story = Story()
    story.poll()
    story.wait(1)
    story.insert()
    story.claim()


@breaks("beats_first")
def a_node_claims_when_its_heartbeat_is_old() -> None:
    story = Story()
    story.up()
    story.insert()
    story.wait(20)
    story.poll()
    story.claim()


@breaks("own_token")
def two_claims_have_one_token() -> None:
    story = Story()
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(token="x")
    story.claim(token="x")


@breaks("one_start")
def a_claim_is_started_twice() -> None:
    story = Story()
    job = running(story)
    story.start(job)
    story.start(job)


@breaks("one_start")
def a_job_starts_on_a_node_that_did_not_claim_it() -> None:
    story = Story()
    story.start(running(story), node="b")


@breaks("unpaused")
def a_node_claims_from_a_queue_that_it_knows_to_be_paused() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    story.poll()
    story.wait(0.1)
    story.claim()


@breaks("unpaused")
def a_node_that_has_not_polled_goes_on_with_a_paused_queue() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    story.wait(1.1)
    story.claim()


@breaks("unpaused")
def a_node_claims_before_it_has_read_the_controls() -> None:
    story = Story()
    story.beat()
    story.insert()
    story.claim()


@breaks("unpaused")
def a_queue_that_is_configured_as_paused_is_claimed_from() -> None:
    story = Story({"default": Queue(10, paused=True)})
    running(story)


# Limits


@breaks("slots")
def more_jobs_start_than_there_are_slots() -> None:
    story = Story({"default": Queue(2)})
    story.up()
    story.insert(*[NewJob("task", {})] * 3)
    story.start(*story.claim(demand=2))
    story.claim()


@breaks("slots")
def more_jobs_start_than_a_scale_by_hand_allows() -> None:
    story = Story()
    story.up()
    story.insert(*[NewJob("task", {})] * 3)
    story.control(concurrency=2)
    story.poll()
    story.wait(0.1)
    story.claim(demand=3)


@breaks("within_demand")
def a_claim_takes_more_than_it_asks_for() -> None:
    story = Story()
    story.up()
    jobs = story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(lie=lambda found: [found[0], _claimed_instead(jobs[1], found[0])])


@breaks("limited")
def a_limited_queue_is_claimed_from_without_its_limits() -> None:
    story = Story({"default": Queue(10, global_concurrency=2)})
    running(story)


@breaks("over_all_nodes")
def more_jobs_run_over_all_nodes_than_may() -> None:
    story = Story({"default": Queue(10, global_concurrency=1)})
    limits = Limits(concurrency=1)
    story.up()
    jobs = story.insert(NewJob("task", {}), NewJob("task", {}))
    (first,) = story.claim(limits=limits)
    story.claim(limits=limits, lie=lambda _: Claimed([_claimed_instead(jobs[1], first)], None, 1))


@breaks("windows")
def more_jobs_start_in_a_window_than_may() -> None:
    rate = RateLimit(2, 60)
    story = Story({"default": Queue(10, rate_limit=rate)})
    story.up()
    jobs = story.insert(*[NewJob("task", {})] * 3)
    found = story.claim(demand=2, limits=Limits(rate))
    story.wait(59.9)
    story.beat()
    late = replace(_claimed_instead(jobs[2], found[0]), attempted_at=story.now)
    story.claim(limits=Limits(rate), lie=lambda _: Claimed([late], None, 0))


@breaks("takes")
def a_claim_leaves_what_nothing_holds() -> None:
    story = Story()
    story.up()
    story.insert()
    story.claim(lie=lambda _: [])


@breaks("takes")
def a_limited_claim_leaves_what_its_window_allows() -> None:
    rate = RateLimit(1, 60)
    story = Story({"default": Queue(10, rate_limit=rate)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(limits=Limits(rate))
    story.wait(60)
    story.beat()
    story.claim(limits=Limits(rate), lie=lambda told: Claimed([], told.opens_at, 0))


# Inserting


@breaks("answered")
def an_insert_answers_with_fewer_jobs() -> None:
    Story().insert(NewJob("task", {}), NewJob("task", {}), lie=lambda jobs: jobs[:1])


def once(n: object = 1, **given: Any) -> NewJob:
    """A job that is unique by its args."""
    how = Unique(**{"period": 60, **given})
    return NewJob("task", {"n": n}, unique=how.rule("task", "default", {"n": n}))


@breaks("unique")
def a_duplicate_is_inserted() -> None:
    story = Story()
    story.insert(once())
    story.wait(59.9)
    rogue = replace(once(), unique=None)
    (job,) = story.store.run(rogue_insert(story, rogue))
    story.insert(once(), lie=lambda _: [job])


@breaks("unique")
def an_insert_at_the_end_of_the_period_meets_a_conflict() -> None:
    story = Story()
    (job,) = story.insert(once())
    story.wait(60)
    story.insert(once(), lie=lambda _: [replace(job, conflict=True)])


@breaks("unique")
def an_insert_that_is_not_unique_meets_a_conflict() -> None:
    story = Story()
    (job,) = story.insert()
    story.insert(lie=lambda _: [replace(job, conflict=True)])


@breaks("unique")
def a_conflict_is_answered_with_a_newer_duplicate() -> None:
    story = Story()
    story.insert(once())
    story.wait(60)
    (newer,) = story.insert(once())
    story.insert(once(period=None), lie=lambda _: [replace(newer, conflict=True)])


@breaks("replaces")
def a_conflict_that_should_replace_does_not() -> None:
    story = Story()
    (job,) = story.insert(once())
    again = replace(once(), replace=((JobState.AVAILABLE, ("priority",)),))
    story.insert(again, lie=lambda _: [replace(job, conflict=True)])


@breaks("fingerprints")
def two_kinds_of_args_have_one_fingerprint() -> None:
    story = Story()
    story.insert(once(1))
    alike = once(1).unique
    assert alike is not None and alike.how is not None
    new = replace(once(True), unique=alike)
    object.__setattr__(new, "made", True)
    story.insert(new)


# Polls and orders


@breaks("staged_when_due")
def a_poll_stages_a_job_that_is_not_due() -> None:
    story = Story()
    story.up()
    (job,) = story.insert(schedule_in=SECOND)
    story.poll(lie=lambda polled: replace(polled, staged=((job.id, job.queue),)))


@breaks("staged_when_due")
def a_poll_stages_a_job_before_one_that_has_waited_longer() -> None:
    story = Story()
    story.up()
    story.insert(NewJob("task", {}, schedule_in=SECOND), NewJob("task", {}, schedule_in=2 * SECOND))
    story.wait(2)
    story.poll(lie=lambda polled: replace(polled, staged=polled.staged[::-1]))


@breaks("poll_is_true")
def a_poll_leaves_a_job_that_is_due() -> None:
    story = Story()
    story.up()
    story.insert(schedule_in=SECOND)
    story.wait(1)
    story.poll(lie=lambda polled: replace(polled, staged=()))


@breaks("poll_is_true")
def a_poll_does_not_tell_of_a_pause() -> None:
    story = Story()
    story.up()
    story.control(paused=True)
    story.poll(lie=lambda polled: replace(polled, controls={}))


@breaks("poll_is_true")
def a_poll_does_not_tell_of_a_lost_claim() -> None:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    story.poll(held=((job.id, job.token),), lie=lambda polled: replace(polled, lost=()))


@breaks("told")
def a_run_goes_on_whose_node_heard_that_its_claim_is_lost() -> None:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    story.poll(held=((job.id, job.token),))
    story.poll(held=((job.id, job.token),))


@breaks("poll_is_true")
def a_poll_does_not_tell_what_falls_due_next() -> None:
    story = Story()
    story.insert(schedule_in=SECOND)
    story.poll(lie=lambda polled: replace(polled, next_due=None))


@breaks("poll_is_true")
def a_poll_does_not_tell_of_available_jobs() -> None:
    story = Story()
    story.insert()
    story.poll(lie=lambda polled: replace(polled, ready=()))


@breaks("obeyed")
def a_cancel_by_hand_reaches_nothing() -> None:
    story = Story()
    story.order(lifecycle.cancel, running(story), lie=lambda _: [])


# Leading


@breaks("fence_held")
def a_leader_acts_after_its_lease() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(30)
    story.do("a", Watermarks(story.fence(), ((KEY, START),)), lambda _: {KEY: START}, take=False)


@breaks("fence_held")
def a_leader_acts_under_an_older_token() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(30)
    story.lead("b")
    effect = Prune(story.fence("b", 1), story.now - 300 * SECOND, 10)
    story.do("b", effect, lambda _: Pruned(0, None), take=False)


@breaks("fence_held")
def a_node_acts_under_the_fence_of_another() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.do("b", Watermarks(story.fence(), ((KEY, START),)))


@breaks("fence_refused")
def a_leader_that_holds_its_lease_is_refused() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    effect = Watermarks(story.fence(), ((KEY, START),))
    story.seen.failed("a", effect, LeaseLostError("lost"), story.now)


@breaks("one_holder")
def a_lease_is_taken_before_it_has_run_out() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(29.9)
    story.lead("b", lie=lambda lease: Lease("b", 2, story.now + 30 * SECOND))


@breaks("one_holder")
def a_lease_changes_hands_under_the_same_token() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(30)
    story.lead("b", lie=lambda lease: replace(lease, token=1))


def ticking() -> Story:
    """A leader whose entry has been seen."""
    story = Story(plugins=PLUGINS)
    story.up()
    story.lead()
    story.do("a", Watermarks(story.fence(), ((KEY, story.now),)))
    return story


def tick(story: Story, at: datetime, **lie: Any) -> None:
    story.do("a", Tick(story.fence(), KEY, at, (NewJob("task", {}),)), **lie)


@breaks("once_a_tick")
def a_tick_is_fired_twice() -> None:
    story = ticking()
    story.wait(59.998)
    story.lead()
    tick(story, START + MINUTE)
    (job,) = story.store.run(rogue_insert(story))
    tick(story, START + MINUTE, lie=lambda _: [job], take=False)


@breaks("once_a_tick")
def a_tick_is_lost() -> None:
    story = ticking()
    story.wait(59.998)
    story.lead()
    tick(story, START + MINUTE, lie=lambda _: None, take=False)


@breaks("once_a_tick")
def a_tick_is_fired_before_its_time() -> None:
    story = ticking()
    tick(story, START + MINUTE)


@breaks("once_a_tick")
def a_tick_is_made_up_for_that_is_too_far_back() -> None:
    story = ticking()
    story.wait(91)
    story.lead()
    tick(story, START + MINUTE)


LATE_TICKS = (Cron([("* * * * *", NewJob("task", {}))], catch_up=600),)


def catching_up() -> Story:
    """A new leader, two ticks after the last one that was fired."""
    story = Story(plugins=LATE_TICKS)
    story.up()
    story.lead()
    story.do("a", Watermarks(story.fence(), ((KEY, story.now),)))
    story.wait(150)
    story.lead()
    return story


@breaks("skipped")
def a_new_leader_leaves_out_a_tick_that_is_made_up_for() -> None:
    tick(catching_up(), START + 2 * MINUTE)


def sound_ticks_that_are_made_up_for_in_turn() -> None:
    story = catching_up()
    tick(story, START + MINUTE)
    tick(story, START + 2 * MINUTE)


def sound_tick_after_one_that_the_store_refused() -> None:
    story = catching_up()
    refused = Tick(story.fence(), KEY, START + MINUTE, (NewJob("task", {}),))
    story.seen.failed("a", refused, StoreError("refused"), story.now)
    tick(story, START + 2 * MINUTE)


def silent(seconds: float, **given: Any) -> tuple[Story, Job]:
    """A job of a node that has been silent for so long, and another node that leads."""
    story = Story(plugins=PLUGINS)
    job = running(story, **given)
    story.wait(seconds)
    story.up("b")
    story.lead("b")
    return story, job


def rescue(story: Story, after: timedelta = MINUTE, **lie: Any) -> None:
    again, last = lifecycle.rescue(story.now), lifecycle.rescue_last(story.now)
    story.do("b", Rescue(story.fence("b"), again, last, after, 100), **lie)


@breaks("rescues")
def a_job_of_a_node_that_beats_is_rescued() -> None:
    story, job = silent(59)
    available = replace(job, state=JobState.AVAILABLE)
    rescue(story, lie=lambda _: [available], take=False)


@breaks("rescues")
def a_job_of_a_silent_node_is_not_rescued() -> None:
    story, _ = silent(61)
    rescue(story, lie=lambda _: [], take=False)


@breaks("rescues")
def a_rescue_takes_less_than_the_silence_that_is_configured() -> None:
    story, _ = silent(40)
    rescue(story, after=30 * SECOND)


def finished(seconds: float) -> Story:
    """A job that was over so long ago, and a leader."""
    story = Story(plugins=PLUGINS)
    story.settle(running(story), Discard("useless"))
    story.wait(seconds)
    story.lead()
    return story


def prune(story: Story, age: timedelta = 300 * SECOND, **lie: Any) -> None:
    story.do("a", Prune(story.fence(), story.now - age, 100), **lie)


@breaks("aged")
def a_job_is_pruned_that_is_not_old_enough() -> None:
    prune(finished(299), lie=lambda _: Pruned(1, None), take=False)


@breaks("aged")
def an_old_job_is_not_pruned() -> None:
    prune(finished(301), lie=lambda _: Pruned(0, None), take=False)


@breaks("aged")
def a_prune_asks_for_less_than_the_age_that_is_configured() -> None:
    prune(finished(200), age=100 * SECOND)


# At rest


def rested(story: Story, **given: Any) -> None:
    """All faults are over, for as long as it takes; node a has gone on living."""
    since = story.now
    story.wait(settles_within(story.facts).total_seconds() + 60)
    story.beat()
    story.poll()
    if story.facts.led and given.pop("leads", True):
        story.lead()
    options = {"since": since, "living": ("a",), **given}
    story.seen.at_rest(story.rows(), story.now, **options)


@breaks("drains")
def a_stop_does_not_end() -> None:
    story = Story()
    story.up()
    rested(story, stopping=("a",))


@breaks("ends")
def an_available_job_is_left_where_nothing_holds_it() -> None:
    story = Story()
    story.up()
    story.insert()
    rested(story)


@breaks("ends")
def a_run_does_not_end() -> None:
    story = Story()
    story.start(running(story))
    story.wait(settles_within(story.facts).total_seconds())
    rested(story)


@breaks("no_orphan")
def a_job_executes_for_a_node_that_is_gone() -> None:
    story = Story(plugins=(Stalled(),))
    story.up("b")
    story.insert()
    story.claim("b")
    story.up()
    rested(story)


@breaks("no_orphan")
def a_job_executes_for_a_node_that_does_not_know_of_it() -> None:
    story = Story()
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    first, _ = story.claim(demand=2)
    story.start(first)
    story.settle(first)
    rested(story)


@breaks("one_leader")
def nobody_leads() -> None:
    story = Story(plugins=(Stalled(),))
    story.up()
    story.lead("b")
    rested(story, leads=False)


@breaks("fires")
def a_tick_is_not_fired() -> None:
    story = ticking()
    since = story.now
    story.wait(settles_within(story.facts).total_seconds() + 120)
    story.lead()
    story.seen.at_rest(story.rows(), story.now, since=since, living=("a",))


# What is near to an alarm, and right


def sound_pause_that_a_node_has_not_heard_of() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    story.wait(0.9)
    story.claim()


def sound_pause_whose_poll_lost_its_answer() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    effect = Poll(lifecycle.stage(story.now), 100, ("default",))
    story.do("a", effect)
    story.seen.failed("a", effect, StoreUnavailableError("the line is dead"), story.now)
    story.wait(5)
    story.claim()


def sound_run_whose_loss_was_told_by_an_answer_that_was_lost() -> None:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    held = ((job.id, job.token),)
    effect = Poll(lifecycle.stage(story.now), 100, ("default",), held)
    story.do("a", effect)
    story.seen.failed("a", effect, StoreUnavailableError("the line is dead"), story.now)
    story.poll(held=held)
    story.poll()


def sound_pause_of_a_node_that_was_suspended() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    story.wait(5)
    story.seen.resumed("a", story.now)
    story.claim()


def sound_pause_whose_answer_is_on_its_way() -> None:
    story = Story(delay=SECOND)
    story.up()
    story.insert()
    story.control(paused=True)
    story.poll()
    story.wait(1)
    story.claim()


def sound_claim_that_comes_true_when_its_slots_are_taken_and_its_queue_is_paused() -> None:
    story = Story({"default": Queue(1)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    late = story.claiming("a", "late")
    story.seen.failed("a", late, StoreUnavailableError("the line is dead"), story.now)
    story.start(*story.claim())
    story.control(paused=True)
    story.poll()
    story.wait(1)
    story.do("a", late)


def sound_pause_that_a_late_poll_tells_nobody_of() -> None:
    story = Story()
    story.up()
    story.insert()
    late = Poll(lifecycle.stage(story.now), 100, ("default",))
    story.seen.failed("a", late, StoreUnavailableError("the line is dead"), story.now)
    story.control(paused=True)
    story.do("a", late)
    story.wait(5)
    story.claim()


def sound_scale_to_less_than_runs() -> None:
    story = Story()
    story.up()
    story.insert(*[NewJob("task", {})] * 3)
    jobs = story.claim(demand=3)
    story.start(*jobs)
    story.control(concurrency=1)
    story.poll()
    for job in jobs:
        story.settle(job)
        story.seen.ended("a", job)
    story.wait(0.1)
    story.claim()


def sound_slot_of_a_node_that_crashed() -> None:
    story = Story({"default": Queue(1)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.start(*story.claim())
    story.seen.gone("a")
    story.claim()


def sound_clock_that_is_ahead() -> None:
    story = Story(skew=SECOND)
    story.up()
    story.insert(schedule_in=SECOND)
    story.poll(at=story.now + SECOND)
    story.claim()


def sound_start_at_the_end_of_a_window() -> None:
    rate = RateLimit(1, 60)
    story = Story({"default": Queue(10, rate_limit=rate)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(limits=Limits(rate))
    story.wait(60)
    story.beat()
    story.claim(limits=Limits(rate))


def sound_claim_of_what_another_program_wrote() -> None:
    story = Story()
    story.up()
    (job,) = story.store.run(rogue_insert(story))
    story.seen.planted([job], story.now)
    story.claim()


def sound_rest_of_jobs_that_wait_rightly() -> None:
    rate = RateLimit(1, 86_400)
    queues = {
        "default": Queue(10),
        "paused": Queue(10, paused=True),
        "full": Queue(10, global_concurrency=1),
        "shut": Queue(10, rate_limit=rate),
    }
    story = Story(queues, longest_run=timedelta(hours=1))
    story.up()
    story.insert(*(NewJob("task", {}, queue=queue) for queue in ("paused", "nobody's")))
    story.insert(*(NewJob("task", {}, queue=queue) for queue in ("full", "full", "shut", "shut")))
    story.insert(schedule_in=86_400 * SECOND)
    story.start(*story.claim(queue="full", limits=Limits(concurrency=1)))
    (job,) = story.claim(queue="shut", limits=Limits(rate))
    story.settle(job)
    rested(story)


SOUND = [told for name, told in sorted(globals().items()) if name.startswith("sound_")]


# The tests


@pytest.mark.parametrize(
    "name, history", [pytest.param(name, told, id=told.__name__) for name, told in BROKEN]
)
def test_a_history_that_breaks_an_invariant_raises_its_alarm_and_no_other(
    name: str, history: Callable[[], None]
) -> None:
    with pytest.raises(AlarmError) as raised:
        history()
    assert name == raised.value.alarm.invariant, str(raised.value)


@pytest.mark.parametrize("history", SOUND, ids=lambda told: told.__name__.removeprefix("sound_"))
def test_a_history_that_is_near_to_an_alarm_and_right_raises_none(
    history: Callable[[], None],
) -> None:
    history()


def test_the_first_alarm_is_kept_for_whoever_did_not_see_the_error() -> None:
    story = Story()
    job = running(story)
    for _ in range(2):
        with pytest.raises(AlarmError):
            story.settle(job, lie=lambda _: [False], take=False)
    assert story.seen.alarm is not None
    assert ("not_refused", (job.id,)) == (story.seen.alarm.invariant, story.seen.alarm.jobs)


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    folder = Path(invariants.__file__).parent
    named = {
        call.args[0].value
        for file in sorted(folder.glob("*.py"))
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("alarm", "_alarm")
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    assert named == {name for name, _ in BROKEN}
