"""One loop serves tests one after the other, as long as each leaves it as it was made."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context, copy_context
from datetime import UTC, datetime
from typing import Any

import pytest

from pgjobs import Job, worker
from pgjobs_testing import harness
from pgjobs_testing.virtual import private_loop

seen: list[asyncio.AbstractEventLoop] = []
kept: list[Any] = []
"""What jobs leave behind, lest the garbage collector takes it away."""


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    private_loop.close_kept()
    seen.clear()
    yield
    kept.clear()
    private_loop.close_kept()


@worker
async def plain(job: Job) -> None:
    seen.append(asyncio.get_running_loop())


@worker
async def naps(job: Job) -> None:
    await asyncio.sleep(60)  # noqa: TID251 - virtual time
    seen.append(asyncio.get_running_loop())


def drained(each: Any) -> asyncio.AbstractEventLoop:
    """The loop of a harness that has run one job."""
    with harness() as jobs:
        jobs.insert(each.new())
        assert {"completed": 1} == jobs.drain_queue()
    return seen[-1]


def test_a_loop_that_is_left_as_it_was_made_serves_the_next_test() -> None:
    first, second, third = drained(plain), drained(naps), drained(plain)
    assert first is second is third
    assert not first.is_closed()


def test_time_stands_where_the_next_test_has_it_whatever_the_loop_showed_before() -> None:
    shown: list[float] = []

    @worker
    async def looks(job: Job) -> None:
        seen.append(asyncio.get_running_loop())
        shown.append(asyncio.get_running_loop().time())

    for year in (2030, 2025):
        with harness(start=datetime(year, 1, 1, tzinfo=UTC)) as jobs:
            jobs.insert(looks.new())
            jobs.drain_queue()
            assert [jobs.clock.seconds] == shown[-1:]
    assert seen[0] is seen[1]


def test_what_a_job_left_behind_has_real_time_in_the_next_test() -> None:
    shown: list[float] = []

    @worker
    async def leaves(job: Job) -> None:
        seen.append(asyncio.get_running_loop())
        kept.append(copy_context())

    @worker
    async def looks(job: Job) -> None:
        seen.append(asyncio.get_running_loop())
        shown.extend((asyncio.get_running_loop().time(), kept[0].run(seen[-1].time)))

    drained(leaves)
    with harness(start=datetime(2130, 1, 1, tzinfo=UTC)) as jobs:
        jobs.insert(looks.new())
        jobs.drain_queue()
        virtual, real = shown
        assert jobs.clock.seconds == virtual
        assert real < virtual / 10  # the machine has not been up that long
    assert seen[0] is seen[1]


def test_a_harness_within_another_has_a_loop_of_its_own() -> None:
    with harness() as outer:
        outer.insert(plain.new())
        outer.drain_queue()
        inner = drained(plain)
        assert inner is not seen[0]
        outer.insert(plain.new())
        outer.drain_queue()
    assert [False, True, False] == [each is inner for each in seen]
    assert [False, True] == [each.is_closed() for each in (inner, seen[0])]


def timer(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_later(3_600, print)


def callback(loop: asyncio.AbstractEventLoop) -> None:
    def again() -> None:
        loop.call_soon(again)

    again()


def handler(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_exception_handler(lambda _loop, _context: None)


def factory(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))


def debug(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_debug(not loop.get_debug())


def attribute(loop: asyncio.AbstractEventLoop) -> None:
    loop.cache = {}  # type: ignore[attr-defined]  # what some libraries do


def descriptor(loop: asyncio.AbstractEventLoop) -> None:
    kept.extend(socket.socketpair())
    loop.add_reader(kept[0], print)


def threads(loop: asyncio.AbstractEventLoop) -> None:
    kept.append(loop.run_in_executor(None, print))


@pytest.mark.parametrize(
    "leave", [timer, callback, handler, factory, debug, attribute, descriptor, threads]
)
def test_a_loop_on_which_something_is_left_is_closed(
    leave: Callable[[asyncio.AbstractEventLoop], None],
) -> None:
    @worker
    async def leaves(job: Job) -> None:
        loop = asyncio.get_running_loop()
        seen.append(loop)
        # From no context of a job: what has one belongs to the job, and has virtual time.
        loop.call_soon(leave, loop, context=outside)
        await asyncio.sleep(1)  # noqa: TID251 - virtual time

    outside = Context()
    first = drained(leaves)
    assert first.is_closed()
    assert drained(plain) is not first
    for each in kept:
        if isinstance(each, socket.socket):
            each.close()


def test_a_loop_with_a_task_that_waits_for_ever_is_closed() -> None:
    @worker
    async def leaves(job: Job) -> None:
        loop = asyncio.get_running_loop()
        seen.append(loop)
        loop.call_soon(lambda: kept.append(loop.create_task(for_ever())), context=outside)
        await asyncio.sleep(1)  # noqa: TID251 - virtual time

    async def for_ever() -> None:
        await asyncio.Event().wait()

    outside = Context()
    first = drained(leaves)
    assert first.is_closed()
    assert not kept[0].done()
    kept[0]._log_destroy_pending = False  # nobody is to be told: it is what the test is about


def test_a_loop_with_an_open_generator_is_closed_and_ends_it() -> None:
    ended: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
        finally:
            ended.append("numbers")

    @worker
    async def leaves(job: Job) -> None:
        seen.append(asyncio.get_running_loop())
        kept.append(numbers())
        await anext(kept[0])

    assert drained(leaves).is_closed()
    assert ["numbers"] == ended


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
def test_a_fork_finds_no_loop_to_share() -> None:
    loop = drained(plain)
    child = os.fork()
    if not child:
        os._exit(0)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert loop.is_closed()
    assert drained(plain) is not loop
