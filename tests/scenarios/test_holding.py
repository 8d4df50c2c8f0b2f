"""Steps that a test in mode manual needs: the engine rests, acts when it is let, and drains run by hand."""

from __future__ import annotations

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay

HEAD = """name: By hand
workers:
  Work: {backoff: {constant: 10s}, runs: [{error: no}, ok]}
  Slow: {queue: slow, timeout: 5s, runs: [{hang: true}]}
  Fan: {runs: [{insert_all: [{as: one, worker: Work}, {as: two, worker: Slow}]}]}
steps:
"""


def lines(*steps):
    """The trace of these steps, without the node's own events."""
    scenario, source = read_text(
        HEAD + "".join(f"  - {{{step}}}\n" for step in steps) + "until: 1m\n"
    )
    result = replay(scenario, source, MemoryStore())
    assert [] == [failure.text(source) for failure in result.failures]
    return [
        f"{(m.at - result.trace.start).total_seconds():g} {m.event} #{m.ordinal}"
        for m in result.trace.moments
        if m.ordinal
    ]


def test_while_it_is_held_nothing_happens_that_is_due():
    assert ["0 insert #1"] == lines("at: 0s, hold: true", "at: 0s, insert: {worker: Work}")


def test_it_acts_again_from_where_it_is_let_and_holds_after_what_was_due_then():
    assert [
        "0 insert #1",
        "20 start #1",
        "20 retryable #1",
        "30 stage #1",
        "30 start #1",
        "30 completed #1",
        "30 insert #2",
    ] == lines(
        "at: 0s, hold: true",
        "at: 0s, insert: {worker: Work}",
        "at: 20s, hold: false",
        "at: 30s, hold: true",
        "at: 30s, insert: {worker: Work}",
    )


def test_a_hold_while_it_is_held_does_what_is_due_and_holds_again():
    assert ["0 insert #1", "0 start #1", "0 retryable #1", "0 insert #2"] == lines(
        "at: 0s, hold: true",
        "at: 0s, insert: {worker: Work}",
        "at: 0s, hold: true",
        "at: 0s, insert: {worker: Work}",
    )


def test_a_drain_runs_one_after_another_in_no_time_also_what_is_inserted_and_not_yet_due():
    assert [
        "0 insert #1",
        "0 start #1",
        "0 insert #2",
        "0 insert #3",
        "0 completed #1",
        "0 start #2",
        "0 retryable #2",
        "0 start #3",
        "0 retryable #3",
        "0 start #2",
        "0 completed #2",
    ] == lines(
        "at: 0s, hold: true",
        "at: 0s, insert: {worker: Fan}",
        "at: 0s, drain: {with_scheduled: 12s}",
    )


def test_a_drain_keeps_to_its_queue_and_its_limit():
    assert ["0 insert #1", "0 insert #2", "0 start #1", "0 retryable #1"] == lines(
        "at: 0s, hold: true",
        "at: 0s, insert: {worker: Work}",
        "at: 0s, insert: {worker: Slow}",
        "at: 0s, drain: {queue: default, limit: 1}",
    )


def test_a_drain_of_an_unknown_queue_is_a_mistake_with_its_place():
    with pytest.raises(InvalidScenarioError, match=r"7:29.*no queue is named 'slwo'.*slow"):
        read_text(HEAD + "  - {at: 0s, drain: {queue: slwo}}\n")
