"""A job that always fails is tried at the instants that its schedule says, and then never again."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pgjobs import worker
from pgjobs_testing import harness, strategies
from pgjobs_testing.properties.instants import START
from pgjobs_testing.properties.waits import after, scheduled_s
from tests.properties.places import ON_BOTH_STORES, examples

EXCEPTION = "pgjobs.job.exception"
CENTURY = timedelta(days=36_525)


@ON_BOTH_STORES
@examples(20)
@given(
    schedule=strategies.backoffs(),
    attempts=st.integers(1, 6),
    jitter=st.booleans(),
    seed=st.integers(0, 99),
)
def test_attempts_follow_one_another_as_the_schedule_says(mode, schedule, attempts, jitter, seed):
    @worker(name="tests.fails", backoff=schedule, max_attempts=attempts)
    def fails(job):
        raise ValueError("always")

    with harness(mode=mode, start=START, jitter=jitter, seed=seed, plugins=[]) as jobs:
        job = jobs.insert(fails.new())
        jobs.advance(CENTURY)
        ends = [(moment.at, moment.job) for moment in jobs.timeline if moment.name == EXCEPTION]
        retries = [(at, left) for at, left in ends if left and left.state == "retryable"]
        for number, (at, left) in enumerate(retries, 1):
            exact = scheduled_s(schedule, number)
            most = min(schedule.max_s, exact * (1 + schedule.jitter)) if jitter else exact
            assert after(at, exact) <= left.scheduled_at <= after(at, most)
        tried = [at for at, _ in ends[1:]]
        assert tried == [left.scheduled_at for _, left in retries][: len(tried)]
        done = jobs.get_job(job)
        if done.state == "discarded":
            assert (attempts, attempts) == (len(ends), done.attempt)
        else:
            assert done.scheduled_at > START + CENTURY
