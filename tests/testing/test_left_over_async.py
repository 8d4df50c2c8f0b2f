"""Jobs that are left over on a loop end with it: the virtual time of their cleanups passes by itself."""
# ruff: noqa: TID251  # asyncio.sleep in a job is the subject; none of these sleeps takes real time

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pgjobs import worker
from pgjobs_testing import Harness, harness
from pgjobs_testing.virtual.closing import UnendingWorkerError

pytestmark = pytest.mark.timeout(20)
log: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_yet() -> None:
    log.clear()


@pytest.fixture
def jobs() -> Iterator[Harness]:
    with harness() as made:
        yield made


async def left_over(jobs: Harness, *cleanups: Callable[[], Awaitable[object]]) -> None:
    """Jobs that sleep yet when the test ends, and what each does then."""
    for number, cleanup in enumerate(cleanups):

        async def sleeps(job: Any, cleanup: Callable[[], Awaitable[object]] = cleanup) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                await cleanup()
                log.append(job.args["name"])

        made = worker(name=f"left_over.{number}")(sleeps)
        await jobs.insert_async(made.new({"name": str(number)}))
    await jobs.advance_async(10)


async def nap(seconds: float = 3600) -> None:
    await asyncio.sleep(seconds)


async def limited() -> None:
    try:
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()
    except TimeoutError:
        log.append("limit")


async def waits_for() -> None:
    await asyncio.wait_for(nap(), 7200)


async def shielded() -> None:
    await asyncio.shield(asyncio.create_task(nap()))


async def in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(nap())
        group.create_task(nap(7200))


async def in_a_thread_then_asleep() -> None:
    async with asyncio.timeout(3600):
        await asyncio.to_thread(threading.Event().wait, 0.02)
    await nap()


CLEANUPS = [nap, limited, waits_for, shielded, in_a_group, in_a_thread_then_asleep]


@pytest.mark.parametrize("cleanup", CLEANUPS)
@pytest.mark.parametrize("end", ["the loop", "the jobs"])
def test_a_cleanup_ends_in_virtual_time(end: str, cleanup: Callable[[], Awaitable[object]]) -> None:
    async def main(ending: ExitStack) -> None:
        with ExitStack() as mine:
            jobs = (ending if end == "the loop" else mine).enter_context(harness())
            await left_over(jobs, cleanup)

    with ExitStack() as ending:
        asyncio.run(main(ending))
        assert "0" == log[-1]


def test_cleanups_end_in_the_order_of_their_timers(jobs: Harness) -> None:
    async def main() -> None:
        await left_over(jobs, *[lambda s=s: nap(s) for s in (30, 10, 20)])

    asyncio.run(main())
    assert ["1", "2", "0"] == log


def test_a_job_shields_what_it_has_begun_before(jobs: Harness) -> None:
    @worker
    async def shields(job: Any) -> None:
        async def inner() -> None:
            try:
                await nap()
            finally:
                await nap()
                log.append("inner")

        task = asyncio.create_task(inner())
        try:
            await asyncio.shield(task)
        finally:
            await asyncio.wait([task])
            log.append("outer")

    async def main() -> None:
        await jobs.insert_async(shields.new())
        await jobs.advance_async(10)

    asyncio.run(main())
    assert ["inner", "outer"] == log


def test_a_timer_that_was_set_before_still_comes(jobs: Harness) -> None:
    @worker
    async def called(job: Any) -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(3600, event.set)
        try:
            await nap()
        finally:
            await event.wait()
            log.append("called")

    async def main() -> None:
        await jobs.insert_async(called.new())
        await jobs.advance_async(10)

    asyncio.run(main())
    assert ["called"] == log


def test_what_outlives_its_job_ends_too(jobs: Harness) -> None:
    kept: list[Any] = []

    async def background() -> None:
        try:
            await nap()
        finally:
            await nap()
            log.append("background")

    @worker
    async def begins(job: Any) -> None:
        kept.append(asyncio.create_task(background()))
        await asyncio.sleep(0)

    async def main(way: str) -> None:
        await jobs.insert_async(begins.new())
        if way == "drain":
            assert {"completed": 1} == await jobs.drain_queue_async()
        else:
            await jobs.advance_async(1)

    for way in ("drain", "advance"):
        asyncio.run(main(way))
    assert ["background"] * 2 == log


