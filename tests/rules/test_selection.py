"""Which jobs are meant: filters, what nodes may claim and stage, and how bad filters are refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.rules.errors import ConfigurationError, InvalidJobError
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.lifecycle import Event, sources
from pgjobs.rules.selection import (
    FILTERS,
    OneOf,
    Selection,
    by_id,
    claim_order,
    claimable,
    claimed_under,
    due,
    filtered,
)
from tests.rules.factory import NOW, TOKEN, job

TICK = timedelta(microseconds=1)
ONE = job(
    JobState.AVAILABLE,
    id=5,
    queue="mail",
    args={"to": {"id": 3, "name": "x"}, "kinds": ["a", "b"]},
    meta={"trace": "t"},
    tags=("vip", "eu"),
    attempt=2,
    priority=4,
)


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({}, True),
        ({"state": "available"}, True),
        ({"state": JobState.AVAILABLE}, True),
        ({"state": ["scheduled", "available"]}, True),
        ({"state": "scheduled"}, False),
        ({"state": []}, False),
        ({"queue": "mail"}, True),
        ({"queue": ("mail", "web")}, True),
        ({"queue": {"web"}}, False),
        ({"worker": "shop.ship"}, True),
        ({"id": 5}, True),
        ({"id": [1, 5]}, True),
        ({"id": 6}, False),
        ({"attempt": 2, "priority": 4, "max_attempts": 20}, True),
        ({"attempt": 3}, False),
        ({"args": {"to": {"id": 3}}}, True),
        ({"args": {"to": {"id": 3.0}}}, True),
        ({"args": {"to": {"id": True}}}, False),
        ({"args": {"kinds": ("b",)}}, True),
        ({"args": {"kinds": ["c"]}}, False),
        ({"args": {}}, True),
        ({"meta": {"trace": "t"}}, True),
        ({"meta": {"trace": "u"}}, False),
        ({"tags": "vip"}, True),
        ({"tags": ["eu", "vip"]}, True),
        ({"tags": []}, True),
        ({"tags": ["vip", "us"]}, False),
        ({"attempted_by": "node-a"}, True),
        ({"attempted_by": "node-b"}, False),
        ({"scheduled_at": NOW - timedelta(minutes=1)}, True),
        ({"scheduled_at": NOW}, False),
        ({"completed_at": None}, True),
        ({"completed_at": NOW}, False),
        ({"completed_at": [None, NOW]}, True),
        ({"state": "available", "queue": "web"}, False),
    ],
)
def test_filters_match_by_field_list_containment_and_tags(filters: dict[str, Any], expected: bool):
    assert expected == filtered(filters).matches(ONE)


@pytest.mark.parametrize(
    "filters, message",
    [
        ({"sate": "available"}, "unknown filter 'sate': did you mean 'state'"),
        ({"frobnicate": 1}, "unknown filter 'frobnicate'; known are args, attempt, "),
        ({"state": "availible"}, "unknown state 'availible': did you mean 'available'"),
        ({"state": None}, "unknown state 'None'"),
        ({"state": [1]}, "unknown state '1'"),
        ({"id": "5"}, "the filter 'id' takes a whole number, not '5'"),
        ({"id": True}, "takes a whole number, not True"),
        ({"attempt": 1.5}, "takes a whole number"),
        ({"queue": 5}, "the filter 'queue' takes a text, not 5"),
        ({"queue": None}, "the filter 'queue' takes a text, not None"),
        ({"tags": 5}, "the filter 'tags' takes .*not 5"),
        ({"tags": None}, "the filter 'tags' takes .*not None"),
        ({"tags": [5]}, "the filter 'tags' takes a text, not 5"),
        ({"scheduled_at": "today"}, "the filter 'scheduled_at' takes an aware datetime"),
        ({"scheduled_at": datetime(2025, 1, 1)}, "has no time zone"),  # noqa: DTZ001 - naive on purpose
    ],
)
def test_a_bad_filter_is_refused_with_its_name_and_the_nearest(
    filters: dict[str, Any], message: str
):
    with pytest.raises(ConfigurationError, match=message):
        filtered(filters)


def test_args_that_json_cannot_hold_are_refused_as_a_filter():
    with pytest.raises(InvalidJobError, match=r"args\.a"):
        filtered({"args": {"a": {1, 2}}})
    with pytest.raises(InvalidJobError, match="meta must be a JSON object"):
        filtered({"meta": "x"})


def test_a_set_of_values_becomes_one_selection_in_any_order():
    names = [f"q{n}" for n in range(30)]
    assert filtered({"queue": set(names)}) == filtered({"queue": frozenset(reversed(names))})
    (found,) = filtered({"queue": set(names)}).conditions
    assert isinstance(found, OneOf)
    assert sorted(names) == list(found.values)


def test_every_stored_field_can_be_a_filter():
    assert {"conflict", "replaced", "cancelled", "data"} == set(Job.__slots__) - set(FILTERS)


@pytest.mark.parametrize("state", JobState)
def test_only_available_jobs_with_an_attempt_left_can_be_claimed(state: JobState):
    assert (state is JobState.AVAILABLE) == claimable(None).matches(job(state))
    assert not claimable(None).matches(job(state, attempt=20, max_attempts=20))


def test_a_claim_is_for_one_queue_or_for_all():
    assert claimable("mail").matches(ONE)
    assert not claimable("web").matches(ONE)
    assert claimable(None).matches(ONE)


@pytest.mark.parametrize("state", JobState)
def test_only_waiting_jobs_fall_due_and_not_before_their_instant(state: JobState):
    waiting = job(state, scheduled_at=NOW)
    staged = state in (JobState.SCHEDULED, JobState.RETRYABLE)
    assert staged == due(NOW).matches(waiting) == due(NOW, "default").matches(waiting)
    assert not due(NOW - TICK).matches(waiting)
    assert not due(NOW, "other").matches(waiting)


def test_what_a_claim_took_is_found_by_its_token_while_it_executes():
    held = job()
    assert claimed_under(TOKEN, "default").matches(held)
    assert claimed_under(TOKEN, None).matches(held)
    assert not claimed_under(TOKEN, "other").matches(held)
    assert not claimed_under("token-2", None).matches(held)
    assert not claimed_under(TOKEN, None).matches(job(JobState.RETRYABLE))


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", JobState)
def test_a_selection_is_narrowed_to_what_an_event_may_leave(event: Event, state: JobState):
    assert (state in sources(event)) == Selection().leaving(event).matches(job(state))


def test_a_job_is_selected_by_its_id():
    assert by_id(5).matches(ONE)
    assert not by_id(6).matches(ONE)


def test_narrowing_leaves_the_wider_selection_alone():
    wide = claimable(None)
    narrow = wide.and_(OneOf("id", (1,)))
    assert wide.matches(ONE)
    assert not narrow.matches(ONE)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(1, 99)), max_size=8))
def test_jobs_start_by_priority_then_instant_then_id(drawn: list[tuple[int, int, int]]):
    jobs = [job(priority=p, scheduled_at=NOW + s * TICK, id=i) for p, s, i in drawn]
    ordered = sorted(jobs, key=claim_order)
    assert sorted(drawn) == [(j.priority, (j.scheduled_at - NOW) // TICK, j.id) for j in ordered]


def test_the_filter_errors_takes_one_or_a_list_of_them_by_containment():
    failed = job(errors=({"at": "then", "attempt": 1, "error": "no"},))
    assert filtered({"errors": {"attempt": 1}}).matches(failed)
    assert filtered({"errors": [{"error": "no"}]}).matches(failed)
    assert not filtered({"errors": {"attempt": 2}}).matches(failed)
    with pytest.raises(InvalidJobError, match="errors must be a JSON array"):
        filtered({"errors": 5})
