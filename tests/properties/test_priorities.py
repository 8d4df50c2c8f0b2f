"""Jobs start by priority, then by the instant at which they were due, then by age: on both stores."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgjobs.worker import REGISTRY
from pgjobs_testing import harness, strategies
from pgjobs_testing.properties.instants import START
from pgjobs_testing.properties.programs import Insert, run
from pgjobs_testing.properties.scripted import scripted
from tests.properties.places import ON_BOTH_STORES, examples

asked = st.lists(
    st.tuples(st.integers(0, 9), strategies.spans(60), st.sampled_from([1, -1])),
    min_size=1,
    max_size=9,
)


def new_jobs(drawn):
    REGISTRY.add(scripted)
    return tuple(
        scripted.new({"script": ["ok"]}, priority=priority, scheduled_at=START + sign * span)
        for priority, span, sign in drawn
    )


@ON_BOTH_STORES
@examples(15)
@given(drawn=asked, concurrency=st.integers(1, 3))
def test_what_is_due_starts_in_its_order(mode, drawn, concurrency):
    with harness(mode=mode, start=START, queues={"default": concurrency}) as jobs:
        run([Insert(new_jobs(drawn))], jobs)
        jobs.pause_queue("default")
        jobs.advance(30)
        waiting = jobs.all_jobs(state="available")
        jobs.resume_queue("default")
        started = [moment.job.id for moment in jobs.advance(0).of("start") if moment.job]
        in_order = sorted(waiting, key=lambda job: (job.priority, job.scheduled_at, job.id))
        assert [job.id for job in in_order] == started


@ON_BOTH_STORES
@examples(15)
@given(drawn=asked, ahead=strategies.spans(60))
def test_a_drain_runs_what_is_due_by_then_in_the_same_order(mode, drawn, ahead):
    with harness(mode=mode, start=START) as jobs:
        stored = jobs.insert_all(new_jobs(drawn))
        result = jobs.drain_queue(with_scheduled=ahead)
        due = [job for job in stored if job.scheduled_at <= START + ahead]
        in_order = sorted(due, key=lambda job: (job.priority, job.scheduled_at, job.id))
        assert [job.id for job in in_order] == [job.id for job in result.jobs]
