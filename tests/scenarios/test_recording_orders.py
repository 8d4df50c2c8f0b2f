"""Rows whose instants are in any order, by clocks that differ, are recorded all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.rules.job import FINAL, Job, JobState
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.record import recording
from pgjobs_testing.scenarios.replay import replay
from tests.rules.factory import NOW
from tests.rules.factory import job as any_job

MS = timedelta(milliseconds=1)
STATES = [state for state in JobState if state != JobState.SUSPENDED]
near = st.integers(-100, 100).map(lambda n: NOW + n * MS)
far = st.integers(-4_000, 4_000).map(lambda n: NOW + n * 25 * MS)
instants = near | far


@st.composite
def rows(draw: st.DrawFn, id: int = 1) -> Job:  # noqa: A002 - the column's name
    """A row with what its state needs, and any instants."""
    state = draw(st.sampled_from(STATES))
    attempt = draw(st.integers(0 if state in (JobState.AVAILABLE, JobState.SCHEDULED) else 1, 3))
    failed = draw(st.integers(0, attempt))
    if state == JobState.RETRYABLE:
        failed = attempt
    stamps = {f"{state}_at": draw(instants | st.none())} if state in FINAL else {}
    errors = [
        {"at": draw(instants).isoformat(), "attempt": n + 1, "error": "ValueError: no"}
        for n in range(failed)
    ]
    if state == JobState.CANCELLED and errors and draw(st.booleans()) and stamps["cancelled_at"]:
        errors[-1]["at"] = stamps["cancelled_at"].isoformat()
    return any_job(
        state,
        id=id,
        queue=draw(st.sampled_from(["default", "mail"])),
        worker=draw(st.sampled_from(["Ship", "Send"])),
        attempt=attempt,
        max_attempts=draw(st.integers(max(1, attempt), 4)),
        priority=draw(st.integers(0, 1)),
        errors=tuple(errors),
        meta=draw(st.sampled_from([{}, {}, {"snoozed": 2}, {"released": 1}])),
        attempted_by=(draw(st.sampled_from(["a", "b"])), "token"),
        inserted_at=draw(instants),
        scheduled_at=draw(instants),
        attempted_at=draw(instants) if attempt else draw(instants | st.none()),
        **stamps,
    )


def replayed(text: str) -> list[str]:
    """What a recording does not keep to when it is played."""
    scenario, source = read_text(text)
    return [failure.what for failure in replay(scenario, source, MemoryStore()).failures]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4).flatmap(lambda n: st.tuples(*(rows(id=each + 1) for each in range(n)))))
def test_a_recording_of_rows_with_instants_in_any_order_is_read_and_replays(jobs):
    assert [] == replayed(recording(jobs))


RAN = any_job(
    JobState.COMPLETED,
    id=1,
    inserted_at=NOW,
    scheduled_at=NOW,
    attempted_at=NOW + 5 * MS,
    completed_at=NOW + 30 * MS,
)


@pytest.mark.parametrize(
    "given, said",
    [
        pytest.param(
            {"attempted_at": NOW - 80 * MS, "completed_at": NOW - 73.409 * MS},
            ["job1 has attempted_at -0.08s; in the replay: 0s"],
            id="claimed and completed before the insert",
        ),
        pytest.param(
            {"completed_at": NOW + 2 * MS},
            ["job1 has completed_at 0.002s; in the replay: 0.005s"],
            id="completed before it was claimed",
        ),
        pytest.param(
            {"scheduled_at": NOW + 8 * MS},
            ["job1 has scheduled_at 0.008s; in the replay: 0.005s"],
            id="claimed before it was due",
        ),
        pytest.param(
            {"state": JobState.CANCELLED, "completed_at": None, "cancelled_at": NOW - MS},
            ["job1 has attempt 1; in the replay: 0"],  # it ends as it begins
            id="cancelled before the insert",
        ),
        pytest.param(
            {"completed_at": None},
            ["job1 has completed_at None; in the replay: 0.005s"],
            id="completed at no time",
        ),
    ],
)
def test_what_the_format_cannot_hold_is_put_in_order_and_said(given, said):
    row = replace(RAN, **given)
    text = recording([row])
    heads = [line for line in text.splitlines() if line.startswith("# Not told")]
    assert heads == [f"# Not told exactly: {each}" for each in said], text
    assert [] == replayed(text)
    beside = recording([replace(RAN, id=2), row])
    assert heads[0] in beside.splitlines()
    assert [] == replayed(beside)
