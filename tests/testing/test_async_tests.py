"""Async tests of pytest-asyncio and anyio, in projects of their own: workers run in the test's loop."""

from __future__ import annotations

import asyncio
import textwrap
import threading
from pathlib import Path

import pytest

from pgjobs import Job, worker
from pgjobs_testing import harness
from pgjobs_testing.virtual.hooks import UnsupportedLoopError

BODY = """
import asyncio, contextvars, time
import anyio, httpx, pytest
from pgjobs import PgJobs, worker

app = PgJobs("postgresql://db.example.invalid/production", queues={{"default": 10, "one": 1}})
who = contextvars.ContextVar("who", default="nobody")
log = []
{marks}

def at(jobs):
    return (jobs.clock.now() - jobs.timeline.start).total_seconds()

@pytest.fixture
async def inbox():
    yield asyncio.Queue()

@pytest.fixture
async def client():
    async def answers(scope, receive, send):
        await asyncio.sleep(0)
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": scope["path"].encode()}})
    transport = httpx.ASGITransport(answers)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client

async def test_workers_share_the_loop_the_context_and_the_fixtures(jobs, inbox, client):
    loop = asyncio.get_running_loop()
    who.set("the test")

    @worker
    async def fetch(job):
        assert asyncio.get_running_loop() is loop
        assert who.get() == "the test"
        who.set("the worker")
        await inbox.put((await client.get("/stock")).text)

    await app.insert_async(fetch.new())
    assert await jobs.drain_queue_async() == {{"completed": 1}}
    await app.insert_async(fetch.new())
    who.set("the test")
    await jobs.advance_async(1)
    assert [inbox.get_nowait(), inbox.get_nowait()] == ["/stock"] * 2
    assert who.get() == "the worker"

async def test_sleeps_overlap_and_end_in_virtual_order(jobs):
    log.clear()

    @worker
    async def nap(job):
        await asyncio.sleep(job.args["s"])
        log.append((job.args["s"], at(jobs)))

    real = time.monotonic()
    for s in (3000, 30, 300):
        await app.insert_async(nap.new({{"s": s}}))
    await jobs.advance_async(3600)
    assert log == [(30, 30.0), (300, 300.0), (3000, 3000.0)]
    log.clear()
    for s in (30, 10):
        await app.insert_async(nap.new({{"s": s}}, queue="one"))
    await jobs.advance_async(60)
    assert [s for s, _ in log] == [30, 10]
    assert time.monotonic() - real < 20

async def test_timers_of_every_kind_are_virtual(jobs):
    log.clear()

    @worker
    async def timers(job):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(5))
            group.create_task(asyncio.sleep(7))
        log.append(at(jobs))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(60)
        log.append(at(jobs))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 20)
        log.append(at(jobs))
        called = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(30, called.set_result, None)
        await called
        log.append(at(jobs))
        await anyio.sleep(40)
        with anyio.move_on_after(50):
            await anyio.sleep(1000)
        log.append(at(jobs))

    await app.insert_async(timers.new())
    await jobs.advance_async(600)
    assert log == [7.0, 17.0, 37.0, 67.0, 157.0]
    assert jobs.timeline.of("completed")

async def test_real_work_is_awaited_and_never_jumped_over(jobs):
    log.clear()

    @worker(timeout=5)
    async def reads(job):
        log.append(await asyncio.to_thread(lambda: time.sleep(0.05) or "read"))

    @worker
    async def nap(job):
        await asyncio.sleep(3)

    await app.insert_async(nap.new())
    await app.insert_async(reads.new())
    await jobs.advance_async(10)
    assert log == ["read"]
    assert len(jobs.timeline.of("completed")) == 2

async def test_a_blocking_call_names_its_twin(jobs):
    for call, twin in ((lambda: jobs.advance(1), "advance_async"), (jobs.drain_queue, "drain_queue_async")):
        with pytest.raises(Exception, match=f"await {{twin}}|{{twin}} or|{{twin}} instead"):
            call()

async def test_the_test_s_own_sleep_is_real(jobs):
    real = time.monotonic()
    await asyncio.sleep(0.02)
    assert time.monotonic() - real >= 0.01
"""

