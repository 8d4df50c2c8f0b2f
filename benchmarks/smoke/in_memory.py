"""Counts in memory: what Python does for a job, for a test, and for time in which nothing happens."""

from __future__ import annotations

from typing import Any

from benchmarks.smoke import python
from benchmarks.smoke.bounds import Found
from benchmarks.smoke.stepped import Stepped, smoke
from pgjobs import Job, MemoryStore, PgJobs, Queue, Worker, worker
from pgjobs_testing import harness
from pgjobs_testing.stores import MemorySource

JOBS = 1_000
DAY_S = 86_400
DAYS = 30


def calls() -> list[Found]:
    """What a node and a client do for a job."""
    node = Stepped(MemoryStore(), Queue(concurrency=100))
    node.insert(JOBS)
    node.run()
    bulk = python.calls(lambda: node.insert(JOBS)) / JOBS
    ran = python.calls(node.run) / JOBS
    node.insert(JOBS)
    peak = python.peak_bytes(node.run) / 1024
    version = python.VERSION
    return [
        Found("calls", "insert_all in memory, a job: calls", bulk, interpreter=version),
        Found("calls", "a node in memory, a job: calls", ran, interpreter=version),
        Found("memory", "a node in memory, 1,000 jobs by 100: KiB at the peak", peak, 0.1, version),
    ]


def tests() -> list[Found]:
    """What a test costs: one that inserts, asserts and drains; one that does nothing; quiet days."""
    source = MemorySource()
    app = PgJobs("postgresql://nowhere.invalid/smoke-memory")

    @worker(name="smoke on a loop")
    async def on_a_loop(job: Job) -> None:
        """Do nothing."""

    def one(each: Worker[..., Any] = smoke) -> None:
        with harness(source=source) as jobs:
            app.insert(each.new({"i": 1}))
            jobs.assert_enqueued(worker=each, args={"i": 1})
            assert jobs.drain_queue("default") == {"completed": 1}

    def one_on_a_loop() -> None:
        one(on_a_loop)

    def empty() -> None:
        with harness(source=source):
            pass

    for each in (one, one_on_a_loop, empty) * 2:
        each()
    found = {"one test, in memory: calls": python.calls(one)}
    found["one test, in memory, on a loop: calls"] = python.calls(one_on_a_loop)
    found["a test without jobs, in memory: calls"] = python.calls(empty)
    with harness(source=source, plugins=[]) as jobs:
        app.insert(smoke.new())
        jobs.advance(DAY_S)
        made = python.calls(lambda: jobs.advance(DAYS * DAY_S))
        found["advance over a quiet month, no plugins: calls"] = made
    with harness(source=source) as jobs:
        app.insert(smoke.new())
        jobs.advance(DAY_S)
        made = python.calls(lambda: jobs.advance(DAY_S))
        found["advance over a quiet day, the default plugins: calls"] = made
    return [
        Found("tests", name, value, interpreter=python.VERSION) for name, value in found.items()
    ]
