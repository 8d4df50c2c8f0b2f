"""The end of a failing test's timeline: what repeats is shown once; compared with ``golden_timelines/``.

``PGJOBS_RENEW_GOLDEN=1`` writes the files anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import Cron, Job, LivelockError, Snooze, worker
from pgjobs_testing import Harness, harness
from pgjobs_testing.folding import SHOWN, shown
from pgjobs_testing.trace import Moment, Trace

pytestmark = pytest.mark.usefixtures("no_application")

GOLDEN = Path(__file__).parent / "golden_timelines"
START = datetime(2025, 1, 1, tzinfo=UTC)
CASES: dict[str, Callable[[Harness], None]] = {}


def case(shows: Callable[[Harness], None]) -> Callable[[Harness], None]:
    CASES[shows.__name__] = shows
    return shows


@worker(name="shop.poll")
def poll(job: Job) -> Snooze:
    return Snooze(job.args["s"])


@worker(name="shop.fail", max_attempts=4)
def fail(job: Job) -> None:
    raise ValueError("no")


@worker(name="shop.note")
def note(job: Job) -> None: ...


@case
def a_job_that_snoozes_for_no_time(jobs: Harness) -> None:
    jobs.insert(poll.new({"s": 0}))
    with pytest.raises(LivelockError):
        jobs.drain_queue()


@case
def two_jobs_that_poll_for_an_hour(jobs: Harness) -> None:
    jobs.insert_all([poll.new({"s": 60}), poll.new({"s": 60})])
    jobs.advance(3600)


@case
def a_chain_without_an_end(jobs: Harness) -> None:
    @worker(name="shop.link")
    def link(job: Job) -> None:
        jobs.insert(link.new())

    jobs.insert(link.new())
    with pytest.raises(LivelockError):
        jobs.drain_queue()


@case
def a_job_that_inserts_another_at_each_poll(jobs: Harness) -> None:
    @worker(name="shop.spawn")
    def spawn(job: Job) -> Snooze:
        jobs.insert(note.new())
        return Snooze(60)

    jobs.insert(spawn.new())
    jobs.advance(1800)


@case
def what_cron_inserts(jobs: Harness) -> None:
    jobs.advance(600)


@case
def attempts_that_become_fewer_are_all_shown(jobs: Harness) -> None:
    jobs.insert(fail.new())
    jobs.advance(600)


@case
def more_than_is_shown(jobs: Harness) -> None:
    for n in range(40):
        jobs.insert(note.new(queue=f"q{n * n * n % 23}"))
    jobs.advance(1)


@pytest.mark.parametrize("name", CASES)
def test_the_end_of_a_timeline_reads_as_its_golden_file(name: str) -> None:
    plugins = [Cron([("* * * * *", note)])] if name == "what_cron_inserts" else []
    with harness(start=START, seed=1, plugins=plugins) as jobs:
        CASES[name](jobs)
        text = "".join(f"{line}\n" for line in shown(jobs.timeline))
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("PGJOBS_RENEW_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


def test_every_golden_file_has_a_case() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(CASES)


moments = st.builds(
    Moment,
    at=st.integers(0, 3).map(lambda s: START + timedelta(seconds=s)),
    event=st.sampled_from(["start", "completed"]),
    node=st.just("test"),
    ordinal=st.integers(0, 3),
    job=st.none(),
    detail=st.sampled_from(["", "attempt 1"]),
)
blocks = st.tuples(st.lists(moments, min_size=1, max_size=5), st.integers(1, 30))
NOTE = re.compile(r" *\.\.\.  the same (?:line|(\d+) lines).* ([\d,]+) more times, until \S+")
LEFT_OUT = re.compile(r"\.\.\. (\d+) earlier moments are left out \.\.\.")


@given(st.lists(blocks, max_size=8).map(lambda found: [m for ms, n in found for m in ms * n]))
def test_every_moment_is_shown_or_counted_and_lines_are_bounded(told: list[Moment]) -> None:
    trace = Trace(START, tuple(told))
    lines, counted = list(shown(trace)), 0
    assert len(lines) <= SHOWN + 1
    for line in lines:
        if found := NOTE.fullmatch(line):
            counted += int(found[1] or 1) * int(found[2].replace(",", ""))
        elif found := LEFT_OUT.fullmatch(line):
            counted += int(found[1])
        else:
            counted += 1
    assert counted == len(told)


@given(st.lists(moments, min_size=1, max_size=4), st.integers(3, 50))
def test_a_block_is_shown_at_most_twice_however_often_it_comes(
    block: list[Moment], times: int
) -> None:
    lines = list(shown(Trace(START, tuple(block * times))))
    assert len(lines) <= 2 * len(block) + 1


def test_a_trace_of_a_hundred_thousand_moments_is_folded_in_bounded_work() -> None:
    told = tuple(
        Moment(START, "test", "start", n * n % 1009, f"attempt {n % 997}") for n in range(100_000)
    )
    lines = list(shown(Trace(START, told)))
    assert lines[0] == f"... {100_000 - SHOWN} earlier moments are left out ..."
