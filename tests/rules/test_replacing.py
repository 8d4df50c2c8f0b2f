"""What a conflict makes of the job that was there, in each state."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from pgjobs import ConfigurationError, NewJob, Unique, worker
from pgjobs.rules.job import FINAL, MAX_ATTEMPTS, WAITING, JobState
from pgjobs.rules.replacing import FIELDS, replace, replaced
from tests.rules.factory import NOW, job

HOUR = timedelta(hours=1)


def new(chosen: Any, **given: Any) -> NewJob:
    return NewJob("shop.ship", given.pop("args", {}), replace=replace(chosen), **given)


def test_true_means_every_field_and_false_none():
    assert replace({"available": True, "scheduled": False}) == (("available", FIELDS),)
    assert replace({"available": ["tags", "args", "tags"]}) == (("available", ("args", "tags")),)
    assert replace(None) == replace(False) == replace({}) == replace({"available": []}) == ()


@pytest.mark.parametrize(
    "bad, message",
    [
        (True, "replace takes a mapping of states to fields such as"),
        (["args"], "replace takes a mapping"),
        ({"availabel": True}, "unknown state of replace 'availabel': did you mean 'available'"),
        ({1: True}, "unknown state of replace 1"),
        ({"available": ["arg"]}, "unknown field of replace 'arg': did you mean 'args'"),
        ({"available": ["state"]}, "unknown field of replace 'state'"),
        ({"available": "args"}, "replace takes for 'available' a list of fields"),
        ({"available": None}, "replace takes for 'available' a list of fields"),
    ],
)
def test_a_bad_replace_is_refused(bad: Any, message: str):
    with pytest.raises(ConfigurationError, match=message):
        replace(bad)


def test_replace_needs_unique():
    message = "replace needs unique"
    with pytest.raises(ConfigurationError, match=message):
        worker(replace={"available": True})(lambda job: None)
    plain = worker(name="plain")(lambda job: None)
    with pytest.raises(ConfigurationError, match=message):
        plain.new({}, replace={"available": True})
    assert plain.new({}, replace={"available": True}, unique=Unique()).replace
    unique = worker(name="u", unique=Unique())(lambda job: None)
    with pytest.raises(ConfigurationError, match=message):
        unique.new({}, replace={"available": True}, unique=None)


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("due", [NOW - HOUR, NOW, NOW + HOUR])
def test_the_state_follows_scheduled_at_only_where_the_job_waits(state: JobState, due: datetime):
    found = replaced(job(state), new({state: ["scheduled_at"]}, scheduled_at=due), NOW)
    assert found is not None
    assert found.scheduled_at == due
    if state not in WAITING:
        assert found.state == state
    elif due <= NOW:
        assert found.state is JobState.AVAILABLE
    else:
        assert found.state is (state if state is JobState.RETRYABLE else JobState.SCHEDULED)


@pytest.mark.parametrize("state", JobState)
def test_without_scheduled_at_no_state_changes(state: JobState):
    others = [name for name in FIELDS if name != "scheduled_at"]
    found = replaced(job(state), new({state: others}, schedule_in=HOUR), NOW)
    assert found is not None
    assert (state, job(state).scheduled_at) == (found.state, found.scheduled_at)


@pytest.mark.parametrize("state", FINAL)
def test_a_finished_job_is_never_revived(state: JobState):
    stamp = {f"{state}_at": NOW}
    found = replaced(job(state, **stamp), new({state: True}), NOW)
    assert found is not None
    assert (state, NOW) == (found.state, getattr(found, f"{state}_at"))


@pytest.mark.parametrize(
    "state, attempt, given, expected",
    [
        ("available", 0, 3, 3),
        ("retryable", 5, 3, 6),
        ("scheduled", 3, 3, 4),
        ("executing", 5, 3, 6),
        ("discarded", 5, 9, 9),
        ("retryable", MAX_ATTEMPTS, 1, MAX_ATTEMPTS),
    ],
)
def test_max_attempts_never_fall_below_what_the_job_has_used(
    state: str, attempt: int, given: int, expected: int
):
    there = job(JobState(state), attempt=attempt, max_attempts=MAX_ATTEMPTS)
    found = replaced(there, new({state: ["max_attempts"]}, max_attempts=given), NOW)
    assert found is not None
    assert expected == found.max_attempts


def test_a_state_that_is_not_named_is_left_alone():
    assert replaced(job(JobState.RETRYABLE), new({"available": True}), NOW) is None


def test_what_is_replaced_shares_nothing_with_the_new_job():
    template = new({"available": True}, args={"a": []}, meta={"m": []})
    found = replaced(job(JobState.AVAILABLE), template, NOW)
    assert found is not None
    found.args["a"].append(1)
    found.meta["m"].append(1)
    assert (template.args, template.meta) == ({"a": []}, {"m": []})