ANYIO = (
    "pytestmark = pytest.mark.anyio\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'"
)
WAYS = {
    "pytest-asyncio auto": ("auto", "function", ""),
    "pytest-asyncio strict": ("strict", "function", "pytestmark = pytest.mark.asyncio"),
    "pytest-asyncio module loop": (
        "auto",
        "module",
        'pytestmark = pytest.mark.asyncio(loop_scope="module")',
    ),
    "pytest-asyncio session loop": (
        "auto",
        "session",
        'pytestmark = pytest.mark.asyncio(loop_scope="session")',
    ),
    "anyio": ("strict", "function", ANYIO),
}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)
    return pytester


@pytest.mark.parametrize("mode, scope, marks", WAYS.values(), ids=[*WAYS])
def test_an_async_test_has_its_workers_in_its_own_loop(
    project: pytest.Pytester, mode: str, scope: str, marks: str
) -> None:
    project.makeini(
        f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = {scope}\n"
        f"asyncio_default_test_loop_scope = {scope}\nfilterwarnings = error"
    )
    body = BODY.format(marks=marks)
    if mode == "strict" and not marks.startswith("pytestmark = pytest.mark.anyio"):
        body = body.replace(
            "@pytest.fixture\nasync", "@__import__('pytest_asyncio').fixture\nasync"
        )
    project.makepyfile(test_it=body)
    result = project.runpytest_subprocess(
        "-p", "pgjobs_testing", "-p", "no:cacheprovider", timeout=120
    )
    result.assert_outcomes(passed=6)


def test_uvloop_is_refused_with_the_remedy(project: pytest.Pytester) -> None:
    pytest.importorskip("uvloop", reason="uvloop has no wheel for this platform")
    project.makepyfile(
        test_it=textwrap.dedent(
            """
            import pytest
            from pgjobs import worker

            @worker
            async def nap(job): ...

            @pytest.fixture
            def anyio_backend():
                return ("asyncio", {"use_uvloop": True})

            @pytest.mark.anyio
            async def test_it(jobs):
                await jobs.insert_async(nap.new())
                with pytest.raises(RuntimeError, match=r"not uvloop\\.Loop: run this test on asyncio"):
                    await jobs.advance_async(1)
                await jobs.insert_async(nap.new())
                with pytest.raises(RuntimeError, match=r"not uvloop\\.Loop: run this test on asyncio"):
                    await jobs.drain_queue_async()
            """
        )
    )
    result = project.runpytest_subprocess(
        "-p", "pgjobs_testing", "-p", "no:cacheprovider", timeout=120
    )
    result.assert_outcomes(passed=1)


def test_a_library_without_an_asyncio_loop_is_refused_with_the_remedy() -> None:
    @worker(name="async_tests.nap")
    async def nap(job: Job) -> None: ...

    with harness() as jobs:

        async def test() -> None:
            await jobs.insert_async(nap.new())
            await jobs.advance_async(1)

        driven = test()  # as by trio: nothing of asyncio runs
        with pytest.raises(UnsupportedLoopError, match="anyio_backend return"):
            driven.send(None)


async def test_an_advance_that_a_test_gives_up_is_gone_on_with_by_the_next() -> None:
    """What is awaited in real time is awaited again, and the clock does not move meanwhile."""
    ended: list[str] = []

    @worker
    async def reads(job: Job) -> None:
        ended.append("read" if await asyncio.to_thread(gate.wait, 5) else "nothing came")

    gate = threading.Event()
    with harness() as jobs:
        job = await jobs.insert_async(reads.new())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await jobs.advance_async(5)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await jobs.advance_async(5)
        assert ended == ["read"]
        assert (await jobs.get_job_async(job)).state == "completed"
