"""Results compare by value, may be raised as well as returned, and refuse what means nothing."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import timedelta
from typing import Any

import pytest

from pgjobs.rules.errors import ConfigurationError, PgJobsError
from pgjobs.rules.job import Cancel, CancelFlag, Discard, Retry, Snooze

KINDS = (Retry, Discard, Cancel)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_reasons_make_equal_results(kind: type[Retry]):
    assert kind("late") == kind("late")
    assert kind("late") != kind("early")
    assert kind() == kind("")
    assert hash(kind("late")) == hash(kind("late"))


@pytest.mark.parametrize("kind", KINDS)
def test_exceptions_as_reasons_compare_by_type_and_arguments(kind: type[Retry]):
    assert kind(ValueError("x", 1)) == kind(ValueError("x", 1))
    assert kind(ValueError("x")) != kind(KeyError("x"))
    assert kind(ValueError("x")) != kind("x")


def test_results_of_different_kinds_differ():
    assert Retry("x") != Discard("x")
    assert Discard("x") != Cancel("x")
    assert Retry("x") != "x"
    assert Snooze(0) != Retry("")


def test_snoozes_compare_by_seconds():
    assert Snooze(60) == Snooze(60.0) == Snooze(timedelta(minutes=1))
    assert Snooze(60) != Snooze(61)
    assert len({Snooze(60), Snooze(timedelta(minutes=1)), Snooze(1)}) == 2


@pytest.mark.parametrize("result", [Retry("x"), Discard(ValueError("y")), Cancel(), Snooze(1.5)])
def test_results_can_be_copied_and_pickled(result: Any):
    assert result == copy.copy(result) == pickle.loads(pickle.dumps(result))


@pytest.mark.parametrize(
    "bad", [-1, timedelta(seconds=-1), math.nan, None, "60", True, -math.inf, -(10**400)]
)
def test_a_snooze_takes_zero_seconds_or_more(bad: Any):
    with pytest.raises(ConfigurationError, match="Snooze takes"):
        Snooze(bad)


@pytest.mark.parametrize("huge", [math.inf, 10**400, 1e300])
def test_a_snooze_without_end_is_accepted(huge: Any):
    assert Snooze(huge).seconds > 1e100


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [None, 1, ("error", "x"), ValueError])
def test_a_reason_is_a_text_or_an_exception(kind: type[Retry], bad: Any):
    with pytest.raises(ConfigurationError, match=f"{kind.__name__} takes a text or an exception"):
        kind(bad)


def test_results_are_no_errors_of_pgjobs():
    assert not isinstance(Retry("x"), PgJobsError)


def test_results_show_what_they_hold():
    assert ["Retry('x')", "Snooze(90)"] == [repr(Retry("x")), repr(Snooze(90))]


def test_a_cancel_flag_is_set_once_and_wakes_who_waits():
    flag = CancelFlag()
    assert not flag.is_set()
    assert not flag.wait(0)
    flag.set()
    assert flag.is_set()
    assert flag.wait()
    late = CancelFlag()
    late.set()
    assert late.wait()
