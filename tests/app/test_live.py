"""A node on real time, with real threads and a real loop, on the store in memory. Nothing sleeps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgjobs import (
    BlockingCallError,
    ConfigurationError,
    Job,
    MemoryStore,
    PgJobs,
    Retry,
    telemetry,
    worker,
)
from pgjobs.adapters import system
from pgjobs.adapters.executors import LiveExecutor, ThreadedExecutor
from pgjobs.adapters.loop import LoopExecutor
from pgjobs.adapters.outbox import Outbox
from pgjobs.adapters.performing import perform_async
from pgjobs.adapters.system import SystemClock
from pgjobs.engine import runner as runners
from pgjobs.engine.runner import LONGEST_WAIT_S, Runner
from pgjobs.leading import Heartbeats
from pgjobs.ports import Finished, Run
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.lifecycle import Event
from pgjobs.rules.outcome import returned
from pgjobs.worker import Worker
from tests.rules.factory import job as any_job

pytestmark = pytest.mark.timeout(60)

PATIENCE_S = 20
ENDS = (
    *("pgjobs.job.stop", "pgjobs.job.exception", "pgjobs.job.late", "pgjobs.job.release"),
    *("pgjobs.node.start", "pgjobs.node.stop"),
)


class Watch:
    """Events of the engine, and a way to wait for them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._changed = threading.Condition()
        telemetry.attach("watch", (*ENDS, "pgjobs.job.start"), self._hear)

    def _hear(self, event: str, measurements: Any, metadata: Any) -> None:
        with self._changed:
            self.seen.append((event.removeprefix("pgjobs."), metadata))
            self._changed.notify_all()

    def until(self, event: str, count: int = 1) -> list[Any]:
        """The metadata of ``event``, once it was heard ``count`` times."""

        def found() -> list[Any]:
            return [metadata for name, metadata in self.seen if name == event]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, PATIENCE_S), self.seen
            return found()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def open_gates() -> Iterator[Callable[[], threading.Event]]:
    """Events for workers to wait on; they are set at the end, so that nothing hangs."""
    gates: list[threading.Event] = []

    def made() -> threading.Event:
        gates.append(threading.Event())
        return gates[-1]

    yield made
    for gate in gates:
        gate.set()


def live(**given: Any) -> PgJobs:
    return PgJobs(store=MemoryStore(), **{"queues": {"default": 3}, **given})


def defined(function: Any, name: str = "live", **given: Any) -> Worker[Any, Any]:
    return worker(name=name, **given)(function)


def test_sync_and_async_jobs_run_while_the_block_lasts(watch: Watch):
    ran: list[str] = []

    async def on_loop(job: Job) -> None:
        ran.append(threading.current_thread().name)

    def in_thread(job: Job) -> None:
        ran.append(threading.current_thread().name)

    one, two = defined(on_loop, "one"), defined(in_thread, "two")
    jobs = live()
    with jobs.running() as same:
        assert same is jobs
        jobs.insert_all([one.new(), two.new()])
        watch.until("job.stop", 2)
    assert {"completed": 2} == jobs.count_jobs("state")
    assert [True, True] == [name.startswith("pgjobs-") for name in ran]
    assert "pgjobs-loop" in ran
    assert 1 == len(watch.until("node.stop"))


def test_a_node_can_be_started_and_stopped_again_and_again(watch: Watch):
    jobs = live()
    quick = defined(lambda job: None)
    for n in range(3):
        jobs.start()
        jobs.start()
        jobs.insert(quick.new())
        watch.until("job.stop", n + 1)
        jobs.stop()
        jobs.stop()
    names = [metadata["node"] for metadata in watch.until("node.stop", 3)]
    assert 3 == len(set(names))


