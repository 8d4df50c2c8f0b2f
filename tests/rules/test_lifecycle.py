"""The life of a job: which passages are legal, what each writes, and what an outcome makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.rules import backoff, lifecycle
from pgjobs.rules.job import FINAL, MAX_ATTEMPTS, Job, JobState
from pgjobs.rules.lifecycle import (
    TRANSITIONS,
    Change,
    Event,
    Outcome,
    Settlement,
    apply,
    settle,
    sources,
)
from pgjobs.rules.outcome import COMPLETED, failed
from pgjobs.rules.schedule import LAST_INSTANT
from tests.rules.factory import FINAL_STAMPS, NOW, TOKEN, job

LATER = NOW + timedelta(hours=1)
SNOOZED = Outcome(Event.SNOOZE, snooze_s=60.0)
DISCARDED = Outcome(Event.DISCARD, "no use")
CANCELLED = Outcome(Event.CANCEL, "not wanted")
FAILED = failed(ValueError("no"))

CHANGES: dict[Event, Callable[[Job], Change]] = {
    Event.STAGE: lambda _: lifecycle.stage(LATER),
    Event.CLAIM: lambda _: lifecycle.claim("node-b", "token-2", LATER),
    Event.COMPLETE: lambda j: settle(j, COMPLETED, LATER).change,
    Event.FAIL: lambda j: settle(j, FAILED, LATER, 16.0).change,
    Event.DISCARD: lambda j: settle(j, DISCARDED, LATER).change,
    Event.SNOOZE: lambda j: settle(j, SNOOZED, LATER).change,
    Event.CANCEL: lambda _: lifecycle.cancel(LATER),
    Event.RELEASE: lambda j: lifecycle.release(j, LATER).change,
    Event.RESCUE: lambda _: lifecycle.rescue(LATER),
    Event.RETRY: lambda _: lifecycle.retry(LATER),
}
EXPECTED = {  # what the contract says, written once more: event -> states it leaves -> state reached
    Event.STAGE: ("scheduled retryable", "available"),
    Event.CLAIM: ("available", "executing"),
    Event.COMPLETE: ("executing", "completed"),
    Event.FAIL: ("executing", "retryable"),
    Event.DISCARD: ("executing", "discarded"),
    Event.SNOOZE: ("executing", "scheduled"),
    Event.CANCEL: ("available scheduled retryable executing suspended", "cancelled"),
    Event.RELEASE: ("executing", "available"),
    Event.RESCUE: ("executing", "available"),
    Event.RETRY: ("scheduled retryable completed discarded cancelled suspended", "available"),
}


@pytest.mark.parametrize("event", EXPECTED)
@pytest.mark.parametrize("state", JobState)
def test_an_event_leaves_just_the_states_of_the_contract(event: Event, state: JobState):
    before, after = EXPECTED[event]
    one = job(state)
    change = CHANGES[event](one)
    if state in before.split():
        assert JobState(after) is apply(change, one).state
    else:
        with pytest.raises(AssertionError, match=f"{event} cannot leave {state}"):
            apply(change, one)


def test_every_event_is_in_the_table_and_in_this_test():
    assert set(Event) == set(TRANSITIONS) == {*EXPECTED, Event.INSERT, Event.DELETE}
    assert set(JobState) == set(sources(Event.DELETE))


@pytest.mark.parametrize("event", EXPECTED)
@pytest.mark.parametrize("state", JobState)
def test_a_change_cannot_be_made_for_a_state_that_its_event_does_not_reach(
    event: Event, state: JobState
):
    if state in TRANSITIONS[event][1]:
        assert state is Change(event, state, NOW).state
    else:
        with pytest.raises(AssertionError, match=f"{event} cannot reach {state}"):
            Change(event, state, NOW)


def test_suspended_is_never_made():
    assert all(JobState.SUSPENDED not in reached for _, reached in TRANSITIONS.values())


def test_nothing_but_a_retry_by_hand_leaves_a_final_state():
    leaving = {event for event in Event for state in FINAL if state in sources(event)}
    assert {Event.RETRY, Event.DELETE} == leaving


@pytest.mark.parametrize("event", EXPECTED)
def test_a_change_touches_no_more_than_it_has_to(event: Event):
    before = job(JobState(EXPECTED[event][0].split()[0]), args={"a": 1}, tags=("t",))
    after = apply(CHANGES[event](before), before)
    same = ("id", "queue", "worker", "args", "tags", "priority", "inserted_at")
    assert [getattr(before, name) for name in same] == [getattr(after, name) for name in same]


@pytest.mark.parametrize("event", EXPECTED)
def test_a_final_state_is_stamped_in_its_own_column_only(event: Event):
    before = job(JobState(EXPECTED[event][0].split()[0]))
    after = apply(CHANGES[event](before), before)
    stamps = {name: getattr(after, name) for name in FINAL_STAMPS.values()}
    wanted = FINAL_STAMPS.get(after.state)
    assert {name: LATER if name == wanted else None for name in stamps} == stamps


def test_a_claim_begins_the_next_attempt_in_the_name_of_its_node():
    before = job(JobState.AVAILABLE, attempt=3, attempted_by=("node-a", TOKEN))
    after = apply(lifecycle.claim("node-b", "token-2", LATER), before)
    assert (4, LATER, ("node-b", "token-2")) == (
        after.attempt,
        after.attempted_at,
        after.attempted_by,
    )
    assert "token-2" == after.token
    assert before.scheduled_at == after.scheduled_at


def test_staging_leaves_the_instant_at_which_the_job_was_due():
    before = job(JobState.SCHEDULED)
    assert before.scheduled_at == apply(lifecycle.stage(LATER), before).scheduled_at


@pytest.mark.parametrize(
    "outcome, attempt, state, attempt_after, due_in, error",
    [
        (COMPLETED, 1, "completed", 1, None, None),
        (COMPLETED, 3, "completed", 3, None, None),
        (FAILED, 1, "retryable", 1, 16.0, "ValueError: no"),
        (FAILED, 2, "retryable", 2, 16.0, "ValueError: no"),
        (FAILED, 3, "discarded", 3, None, "ValueError: no"),
        (FAILED, 4, "discarded", 4, None, "ValueError: no"),
        (SNOOZED, 1, "scheduled", 0, 60.0, None),
        (SNOOZED, 3, "scheduled", 2, 60.0, None),
        (DISCARDED, 1, "discarded", 1, None, "no use"),
        (DISCARDED, 3, "discarded", 3, None, "no use"),
        (CANCELLED, 1, "cancelled", 1, None, "not wanted"),
        (CANCELLED, 3, "cancelled", 3, None, "not wanted"),
    ],
)
def test_an_outcome_makes_of_a_job_what_the_table_says(
    outcome: Outcome,
    attempt: int,
    state: str,
    attempt_after: int,
    due_in: float | None,
    error: str | None,
):
    before = job(attempt=attempt, max_attempts=3)
    settlement = settle(before, outcome, LATER, 16.0)
    after = apply(settlement.change, before)
    due = before.scheduled_at if due_in is None else LATER + timedelta(seconds=due_in)
    assert (before.id, TOKEN) == (settlement.id, settlement.token)
    assert (state, attempt_after, due) == (after.state, after.attempt, after.scheduled_at)
    assert 3 == after.max_attempts
    expected = (
        []
        if error is None
        else [{"at": "2025-03-01T13:00:00.000000Z", "attempt": attempt, "error": error}]
    )
    assert expected == list(after.errors)


def test_errors_are_appended_to_those_of_earlier_attempts():
    earlier = {"at": "2025-01-01T00:00:00.000000Z", "attempt": 1, "error": "first"}
    before = job(attempt=2, errors=(earlier,))
    after = apply(settle(before, FAILED, LATER, 1.0).change, before)
    assert [1, 2] == [error["attempt"] for error in after.errors]
    assert "ValueError: no" == after.last_error


def test_an_empty_reason_is_recorded_as_well():
    before = job()
    after = apply(settle(before, Outcome(Event.CANCEL, ""), LATER).change, before)
    assert [""] == [error["error"] for error in after.errors]


@given(st.integers(0, 40), st.integers(1, 5))
def test_no_number_of_snoozes_changes_a_later_backoff_or_uses_up_attempts(snoozes: int, runs: int):
    one = job(JobState.AVAILABLE, attempt=0, max_attempts=20)
    plain = backoff.guide()
    for _ in range(runs):
        for _ in range(snoozes):
            one = apply(lifecycle.claim("n", "t", NOW), one)
            one = apply(settle(one, SNOOZED, NOW).change, one)
            one = apply(lifecycle.stage(NOW), one)
        one = apply(lifecycle.claim("n", "t", NOW), one)
        wait = plain(one.attempt)
        one = apply(settle(one, FAILED, NOW, wait).change, one)
        one = apply(lifecycle.stage(NOW), one)
    assert (runs, 20, snoozes * runs) == (one.attempt, one.max_attempts, one.snoozed)
    assert list(range(1, runs + 1)) == [error["attempt"] for error in one.errors]
    assert NOW + timedelta(seconds=plain(runs)) == one.scheduled_at


@pytest.mark.parametrize("kept", ["3", True, None, 1.5, [1]])
def test_a_counter_that_is_no_whole_number_counts_as_zero(kept: object):
    before = job(meta={"snoozed": kept, "mine": 1})
    assert 0 == before.snoozed
    after = apply(settle(before, SNOOZED, LATER).change, before)
    assert {"mine": 1, "snoozed": 1} == after.meta


def test_a_wait_without_end_is_due_at_the_last_instant():
    before = job()
    assert LAST_INSTANT == settle(before, FAILED, NOW, float("inf")).change.scheduled_at
    endless = Outcome(Event.SNOOZE, snooze_s=float("inf"))
    assert LAST_INSTANT == settle(before, endless, NOW).change.scheduled_at


def test_a_release_gives_the_attempt_back_and_counts_itself():
    before = job(attempt=2, meta={"released": 1})
    settlement = lifecycle.release(before, LATER)
    after = apply(settlement.change, before)
    assert (TOKEN, "available", 1, 2) == (
        settlement.token,
        after.state,
        after.attempt,
        after.meta["released"],
    )
    assert () == after.errors


@pytest.mark.parametrize(
    "attempt, most, attempt_after, most_after",
    [
        (0, 20, 0, 20),
        (1, 20, 1, 20),
        (19, 20, 19, 20),
        (20, 20, 20, 21),
        (25, 20, 25, 26),
        (MAX_ATTEMPTS - 1, MAX_ATTEMPTS - 1, MAX_ATTEMPTS - 1, MAX_ATTEMPTS),
        (MAX_ATTEMPTS - 1, MAX_ATTEMPTS, MAX_ATTEMPTS - 1, MAX_ATTEMPTS),
        (MAX_ATTEMPTS, MAX_ATTEMPTS, MAX_ATTEMPTS - 1, MAX_ATTEMPTS),
    ],
)
def test_a_retry_by_hand_leaves_one_attempt_at_least(
    attempt: int, most: int, attempt_after: int, most_after: int
):
    before = job(JobState.DISCARDED, attempt=attempt, max_attempts=most)
    after = apply(lifecycle.retry(LATER), before)
    assert (attempt_after, most_after) == (after.attempt, after.max_attempts)


@pytest.mark.parametrize("state", sources(Event.RETRY))
def test_a_retry_by_hand_is_due_at_once_and_clears_the_final_stamps(state: JobState):
    stamps = dict.fromkeys(FINAL_STAMPS.values(), NOW)
    before = job(state, scheduled_at=LATER + timedelta(days=9), **stamps)
    after = apply(lifecycle.retry(LATER), before)
    assert (JobState.AVAILABLE, LATER) == (after.state, after.scheduled_at)
    assert (None, None, None) == (after.completed_at, after.discarded_at, after.cancelled_at)


def test_a_change_by_hand_appends_no_error():
    before = job()
    assert () == apply(lifecycle.cancel(LATER), before).errors


def test_applying_a_change_leaves_the_job_before_it_alone():
    before = job(meta={"a": {"b": [1]}})
    untouched = replace(before, meta={"a": {"b": [1]}})
    after = apply(settle(before, SNOOZED, LATER).change, before)
    after.meta["a"]["b"].append(2)
    assert untouched == before


def test_the_diagram_shows_every_passage_of_the_table():
    lines = lifecycle.diagram().splitlines()
    assert "stateDiagram-v2" == lines[0]
    assert "    available --> executing: claim" in lines
    assert "    [*] --> scheduled: insert" in lines
    assert len(lines) == 1 + sum(
        len(left or (1,)) * len(reached or (1,)) for left, reached in TRANSITIONS.values()
    )


OURS: dict[str, Callable[[Job], Settlement]] = {
    "complete": lambda claimed: settle(claimed, COMPLETED, LATER),
    "fail": lambda claimed: settle(claimed, FAILED, LATER, 16.0),
    "discard": lambda claimed: settle(claimed, DISCARDED, LATER),
    "cancel": lambda claimed: settle(claimed, CANCELLED, LATER),
    "snooze": lambda claimed: settle(claimed, SNOOZED, LATER),
    "release": lambda claimed: lifecycle.release(claimed, LATER),
}


def change_of(settled: Callable[[Job], Settlement]) -> Callable[[Job], Change]:
    return lambda row: settled(row).change


OTHERS: dict[str, Callable[[Job], Change]] = {
    **{name: change_of(settled) for name, settled in OURS.items()},
    "cancel with its group": lambda row: replace(
        settle(row, CANCELLED, LATER).change, error="other"
    ),
    "rescue": lambda _: lifecycle.rescue(LATER),
    "stage": lambda _: lifecycle.stage(LATER),
    "claim": lambda _: lifecycle.claim("node-b", "token-2", LATER),
    "retry": lambda _: lifecycle.retry(LATER),
}
BEFORE_OURS = ("cancel with its group", "rescue")
"""What can end a claim whose own outcome was not saved."""


@given(
    st.sampled_from(sorted(OURS)),
    st.none() | st.sampled_from(BEFORE_OURS),
    st.lists(st.sampled_from(sorted(OTHERS)), max_size=8),
    st.integers(0, 2),
    st.integers(0, 2),
)
def test_no_other_end_at_the_same_instant_is_taken_for_ones_own(
    ours: str, instead: str | None, others: list[str], snoozed: int, released: int
):
    claimed = job(meta={"snoozed": snoozed, "released": released})
    settlement = OURS[ours](claimed)
    row = apply(settlement.change if instead is None else OTHERS[instead](claimed), claimed)
    assert (instead is None) == lifecycle.took_effect(settlement, claimed, row)
    for name in others:
        change = OTHERS[name](row)
        runs = row.state is JobState.EXECUTING
        if row.state in sources(change.event) and (runs or name not in OURS):
            row = apply(change, row)
    seen = lifecycle.took_effect(settlement, claimed, row)
    assert instead is None or not seen
    if instead is None and settlement.change.error is not None:
        assert seen


@given(st.lists(st.sampled_from(["snooze", "release", "stage", "claim"]), max_size=12))
def test_a_snooze_is_seen_however_often_the_job_is_given_back_after_it(others: list[str]):
    claimed = job()
    settlement = settle(claimed, SNOOZED, LATER)
    row = apply(settlement.change, claimed)
    for name in others:
        change = OTHERS[name](row)
        if row.state in sources(change.event):
            row = apply(change, row)
    assert lifecycle.took_effect(settlement, claimed, row)
