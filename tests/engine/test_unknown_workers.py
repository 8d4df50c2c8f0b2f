"""What the log says where a node claims a job whose worker it does not know, as in a rolling deploy."""

from __future__ import annotations

import logging

import pytest

from pgjobs.engine.report import UNKNOWN_NAMES
from pgjobs.rules.job import NewJob
from tests.engine.rig import Rig


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if "no worker named" in each.message]


def test_a_worker_that_a_node_does_not_know_is_logged_with_what_to_do(
    caplog: pytest.LogCaptureFixture,
):
    rig = Rig()
    job = rig.insert("shop.new", max_attempts=1)
    with caplog.at_level(logging.WARNING, "pgjobs"):
        rig.advance(1)
    assert "discarded" == rig.job(job).state
    (line,) = told(caplog)
    assert line == (
        f"node a fails attempt 1 of 1 of job {job.id}: no worker named 'shop.new' is registered in "
        "this process; known are task, thread (list the modules that define workers in "
        "PgJobs(workers=[...])). In a rolling deploy, replace all nodes before clients insert jobs of "
        "a new worker, or give it a queue that old nodes do not serve"
    )
    assert [(logging.WARNING, "pgjobs")] == [(r.levelno, r.name) for r in caplog.records]


def test_each_name_is_logged_at_once_and_again_after_a_minute_by_each_node(
    caplog: pytest.LogCaptureFixture,
):
    rig = Rig({"default": 1}, nodes=("a", "b"))
    with caplog.at_level(logging.WARNING, "pgjobs"):
        rig.call(rig.client.insert_all([_new("one")] * 6 + [_new("two")] * 6))
        rig.advance(1)
        assert {("a", "one"), ("a", "two"), ("b", "one"), ("b", "two")} == _named(told(caplog))
        assert 4 == len(told(caplog))
        caplog.clear()
        rig.advance(58)
        rig.call(rig.client.insert_all([_new("one")] * 6))
        rig.advance(0.5)
        assert [] == told(caplog)
        rig.advance(0.5)
        rig.call(rig.client.insert_all([_new("one")] * 6))
        rig.advance(1)
    assert {("a", "one"), ("b", "one")} == _named(told(caplog))
    assert 2 == len(told(caplog))


def test_ever_new_names_are_kept_for_a_minute_and_so_many_of_them_at_most(
    caplog: pytest.LogCaptureFixture,
):
    rig = Rig({"default": 1_000})
    with caplog.at_level(logging.WARNING, "pgjobs"):
        rig.call(rig.client.insert_all([_new(f"n{n}") for n in range(UNKNOWN_NAMES + 50)]))
        rig.advance(30)
        assert UNKNOWN_NAMES == len(told(caplog))
        caplog.clear()
        rig.advance(30)
        rig.call(rig.client.insert_all([_new("another"), _new("n0")]))
        rig.advance(1)
    assert {("a", "another"), ("a", "n0")} == _named(told(caplog))


def _new(worker: str) -> NewJob:
    return NewJob(worker, {}, max_attempts=1)


def _named(lines: list[str]) -> set[tuple[str, str]]:
    """The node and the worker of each line."""
    return {(line.split()[1], line.split("'")[1]) for line in lines}