class Away(MemoryStore):
    """A store whose clock can be read when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.there = False
        self.asked = threading.Semaphore(0)

    def server_now(self) -> datetime | None:
        self.asked.release()
        if not self.there:
            raise StoreUnavailableError("no connection could be opened: refused")
        return datetime(2031, 1, 1, tzinfo=UTC)


@pytest.fixture
def asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (system, runners):
        monkeypatch.setattr(place, "RETRY_AFTER_S", 0.001)


@pytest.mark.usefixtures("asks_often")
def test_a_node_begins_when_the_clock_of_its_store_can_be_read(
    watch: Watch, caplog: pytest.LogCaptureFixture
):
    store = Away()
    jobs = PgJobs(store=store, queues={"default": 3})
    quick = defined(lambda job: None)
    jobs.start()
    for _ in range(5):
        assert store.asked.acquire(timeout=PATIENCE_S)
    assert [] == [name for name, _ in watch.seen]
    assert [] == store.run(Heartbeats())
    store.there = True
    watch.until("node.start")
    jobs.insert(quick.new())
    (told,) = watch.until("job.stop")
    jobs.stop()
    assert 2031 == told["job"].attempted_at.year
    (said,) = [
        record.getMessage() for record in caplog.records if "to begin" in record.getMessage()
    ]
    assert "waits for its store to begin: no connection could be opened: refused" in said


@pytest.mark.usefixtures("asks_often")
def test_a_node_that_waits_for_its_store_can_be_stopped(watch: Watch):
    store = Away()
    jobs = PgJobs(store=store, queues={"default": 3})
    jobs.start()
    for _ in range(3):
        assert store.asked.acquire(timeout=PATIENCE_S)
    jobs.stop()
    assert [] == watch.seen
    store.there = True
    jobs.start()
    watch.until("node.start")
    jobs.stop()
    watch.until("node.stop")


def test_stopping_what_was_never_started_does_nothing():
    live().stop()


@pytest.mark.parametrize("kind", ["block", "class"])
def test_a_node_runs_inside_of_an_async_block(watch: Watch, kind: str):
    async def on_loop(job: Job) -> None: ...

    jobs = live()
    quick = defined(on_loop)

    async def main() -> None:
        async with jobs.running_async() if kind == "block" else jobs:
            await jobs.insert_async(quick.new())
            await asyncio.to_thread(watch.until, "job.stop")

    asyncio.run(main())
    assert {"completed": 1} == jobs.count_jobs("state")


ERRORS = [
    ValueError("x"),
    KeyboardInterrupt(),
    SystemExit(3),
    asyncio.CancelledError(),
    GeneratorExit(),
    StopIteration(1),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_whatever_an_async_worker_raises_is_an_outcome(error: BaseException):
    async def raises(job: Job) -> None:
        raise error

    run = Run(any_job(), Worker(raises, {"name": "raises"}), "default", 0.0)
    assert asyncio.run(perform_async(run)).event is Event.FAIL


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("kind", ["async", "thread"])
def test_whatever_a_worker_raises_its_job_fails_and_the_node_goes_on(
    watch: Watch, error: BaseException, kind: str
):
    async def raise_on_loop(job: Job) -> None:
        raise error

    def raise_in_thread(job: Job) -> None:
        raise error

    jobs = live()
    raising = defined(raise_on_loop if kind == "async" else raise_in_thread, "raising")
    quick = defined(lambda job: None)
    with jobs.running():
        job = jobs.insert(raising.new())
        (ended,) = watch.until("job.exception")
        jobs.insert(quick.new())
        watch.until("job.stop")
    failed = (
        "RuntimeError"
        if isinstance(error, StopIteration) and kind == "async"
        else type(error).__name__
    )
    assert ("retryable", 1) == (jobs.get_job(job).state, len(jobs.get_job(job).errors))
    assert str(jobs.get_job(job).last_error).startswith(failed)
    assert "retryable" == ended["state"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_task_of_a_job_that_exits_fails_its_job_and_the_loop_goes_on(
    watch: Watch, error: BaseException
):
    async def exits() -> None:
        raise error

    async def exits_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    async def awaiting(job: Job) -> None:
        left.append(asyncio.create_task(exits_when_cancelled()))
        await asyncio.create_task(exits())

    async def well(job: Job) -> None: ...

    left: list[Any] = []
    jobs = live()
    with jobs.running():
        job = jobs.insert(defined(awaiting, "awaiting").new())
        watch.until("job.exception")
        beside = jobs.insert(defined(well, "well").new())
        watch.until("job.stop")
    assert str(jobs.get_job(job).last_error).startswith(type(error).__name__)
    assert "completed" == jobs.get_job(beside).state
    assert [True] == [task.done() for task in left]


def test_an_error_that_cannot_be_printed_stops_nothing(watch: Watch):
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise SystemExit(1)

    def raising(job: Job) -> None:
        raise UnprintableError("\x00")

    jobs = live()
    with jobs.running():
        job = jobs.insert(defined(raising).new())
        watch.until("job.exception")
    assert "its message could not be printed" in str(jobs.get_job(job).last_error)


def test_a_cancelled_task_is_stopped_and_a_cancelled_thread_is_flagged(watch: Watch):
    stopped: list[str] = []
    started = threading.Barrier(3)

    async def on_loop(job: Job) -> None:
        try:
            await asyncio.to_thread(started.wait, PATIENCE_S)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append("task")
            raise

    def in_thread(job: Job) -> None:
        started.wait(PATIENCE_S)
        if job.cancelled.wait(PATIENCE_S):
            stopped.append("thread")

    jobs = live()
    with jobs.running():
        jobs.insert_all([defined(on_loop, "one").new(), defined(in_thread, "two").new()])
        started.wait(PATIENCE_S)
        assert 2 == jobs.cancel_all_jobs()
        assert {"cancelled": 2} == jobs.count_jobs("state")
        watch.until("job.late", 2)
    assert ["task", "thread"] == sorted(stopped)
    assert {"cancelled": 2} == jobs.count_jobs("state")


def test_a_stop_gives_a_task_back_and_waits_for_a_thread(
    watch: Watch, open_gates: Callable[[], threading.Event]
):
    gate = open_gates()

    async def on_loop(job: Job) -> None:
        await asyncio.Event().wait()

    def in_thread(job: Job) -> None:
        job.cancelled.wait(PATIENCE_S)
        gate.wait(PATIENCE_S)

    jobs = live()
    jobs.start()
    task, thread = jobs.insert_all([defined(on_loop, "one").new(), defined(in_thread, "two").new()])
    watch.until("job.start", 2)
    stopping = threading.Thread(target=jobs.stop, args=(0,))
    stopping.start()
    telemetry.attach("release", "pgjobs.node.stop", lambda *_: None)
    assert stopping.is_alive()
    gate.set()
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive()
    after = jobs.get_job(task)
    assert ("available", 0, 1) == (after.state, after.attempt, after.meta["released"])
    (told,) = watch.until("job.release")
    assert (after, "available", 0) == (told["job"], told["state"], told["attempt"])
    assert ("completed", 1) == (jobs.get_job(thread).state, jobs.get_job(thread).attempt)


def test_a_time_limit_ends_a_task_and_leaves_a_thread_its_slot(
    watch: Watch, open_gates: Callable[[], threading.Event]
):
    gate = open_gates()

    async def on_loop(job: Job) -> None:
        await asyncio.Event().wait()

    def in_thread(job: Job) -> None:
        gate.wait(PATIENCE_S)

    jobs = live(queues={"default": 2})
    with jobs.running():
        jobs.insert(defined(on_loop, "one", timeout=0.05).new())
        jobs.insert(defined(in_thread, "two", timeout=0.05).new())
        ended = watch.until("job.exception", 2)
        gate.set()
        watch.until("job.late")
    assert ["JobTimeoutError"] * 2 == [each["error"].split(":")[0] for each in ended]
    assert {"retryable": 2} == jobs.count_jobs("state")


def test_a_queue_that_is_scaled_up_runs_as_many_threads(
    watch: Watch, open_gates: Callable[[], threading.Event]
):
    gate, together = open_gates(), threading.Barrier(6)

    def in_thread(job: Job) -> None:
        together.wait(PATIENCE_S)
        gate.wait(PATIENCE_S)

    jobs = live(queues={"default": 1})
    with jobs.running():
        jobs.scale_queue("default", 5)
        jobs.insert_all([defined(in_thread).new() for _ in range(5)])
        together.wait(PATIENCE_S)
        gate.set()
        watch.until("job.stop", 5)
    assert {"completed": 5} == jobs.count_jobs("state")


def test_many_jobs_of_both_kinds_run_once_each(watch: Watch):
    ran: list[int] = []

    async def on_loop(job: Job) -> None:
        ran.append(job.id)

    def in_thread(job: Job) -> None:
        ran.append(job.id)

    one, two = defined(on_loop, "one"), defined(in_thread, "two")
    jobs = live(queues={"a": 5, "b": 7})
    with jobs.running():
        for queue in ("a", "b"):
            jobs.insert_all([w.new({}, queue=queue) for w in (one, two) for _ in range(100)])
        watch.until("job.stop", 400)
    assert list(range(1, 401)) == sorted(ran)
    assert {"completed": 400} == jobs.count_jobs("state")


def test_a_worker_inserts_jobs_for_its_own_node(watch: Watch):
    jobs = live()

    def parent(job: Job) -> None:
        if job.args["n"]:
            jobs.insert(chained.new({"n": job.args["n"] - 1}))

    chained = defined(parent)
    with jobs.running():
        jobs.insert(chained.new({"n": 5}))
        watch.until("job.stop", 6)
    assert {"completed": 6} == jobs.count_jobs("state")


def test_a_worker_defined_again_runs_the_jobs_that_start_from_then_on(watch: Watch):
    ran: list[int] = []
    first = defined(lambda job: ran.append(1))
    jobs = live()
    with jobs.running():
        jobs.insert(first.new())
        watch.until("job.stop")
        second = defined(lambda job: ran.append(2))
        jobs.insert_all([first.new(), second.new()])
        watch.until("job.stop", 3)
    assert [1, 2, 2] == ran


def test_a_telemetry_handler_that_raises_is_detached_and_touches_no_job(
    watch: Watch, caplog: pytest.LogCaptureFixture
):
    calls: list[str] = []

    def broken(event: str, measurements: Any, metadata: Any) -> None:
        calls.append(event)
        raise RuntimeError("broken")

    telemetry.attach("broken", ["pgjobs.job.start", "pgjobs.job.stop"], broken)
    jobs = live()
    quick = defined(lambda job: None)
    with jobs.running():
        jobs.insert_all([quick.new(), quick.new()])
        watch.until("job.stop", 2)
    assert {"completed": 2} == jobs.count_jobs("state")
    assert ["pgjobs.job.start"] == calls
    assert not telemetry.detach("broken")
    assert "telemetry handler 'broken' raised at pgjobs.job.start and is detached" in caplog.text


def test_failures_and_successes_are_told_with_their_measurements(watch: Watch):
    jobs = live()
    seen: list[Any] = []
    telemetry.attach("measure", ENDS[:2], lambda *told: seen.append(told))
    with jobs.running():
        jobs.insert(defined(lambda job: None, "one").new({}, priority=1))
        watch.until("job.stop")
        jobs.insert(defined(lambda job: Retry("again"), "two").new())
        watch.until("job.exception")
    (stop, first, done), (exception, second, failed) = seen
    assert ("pgjobs.job.stop", "pgjobs.job.exception") == (stop, exception)
    assert {"completed": None, "retryable": "again"} == {
        str(each["state"]): each["error"] for each in (done, failed)
    }
    for measured in (first, second):
        assert {"duration", "queue_time"} == set(measured)
        assert all(0 <= value < PATIENCE_S for value in measured.values())
    assert ("one", "default", 1) == (done["worker"], done["queue"], done["attempt"])


# The executors alone


class Collected:
    """An outbox that can be waited for."""

    def __init__(self) -> None:
        self._woken = threading.Semaphore(0)
        self.outbox = Outbox(SystemClock(), self.wake)
        self.found: list[Finished] = []

    def wake(self) -> None:
        self._woken.release()

    def take(self, count: int) -> list[Finished]:
        while len(self.found) < count:
            assert self._woken.acquire(timeout=PATIENCE_S)
            self.found += self.outbox.take()
        return self.found


def run_of(made: Worker[Any, Any]) -> Run:
    return Run(any_job(), made, "default", 0.0)


def test_a_task_that_is_stopped_before_it_began_ends_all_the_same():
    async def on_loop(job: Job) -> None:
        await asyncio.Event().wait()

    async def hold(job: Job) -> None:
        entered.set()
        gate.wait(PATIENCE_S)  # the loop stands still, so that both calls come before the next step

    entered, gate = threading.Event(), threading.Event()
    collected = Collected()
    executor = LoopExecutor(collected.outbox)
    try:
        executor.start([run_of(defined(hold, "hold"))])
        assert entered.wait(PATIENCE_S)
        run = run_of(defined(on_loop))
        executor.start([run])
        executor.tell(run)
        gate.set()
        ended = {each.run: each.outcome for each in collected.take(2)}
    finally:
        gate.set()
        executor.close()
    assert Event.FAIL is ended[run].event
    assert isinstance(ended[run].exception, asyncio.CancelledError)


def test_what_a_task_leaves_behind_on_the_loop_is_cancelled_at_the_end():
    left: list[str] = []

    async def lingering() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("cancelled")

    async def on_loop(job: Job) -> None:
        tasks.append(asyncio.get_running_loop().create_task(lingering()))
        await asyncio.to_thread(threading.current_thread)  # the task has begun by now

    tasks: list[asyncio.Task[None]] = []
    collected = Collected()
    executor = LoopExecutor(collected.outbox)
    executor.start([run_of(defined(on_loop))])
    collected.take(1)
    executor.close()
    assert ["cancelled"] == left
    assert tasks[0].cancelled()


def test_runs_that_wait_for_one_another_each_have_a_thread():
    def meet(job: Job) -> None:
        together.wait(PATIENCE_S)

    together = threading.Barrier(40)
    collected = Collected()
    executor = ThreadedExecutor(collected.outbox)
    made = defined(meet)
    for _ in range(8):  # also in several calls, while others wait already
        executor.start([run_of(made) for _ in range(5)])
    assert {Event.COMPLETE} == {each.outcome.event for each in collected.take(40)}
    executor.close()


def test_no_run_is_left_whichever_thread_is_leaving_when_it_comes():
    collected = Collected()
    executor = ThreadedExecutor(collected.outbox)
    made = defined(lambda job: None)
    for n in range(300):  # each comes while the thread of the last one looks for more
        executor.start([run_of(made)] * (1 + n % 3))
        collected.take(sum(1 + m % 3 for m in range(n + 1)))
    executor.close()
    assert 600 == len(collected.found)


TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")


@pytest.mark.parametrize("executor", [LoopExecutor, ThreadedExecutor])
def test_what_a_job_sets_of_the_context_no_other_job_sees(executor: Any):
    seen: list[str] = []

    def visit(job: Job) -> None:
        seen.append(TENANT.get())
        TENANT.set("acme")
        if len(seen) % 2:
            raise ValueError("no")

    async def visit_async(job: Job) -> None:
        visit(job)

    collected = Collected()
    runs = executor(collected.outbox)
    made = defined(visit_async if executor is LoopExecutor else visit)
    for n in range(4):  # one after another: in threads that have run others
        runs.start([run_of(made)])
        collected.take(n + 1)
    runs.close()
    assert ["nobody"] * 4 == seen


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_worker_sets_as_it_tells_its_time_limit_no_job_sees(
    watch: Watch, asynchronous: bool
):
    seen: list[str] = []

    class Visit:
        def timeout(self, job: Job) -> float:
            TENANT.set("acme")
            return 60

        def perform(self, job: Job) -> None:
            seen.append(TENANT.get())

    class VisitAsync:
        timeout = Visit.timeout

        async def perform(self, job: Job) -> None:
            seen.append(TENANT.get())

    jobs = live(queues={"default": 1})
    with jobs.running():
        jobs.insert_all([defined(VisitAsync if asynchronous else Visit).new() for _ in range(3)])
        watch.until("job.stop", 3)
    assert ["nobody"] * 3 == seen


def test_where_no_more_threads_can_be_had_those_there_are_run_all(monkeypatch):
    collected = Collected()
    executor = ThreadedExecutor(collected.outbox)
    submit, asked = executor._pool.submit, []

    def once(serve: Any) -> Any:
        asked.append(serve)
        if len(asked) > 1:
            raise RuntimeError("can't start new thread")
        return submit(serve)

    monkeypatch.setattr(executor._pool, "submit", once)
    executor.start([run_of(defined(lambda job: None))] * 3)
    assert 3 == len(collected.take(3))
    assert len(asked) > 1
    executor.close()


def test_runs_that_end_before_they_are_taken_wake_the_engine_once():
    woken: list[int] = []
    outbox = Outbox(SystemClock(), lambda: woken.append(1))
    ended = run_of(defined(lambda job: None)), returned(None)
    outbox.put(ended)
    outbox.put(ended, ended)
    assert (1, 3) == (len(woken), len(outbox.take()))
    outbox.put(ended)
    assert (2, 1) == (len(woken), len(outbox.take()))


def test_an_executor_starts_no_thread_before_a_worker_needs_it():
    before = threading.active_count()
    executor = LiveExecutor(SystemClock(), lambda: None)
    executor.tell(run_of(defined(lambda job: None)))
    assert [] == executor.collect()
    executor.close()
    assert before == threading.active_count()


def test_a_time_limit_of_years_lets_the_engine_wait():
    """No operating system waits that long in one go."""
    waits: list[float | None] = []

    class Waiting:
        """A session of which only the waits count."""

        def wait(self, seconds: float | None) -> None:
            waits.append(seconds)

    class Idle:
        """A node that has something to do in a thousand years, or never."""

        name, stopped = "idle", False

        def __init__(self, due: datetime | None) -> None:
            self.due = due

        def step(self, now: datetime) -> bool:
            return False

        def next_due(self, now: datetime) -> datetime | None:
            return self.due

    far = SystemClock().now() + timedelta(days=365_000)
    for due in (far, None):
        runner: Any = Runner(Idle(due), Waiting(), None, SystemClock())  # type: ignore[arg-type]  # stand-ins
        runner._turn()
    assert waits == [LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_block_that_could_not_end_is_refused_before_it_begins(watch: Watch):
    jobs = live()

    async def in_a_loop() -> None:
        with jobs.running():
            raise AssertionError("served in the event loop's thread")

    with pytest.raises(BlockingCallError, match=r"use `async with running_async\(\)` instead"):
        asyncio.run(in_a_loop())
    with pytest.raises(ConfigurationError, match="grace must be 0 s or more"), jobs.running(-1):
        raise AssertionError("served with a grace that is none")
    with pytest.raises(ConfigurationError, match="grace must be 0 s or more"):
        jobs.running_async(-1)
    assert not [metadata for name, metadata in watch.seen if name == "node.stop"]  # none has begun


def test_a_worker_that_stops_its_own_node_is_refused_instead_of_waiting_for_itself(watch: Watch):
    def suicidal(job: Job) -> None:
        jobs.stop()

    jobs = live()
    with jobs.running():
        jobs.insert(defined(suicidal).new())
        watch.until("job.exception")
    (job,) = jobs.all_jobs()
    assert "BlockingCallError: stop waits for running jobs, and was called by one" in str(
        job.last_error
    )


def test_a_job_that_awaits_the_end_of_its_own_node_is_refused_alike(watch: Watch):
    async def awaiting(job: Job) -> None:
        await jobs.stop_async()

    def beside(job: Job) -> None:
        asyncio.run(jobs.stop_async())

    async def leaving(job: Job) -> None:
        left.append(asyncio.get_running_loop().create_task(jobs.stop_async()))

    left: list[asyncio.Task[None]] = []
    jobs = live()
    with jobs.running():
        for function in (awaiting, beside):
            jobs.insert(defined(function, function.__name__, max_attempts=1).new())
        watch.until("job.exception", 2)
        jobs.insert(defined(leaving, "leaving").new())  # what waits is no job, and may outlive it
        watch.until("node.stop")
    first, second, third = jobs.all_jobs()
    for job in (first, second):
        assert str(job.last_error).startswith(
            "BlockingCallError: stop_async waits for running jobs, and was called by one"
        )
    assert "completed" == third.state
