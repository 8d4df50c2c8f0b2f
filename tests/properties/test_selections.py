"""What a filter finds on a real server is what ``matches`` says of each job: JSON with every trap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import JobState
from pgjobs.rules.selection import filtered
from pgjobs.worker import REGISTRY
from pgjobs_testing import harness, strategies
from pgjobs_testing.conformance.selecting import parts
from pgjobs_testing.properties.instants import START
from pgjobs_testing.properties.scripted import scripted
from tests.properties.places import examples

new_jobs = strategies.new_jobs({scripted: strategies.args()}, strategies.options(START))


def filters(job):
    """Filters that often find ``job``, and others with it."""
    plain = {
        name: st.just(getattr(job, name)) | st.lists(st.just(getattr(job, name)), max_size=2)
        for name in ("queue", "priority", "max_attempts", "scheduled_at", "inserted_at", "attempt")
    }
    more = {
        "args": parts(job.args) | strategies.small_objects(),
        "meta": parts(job.meta) | strategies.small_objects(),
        "tags": st.just(list(job.tags)) | strategies.tags(),
        "state": st.sampled_from(list(JobState)) | st.just([job.state, JobState.EXECUTING]),
        "worker": st.just(scripted) | st.just(["none", scripted.name]),
    }
    return st.fixed_dictionaries({}, optional=plain | more)


@pytest.mark.postgres
@examples(30)
@given(new=st.lists(new_jobs, min_size=1, max_size=5), data=st.data())
def test_a_filter_finds_on_a_server_what_it_matches(new, data):
    REGISTRY.add(scripted)
    with harness(mode="postgres", start=START) as jobs:
        jobs.insert_all(new)
        every = jobs.all_jobs()
        given_ = data.draw(st.sampled_from(every).flatmap(filters))
        named = {**given_, "worker": scripted.name} if given_.get("worker") is scripted else given_
        expected = [job for job in every if filtered(named).matches(job)]
        assert expected == jobs.all_jobs(**given_)
        assert len(expected) == jobs.count_jobs(**given_)
