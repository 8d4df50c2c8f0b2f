"""What a small test made is gone with it: nothing is left for the garbage collector, which a suite of
thousands of tests would pay."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pgjobs import Job, PgJobs, Worker, worker
from pgjobs_testing import harness, session


@worker
def plain(job: Job) -> None:
    """Does nothing."""


@worker
async def on_a_loop(job: Job) -> None:
    """Does nothing either."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("each", [plain, on_a_loop], ids=["def", "async def"])
def test_an_engine_is_gone_at_the_end_of_its_test(each: Worker[[Job], object]) -> None:
    app = PgJobs("postgresql://nowhere.invalid/gone")
    with harness() as jobs:
        app.insert(each.new({"i": 1}))
        jobs.assert_enqueued(worker=each, args={"i": 1})
        assert {"completed": 1} == jobs.drain_queue()
        assert "completed" in str(jobs.timeline)
        store = weakref.ref(app.store)
        captor = weakref.ref(app.runtime().captor)
        assert store() is not None
        assert captor() is not None
    assert (None, None) != (store(), captor())  # who holds the harness may look on
    del jobs
    session.present().block = None  # as at the end of the test: until then a report may show it
    assert (None, None) == (store(), captor())
