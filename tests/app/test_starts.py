"""Where what it takes to run a job is not to be had: a thread, a descriptor. On real time; nothing sleeps."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from pgjobs import Job
from pgjobs.adapters.executors import ASK_AGAIN_S, LiveExecutor, ThreadedExecutor
from pgjobs.adapters.loop import LoopExecutor
from pgjobs.adapters.system import SystemClock
from pgjobs.ports import NotBegunError, Run
from pgjobs.rules.lifecycle import Event
from tests.app.test_live import PATIENCE_S, Collected, Watch, defined, live, run_of

pytestmark = pytest.mark.timeout(60)

NO_STACK = 1 << 47
"""More than there are addresses."""


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No file, socket or pipe can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_threads() -> Iterator[None]:
    """No thread can be started."""
    before = threading.stack_size(NO_STACK)
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threading.Thread(target=print).start()
        yield
    finally:
        threading.stack_size(before)


async def on_loop(job: Job) -> None:
    """An async job."""


def anywhere(job: Job) -> None:
    """A job that runs in a thread or a process."""


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.mark.parametrize(
    "lack, function, executor",
    [
        (no_descriptors, on_loop, "async"),
        (no_descriptors, anywhere, "process"),
        (no_threads, anywhere, "thread"),
        (no_threads, on_loop, "async"),
        (no_threads, anywhere, "process"),
    ],
)
def test_a_job_that_nothing_can_run_is_given_back_and_runs_when_something_can(
    watch: Watch, lack: Callable[[], AbstractContextManager[None]], function: Any, executor: str
):
    made = defined(function, executor, executor=executor, max_attempts=1)
    jobs = live(queues={"default": 1})
    with jobs.running():
        with lack():
            job = jobs.insert(made.new())
            assert 0 == watch.until("job.release")[0]["attempt"]
        # A process of the test run knows no worker of this test: that it was asked is enough.
        watch.until("job.exception" if executor == "process" else "job.stop")
    after = jobs.get_job(job)
    assert 1 == after.attempt
    assert 1 <= after.meta["released"]
    if executor != "process":
        assert "completed" == after.state


def test_an_executor_that_cannot_start_takes_the_runs_of_no_other_along():
    executor = LiveExecutor(SystemClock(), lambda: None)
    ran = threading.Event()
    runs = {
        "async": run_of(defined(on_loop, "async")),
        "thread": run_of(defined(lambda job: ran.set(), "thread")),
        "process": run_of(defined(anywhere, "process", executor="process")),
    }
    with no_descriptors(), pytest.raises(NotBegunError, match="Too many open files") as caught:
        executor.start([*runs.values()])
    assert [runs["async"], runs["process"]] == caught.value.runs
    assert ran.wait(PATIENCE_S)
    executor.start([runs["async"]])
    executor.close()
    assert {runs["thread"], runs["async"]} == {each.run for each in executor.collect()}


def held(gate: threading.Event, entered: threading.Event) -> Callable[[Job], None]:
    def hold(job: Job) -> None:
        entered.set()
        gate.wait(PATIENCE_S)

    return hold


@contextmanager
def one_thread_at_work(executor: ThreadedExecutor) -> Iterator[Run]:
    """A run that lasts as long as the block."""
    gate, entered = threading.Event(), threading.Event()
    run = run_of(defined(held(gate, entered), "hold"))
    executor.start([run])
    assert entered.wait(PATIENCE_S)
    try:
        yield run
    finally:
        gate.set()


def test_where_no_thread_was_to_be_had_one_is_asked_for_again():
    collected = Collected()
    executor = ThreadedExecutor(collected.outbox)
    with one_thread_at_work(executor):
        waiting = run_of(defined(lambda job: None))
        with no_threads():
            executor.start([waiting])
            executor.ask_again(0.0)
        executor.ask_again(ASK_AGAIN_S / 2)
        assert [] == collected.outbox.take()
        executor.ask_again(ASK_AGAIN_S)
        assert [waiting] == [each.run for each in collected.take(1)]
    executor.close()


def test_a_node_asks_again_for_the_threads_that_were_not_to_be_had(watch: Watch):
    gate, entered = threading.Event(), threading.Event()
    hold, quick = defined(held(gate, entered), "hold"), defined(lambda job: None, "quick")
    jobs = live(queues={"default": 2})
    with jobs.running():
        jobs.insert(hold.new())
        assert entered.wait(PATIENCE_S)
        try:
            with no_threads():
                jobs.insert(quick.new())
                watch.until("job.start", 2)
            (ended,) = watch.until("job.stop")
        finally:
            gate.set()
    assert ("quick", 1) == (ended["worker"], ended["attempt"])


def test_a_run_that_waits_for_a_thread_never_begins_once_it_is_told_to_stop():
    ran: list[Job] = []
    collected = Collected()
    executor = ThreadedExecutor(collected.outbox)
    with one_thread_at_work(executor) as holding:
        waiting, last = run_of(defined(ran.append)), run_of(defined(lambda job: None))
        with no_threads():
            executor.start([waiting, last])
        executor.tell(waiting)
        executor.tell(holding)  # which has begun
        (end,) = collected.take(1)
        assert waiting is end.run
        assert isinstance(end.outcome.exception, NotBegunError)
    ended = {each.run: each.outcome.event for each in collected.take(3)}
    assert Event.COMPLETE is ended[holding] is ended[last]
    executor.close()
    assert [] == ran


def test_a_job_that_stops_the_loop_stops_no_other(watch: Watch, caplog: pytest.LogCaptureFixture):
    async def stopping(job: Job) -> None:
        asyncio.get_running_loop().stop()

    async def meeting(job: Job) -> None:
        met.append(job.id)
        if len(met) == 2:
            together.set()
        await together.wait()

    met: list[int] = []
    together = asyncio.Event()
    jobs = live(queues={"default": 3})
    stop, meet = defined(stopping, "stopping"), defined(meeting, "meeting")
    with jobs.running():
        jobs.insert_all([meet.new(), stop.new()])
        watch.until("job.stop")
        jobs.insert(stop.new())
        watch.until("job.stop", 2)
        jobs.insert(meet.new())
        watch.until("job.stop", 4)
    assert {"completed": 4} == jobs.count_jobs("state")
    assert ["a job stopped the loop of all async jobs, which goes on"] == [
        record.getMessage() for record in caplog.records if record.levelname == "WARNING"
    ]


def test_a_loop_that_is_stopped_as_it_is_closed_clears_up_all_the_same():
    async def hold(job: Job) -> None:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
        entered.set()
        gate.wait(PATIENCE_S)  # the loop stands still, so that close comes before its next pass

    async def linger(job: Job) -> None:
        left.append(asyncio.get_running_loop().create_task(asyncio.Event().wait()))

    entered, gate = threading.Event(), threading.Event()
    left: list[asyncio.Task[Any]] = []
    collected = Collected()
    executor = LoopExecutor(collected.outbox)
    executor.start([run_of(defined(linger, "linger")), run_of(defined(hold, "hold"))])
    assert entered.wait(PATIENCE_S)
    closing = threading.Thread(target=executor.close)
    closing.start()
    gate.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert 2 == len(collected.take(2))
    assert left[0].cancelled()


def test_a_loop_that_breaks_fails_its_jobs_and_the_next_job_gets_another(
    watch: Watch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    async def breaking(job: Job) -> None:
        def select(_: object) -> None:
            raise OSError(9, "Bad file descriptor")

        loop: Any = asyncio.get_running_loop()
        monkeypatch.setattr(loop._selector, "select", select)
        await asyncio.Event().wait()

    jobs = live(queues={"default": 3})
    with jobs.running():
        broken = jobs.insert(defined(breaking, "breaking", max_attempts=1).new())
        watch.until("job.exception")
        jobs.insert(defined(on_loop, "quick").new())
        watch.until("job.stop")
    assert ("discarded", 1) == ((after := jobs.get_job(broken)).state, after.attempt)
    assert "the loop of all async jobs broke" in caplog.text
