"""Any program does the same in memory and on a real server: equal timelines, equal jobs, to the byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import Worker
from pgjobs.worker import REGISTRY
from pgjobs_testing import harness, strategies
from pgjobs_testing.properties.instants import START
from pgjobs_testing.properties.machine import SCRIPTED
from pgjobs_testing.properties.programs import Program
from tests.properties.places import examples

QUEUES = {"default": 2, "other": 1}


def trapped(drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Args with a script, and every trap beside it."""
    return st.builds(lambda more, script: {**more, **script}, strategies.args(), drawn)


workers: dict[Worker[..., Any], st.SearchStrategy[Any]] = {
    worker: trapped(drawn) for worker, drawn in SCRIPTED.items()
}
programs = strategies.programs(
    workers, [*QUEUES], strategies.job_options(queues=[*QUEUES], most_attempts=20)
)


def outcome(mode: str, program: Program) -> tuple[str, list[str]]:
    for worker in workers:
        REGISTRY.add(worker)
    with harness(mode=mode, start=START, queues=QUEUES, seed=1, jitter=True) as jobs:
        strategies.run(program, jobs)
        jobs.advance(120)
        rows = [json.dumps([job.args, job.meta, job.tags, job.errors]) for job in jobs.all_jobs()]
        return jobs.timeline.text(), rows


@pytest.mark.postgres
@examples(15)
@given(program=programs)
def test_a_program_does_the_same_on_both_stores(program):
    assert outcome("manual", program) == outcome("postgres", program)