@pytest.mark.parametrize("way", ["real time", "passes", "advances"])
def test_time_stands_while_a_task_of_the_test_still_ends(jobs: Harness, way: str) -> None:
    """It may yet advance, and what it sees then is as it left it."""

    async def of_the_test(begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            if way == "real time":
                await asyncio.to_thread(threading.Event().wait, 0.05)
            for _ in range(100):
                await asyncio.sleep(0)
            if way == "advances":
                await jobs.advance_async(10)
                log.append("advanced")
            log.append("of the test")

    kept: list[Any] = []

    async def main() -> None:
        begun = asyncio.Event()
        kept.append(asyncio.create_task(of_the_test(begun)))
        await begun.wait()
        await left_over(jobs, lambda: nap(5), lambda: nap(15))

    asyncio.run(main())
    own = ["0", "advanced", "of the test", "1"] if way == "advances" else ["of the test", "0", "1"]
    assert own == log


def test_a_shutdown_of_the_test_s_own_that_waits_for_jobs_alone_ends(jobs: Harness) -> None:
    async def main() -> None:
        await left_over(jobs, nap)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        log.append("main")

    asyncio.run(main())
    assert ["0", "main"] == log


def test_a_loop_that_runs_for_ever_in_a_thread_waits_for_the_test(jobs: Harness) -> None:
    """Between two calls of the test only jobs are on the loop, and none may go on by itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def here(job: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(job, loop).result(10)

    here(left_over(jobs, lambda: nap(5)))
    for task in asyncio.all_tasks(loop):
        loop.call_soon_threadsafe(task.cancel)
    threading.Event().wait(0.05)
    assert [] == log
    here(jobs.advance_async(4))
    assert [] == log
    here(jobs.advance_async(1))
    assert ["0"] == log
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_test_goes_on_in_real_time_beside_what_an_ended_harness_left() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            with harness() as jobs:
                await left_over(jobs, nap)
        with harness() as jobs:
            await left_over(jobs, nap)
            assert ["0"] * 3 == log
            before = loop.time()
            await asyncio.sleep(0.01)
            assert loop.time() - before < 10

    asyncio.run(main())


def test_what_outlives_its_job_is_not_cancelled_with_the_harness() -> None:
    """A pool that a job opened serves the next test of the same loop."""
    kept: list[asyncio.Task[Any]] = []

    @worker
    async def opens(job: Any) -> None:
        kept.append(asyncio.create_task(asyncio.Event().wait()))

    with asyncio.Runner() as runner:
        with harness() as jobs:
            runner.run(jobs.insert_async(opens.new()))
            runner.run(jobs.drain_queue_async())
            runner.run(left_over(jobs, nap))
        assert ["0"] == log
        assert not kept[0].cancelling()


# Workers that never end.


@worker
async def stubborn(job: Any) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            log.append("no")


@worker
async def deaf(job: Any) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("no")


@pytest.mark.parametrize("each", [stubborn, deaf])
@pytest.mark.parametrize("end", ["the loop", "the jobs", "the jobs, later"])
def test_a_job_that_never_ends_is_named(end: str, each: Any) -> None:
    async def main(jobs: Harness) -> None:
        await jobs.insert_async(each.new())
        await jobs.advance_async(10)

    async def within() -> None:
        with harness() as jobs:
            await main(jobs)

    with pytest.raises(UnendingWorkerError) as raised:  # noqa: PT012 - ends in several places
        if end == "the jobs":
            asyncio.run(within())
        elif end == "the loop":
            with harness() as jobs:
                asyncio.run(main(jobs))
        else:
            with asyncio.Runner() as runner:
                with harness() as jobs:
                    runner.run(main(jobs))
                runner.run(asyncio.sleep(0))
    text = str(raised.value)
    assert text.startswith(f"job 1 of {each.name} waits in {each.name.rpartition('.')[2]} at ")
    assert f"{Path(__file__).name}:" in text
    assert "Raise CancelledError again" in text


# In projects.

BODY = """
import asyncio, pytest
from pgjobs import worker
{marks}
log = []

@worker
async def naps(job):
    try:
        await asyncio.sleep(100)
    finally:
        await asyncio.sleep(3600)
        log.append("ended")

@pytest.mark.parametrize("turn", range(3))
async def test_it(jobs, turn):
    assert log == ["ended"] * turn
    await jobs.insert_async(naps.new())
    await jobs.advance_async(10)
    assert log == ["ended"] * turn

def test_after():
    assert log == ["ended"] * 3
"""
STUBBORN = """

async def test_stubborn(jobs):
    @worker
    async def never(job):
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    await jobs.insert_async(never.new())
    await jobs.advance_async(10)
"""
ANYIO = (
    "pytestmark = pytest.mark.anyio\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'"
)
WAYS = {
    "function": ("auto", "function", ""),
    "module": ("auto", "module", ""),
    "session": ("auto", "session", ""),
    "anyio": ("strict", "function", ANYIO),
    "anyio, module": ("strict", "function", ANYIO.replace("fixture", "fixture(scope='module')")),
}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)
    return pytester


@pytest.mark.parametrize("mode, scope, marks", WAYS.values(), ids=[*WAYS])
@pytest.mark.timeout(120)
def test_the_tests_of_a_project_end(
    project: pytest.Pytester, mode: str, scope: str, marks: str
) -> None:
    project.makeini(
        f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = {scope}\n"
        f"asyncio_default_test_loop_scope = {scope}\nfilterwarnings = error"
    )
    project.makepyfile(
        test_it=BODY.format(marks=marks), test_last=BODY.format(marks=marks) + STUBBORN
    )
    result = project.runpytest_subprocess(
        "-p", "pgjobs_testing", "-p", "no:cacheprovider", timeout=60
    )
    told = result.parseoutcomes()
    assert (
        told.get("errors", 0) + told.get("failed", 0) == 1
    )  # anyio closes its loop within the test
    assert told["passed"] >= 8
    result.stdout.fnmatch_lines(["*UnendingWorkerError: job 1 of test_last.*never waits in *"])
