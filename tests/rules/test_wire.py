"""What passes between two processes says the same on both sides."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import Cancel, Discard, JobState, RemoteError, Retry, Snooze
from pgjobs.rules import outcome, wire
from pgjobs.rules.lifecycle import Event, Outcome
from tests.rules.factory import NOW, job

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    args=st.dictionaries(st.text(), JSON),
    state=st.sampled_from(JobState),
    at=st.none() | st.just(NOW + timedelta(microseconds=1)),
)
def test_a_job_arrives_as_it_left(args: dict[str, Any], state: JobState, at: Any):
    sent = job(args=args, state=state, completed_at=at, tags=("a",), errors=({"error": "x"},))
    arrived = wire.job_of(pickle.loads(pickle.dumps(wire.job_values(sent))))
    assert sent == arrived
    assert not arrived.cancelled.is_set()


@given(text=st.text(), seconds=st.floats(0, allow_nan=False), event=st.sampled_from(Event))
def test_an_outcome_arrives_as_it_left(text: str, seconds: float, event: Event):
    sent = Outcome(event, text, seconds, raised=True)
    assert sent == wire.outcome_of(wire.outcome_text(sent))


@pytest.mark.parametrize("answer", [None, Retry("x"), Discard("x"), Cancel("x"), Snooze(1e400)])
def test_an_answer_arrives_with_its_event_and_its_text(answer: Any):
    sent = outcome.returned(answer)
    arrived = wire.outcome_of(wire.outcome_text(sent))
    assert dataclasses.replace(sent, exception=None) == dataclasses.replace(arrived, exception=None)


def test_an_exception_is_stood_for_by_what_is_known_of_it():
    try:
        raise ValueError("\ud800 and \x00" + "x" * 100_000)
    except ValueError as error:
        sent = outcome.raised(error)
    arrived = wire.outcome_of(wire.outcome_text(sent))
    assert (sent.error, True) == (arrived.error, arrived.raised)
    assert isinstance(arrived.exception, RemoteError)
    assert "ValueError" == arrived.exception.kind
    assert str(arrived.exception).startswith("ValueError: \ud800 and \x00xx")
    assert outcome.stacktrace(arrived.exception).startswith("Traceback")
    assert len(wire.outcome_text(sent)) < 4 * outcome.ERROR_TEXT_LIMIT


def test_texts_of_a_kind_of_their_own_arrive_as_plain_ones():
    class Loud(str):
        __slots__ = ()

    arrived = wire.outcome_of(wire.outcome_text(outcome.returned(Retry(Loud("x")))))
    assert ("x", str) == (arrived.error, type(arrived.error))
