"""The private loop of a harness ends with it, wherever that is, or is kept for the next one if nothing is
left on it: none is left to the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Generator, Iterator

import pytest

from pgjobs import Job, worker
from pgjobs_testing import Harness, harness
from pgjobs_testing.virtual import private_loop

ended: list[str] = []


@worker
async def nap(job: Job) -> None:
    """Sleeps for five seconds of virtual time."""
    try:
        await asyncio.sleep(5)  # noqa: TID251 - virtual time
        ended.append("well")
    finally:
        ended.append(threading.current_thread().name)


class Loop(asyncio.SelectorEventLoop):
    """A loop that is listed while it lives."""

    def __init__(self) -> None:
        super().__init__()
        made.append(weakref.ref(self))


made: list[weakref.ref[Loop]] = []


@pytest.fixture(autouse=True)
def loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every private loop that the test made is closed, and none is warned of when it is collected."""
    private_loop.close_kept()
    monkeypatch.setattr(asyncio, "SelectorEventLoop", Loop)
    made.clear()
    ended.clear()
    yield
    assert made
    private_loop.close_kept()
    assert [] == [loop for each in made if (loop := each()) is not None and not loop.is_closed()]
    gc.collect()  # a warning of a loop or a socket that is open yet is an error of this test


def inside_a_loop(block: Iterator[None]) -> None:
    """Go on with what comes after the yield while another loop runs."""

    async def go_on() -> None:
        next(block, None)

    next(block)
    asyncio.run(go_on())


async def test_a_block_of_an_async_test_may_have_drained_in_a_thread() -> None:
    with harness() as jobs:
        jobs.insert(nap.new())
        await asyncio.to_thread(jobs.drain_queue)
    assert "well" == ended[0]


def test_a_harness_that_has_drained_may_end_while_another_loop_runs() -> None:
    def block() -> Iterator[None]:
        with harness() as jobs:
            jobs.insert(nap.new())
            jobs.drain_queue()
            yield

    inside_a_loop(block())
    assert "well" == ended[0]


def test_a_job_that_still_sleeps_is_cancelled_while_another_loop_runs() -> None:
    def block() -> Iterator[None]:
        with harness() as jobs:
            jobs.insert(nap.new())
            jobs.advance(1)
            yield

    inside_a_loop(block())
    assert ["pgjobs-close_0"] == ended


def test_a_loop_that_was_lent_virtual_time_has_its_own_again_beside_a_private_one() -> None:
    async def lend(jobs: Harness) -> None:
        own = vars(asyncio.get_running_loop()).keys() - {"call_at"}
        await jobs.insert_async(nap.new())
        await jobs.advance_async(10)
        assert "call_at" in vars(asyncio.get_running_loop())
        jobs_ended.close()
        assert own == vars(asyncio.get_running_loop()).keys()

    def block() -> Generator[Harness, None, None]:
        with harness() as jobs:
            yield jobs

    jobs_ended = block()
    jobs = next(jobs_ended)
    jobs.insert(nap.new())
    jobs.advance(10)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(lend(jobs))
    assert 2 == ended.count("well")
