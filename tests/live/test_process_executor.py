"""Workers in real processes: what they answer, how they die, and how they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pgjobs import Job, MemoryStore, PgJobs, ProcessDiedError, RemoteError, telemetry, worker
from pgjobs.adapters.outbox import Outbox
from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.processes import ProcessExecutor
from pgjobs.adapters.system import SystemClock
from pgjobs.ports import Finished, Run
from pgjobs.worker import Worker
from tests.live import in_processes as work
from tests.rules.factory import job as any_job

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live"), pytest.mark.timeout(60)]

PATIENCE_S = 30
ROOT = Path(__file__).resolve().parents[2]


class Watch:
    """Ends of runs, and a way to wait for them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._changed = threading.Condition()
        events = [f"pgjobs.job.{end}" for end in ("stop", "exception", "late")]
        telemetry.attach("watch", events, self._hear)

    def _hear(self, event: str, measurements: Any, metadata: Any) -> None:
        with self._changed:
            self.seen.append((event.removeprefix("pgjobs.job."), metadata))
            self._changed.notify_all()

    def until(self, event: str, count: int = 1) -> list[Any]:
        """The metadata of ``event``, once it was heard ``count`` times."""

        def found() -> list[Any]:
            return [metadata for name, metadata in self.seen if name == event]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, PATIENCE_S), self.seen
            return found()


class Lines:
    """Lines from workers to the test."""

    def __init__(self, address: str) -> None:
        self.args = {"line": address}
        self._listener = Listener(address)

    def next(self) -> tuple[Connection[Any, Any], int]:
        """The next line that a worker opens, and the worker's process."""
        line = self._listener.accept()
        return line, heard(line)

    def close(self) -> None:
        self._listener.close()


def heard(line: Connection[Any, Any]) -> Any:
    assert line.poll(PATIENCE_S), "the worker says nothing"
    return line.recv()


def closed(line: Connection[Any, Any]) -> bool:
    """Whether nobody holds the other end any more."""
    try:
        heard(line)
    except (EOFError, ConnectionError):
        return True
    return False


class Ahead(SystemClock):
    """A clock that a test sets forward; durations stay real."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@contextmanager
def death_of(process: int) -> Iterator[None]:
    """Wait, after the block, until a process is dead."""
    death = os.pidfd_open(process)
    yield
    assert wait([death], PATIENCE_S), "it lives"
    os.close(death)


@pytest.fixture
def watch() -> Iterator[Watch]:
    yield Watch()
    telemetry.detach("watch")


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    made = Lines(str(tmp_path / "line"))
    yield made
    made.close()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def live(request: pytest.FixtureRequest) -> Callable[..., PgJobs]:
    """Makes an instance on each store."""
    if request.param == "memory":
        return lambda **given: PgJobs(store=MemoryStore(), **{"queues": {"default": 2}, **given})
    dsn: str = request.getfixturevalue("database")
    migrate(dsn)
    return lambda **given: PgJobs(dsn, **{"queues": {"default": 2}, **given})


def on_memory(**given: Any) -> PgJobs:
    return PgJobs(store=MemoryStore(), **{"queues": {"default": 2}, **given})


def test_an_answer_from_a_process_settles_its_job(live: Callable[..., PgJobs], watch: Watch):
    jobs = live()
    with jobs.running():
        new = [work.answer.new({"answer": name}) for name in work.ANSWERS]
        stored = jobs.insert_all([work.quick.new({}), *new])
        watch.until("stop", 4)
        watch.until("exception", 2)
    after = [jobs.get_job(job) for job in stored]
    assert ["completed", "retryable", "discarded", "scheduled", "cancelled", "retryable"] == [
        job.state for job in after
    ]
    assert [None, "again", "never", None, "ValueError: not wanted"] == [
        job.last_error for job in after[:5]
    ]
    assert str(after[5].last_error).startswith("InvalidResultError: the worker returned the tuple")


def test_a_process_makes_the_model_of_the_args_itself(watch: Watch):
    jobs = on_memory()
    parcel = work.Parcel(UUID(int=1))
    with jobs.running():
        job = jobs.insert(work.typed.new(parcel))
        watch.until("stop")
    assert repr(parcel) == jobs.get_job(job).last_error


@pytest.mark.parametrize(
    "kind, first",
    [
        ("unpicklable", "it is lost"),
        ("unprintable", "<its message could not be printed>"),
    ],
)
def test_an_exception_that_cannot_travel_leaves_its_text(watch: Watch, kind: str, first: str):
    jobs = on_memory()
    with jobs.running():
        job = jobs.insert(work.fail.new({"kind": kind}))
        (told,) = watch.until("exception")
    name = "fail.<locals>.UnpicklableError"
    text = str(jobs.get_job(job).last_error)
    assert text.startswith(f"{name}: {first}\n\nTraceback")
    assert "raise UnpicklableError" in text
    assert isinstance(told["exception"], RemoteError)
    assert (name, f"{name}: {first}") == (told["exception"].kind, str(told["exception"]))
    assert "raise UnpicklableError" in told["stacktrace"]


@pytest.mark.parametrize(
    "kind, name", [("exit", "SystemExit: 3"), ("interrupt", "KeyboardInterrupt")]
)
def test_what_would_end_an_interpreter_fails_the_job_and_keeps_the_process(
    watch: Watch, lines: Lines, kind: str, name: str
):
    jobs = on_memory(queues={"default": 1})
    with jobs.running():
        jobs.insert(work.meet.new(lines.args))
        line, before = lines.next()
        line.send("go")
        job = jobs.insert(work.fail.new({"kind": kind}))
        watch.until("exception")
        jobs.insert(work.meet.new(lines.args))
        line, after = lines.next()
        line.send("go")
    assert str(jobs.get_job(job).last_error).startswith(name)
    assert before == after


@pytest.mark.parametrize(
    "args, how",
    [
        ({"code": 3}, "ended with exit code 3 before the job had ended"),
        ({"code": 0}, "ended with exit code 0 before the job had ended"),
        ({"signal": 11}, "was killed by SIGSEGV before the job had ended"),
        ({"signal": 9}, "was killed by SIGKILL (the system does that when memory runs out)"),
        ({"signal": 15}, "was killed by SIGTERM before the job had ended"),
    ],
)
def test_a_process_that_dies_fails_its_job_alone_and_is_replaced(
    live: Callable[..., PgJobs], watch: Watch, args: dict[str, Any], how: str
):
    jobs = live(queues={"default": 1})
    with jobs.running():
        job = jobs.insert(work.die.new(args))
        (told,) = watch.until("exception")
        jobs.insert(work.quick.new({}))
        watch.until("stop")
    after = jobs.get_job(job)
    assert ("retryable", 1) == (after.state, after.attempt)
    assert str(after.last_error).startswith(f"ProcessDiedError: the process of this job {how}")
    assert isinstance(told["exception"], ProcessDiedError)


def test_a_process_that_ignores_signals_is_killed_and_its_job_settled(
    live: Callable[..., PgJobs], watch: Watch, lines: Lines
):
    clock = Ahead()
    jobs = live(queues={"default": 1, "wake": 1}, clock=clock)
    with jobs.running():
        job = jobs.insert(work.ignore.new(lines.args))
        line, process = lines.next()
        clock.ahead = timedelta(
            seconds=60
        )  # its time limit is over, and the node is woken to see it
        jobs.insert(work.quick.new({}, queue="wake"))
        watch.until("exception")
        assert closed(line), "its program lives"
        jobs.insert(work.quick.new({}))  # the slot comes back
        watch.until("stop", 2)
    after = jobs.get_job(job)
    assert ("retryable", 1) == (after.state, len(after.errors))
    assert str(after.last_error).startswith(
        "JobTimeoutError: the run took longer than its time limit"
    )
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert "late" not in [name for name, _ in watch.seen]


def test_a_cancelled_job_tidies_up_and_its_process_ends(
    live: Callable[..., PgJobs], watch: Watch, lines: Lines
):
    jobs = live(queues={"default": 1})
    with jobs.running():
        job = jobs.insert(work.tidy.new(lines.args))
        line, _ = lines.next()
        jobs.cancel_job(job)
        assert ("tidied", True) == heard(line)
        assert closed(line)
        jobs.insert(work.quick.new({}))
        watch.until("stop")
    assert ("cancelled", 1) == (jobs.get_job(job).state, jobs.get_job(job).attempt)
    assert ["late", "stop"] == [name for name, _ in watch.seen]


def test_an_async_worker_runs_in_a_process_and_its_task_is_cancelled(watch: Watch, lines: Lines):
    jobs = on_memory()
    with jobs.running():
        jobs.insert(work.task.new(lines.args | {"wait": False}))
        line, process = lines.next()
        assert "done" == heard(line)
        assert os.getpid() != process
        watch.until("stop")
        job = jobs.insert(work.task.new(lines.args))
        line, same = lines.next()
        jobs.cancel_job(job)
        assert "cancelled" == heard(line)
        assert closed(line)
    assert process == same
    assert {"completed": 1, "cancelled": 1} == jobs.count_jobs("state")


def test_what_a_told_worker_returns_is_late_and_its_process_is_not_used_again(
    watch: Watch, lines: Lines
):
    jobs = on_memory(queues={"default": 1})
    with jobs.running():
        job = jobs.insert(work.persist.new(lines.args))
        line, before = lines.next()
        jobs.cancel_job(job)
        assert "persisting" == heard(line)
        watch.until("late")
        jobs.insert(work.meet.new(lines.args))
        line, after = lines.next()
        line.send("go")
    assert before != after
    assert "cancelled" == jobs.get_job(job).state


def test_a_stop_gives_the_job_of_a_process_back(
    live: Callable[..., PgJobs], watch: Watch, lines: Lines
):
    jobs = live()
    jobs.start()
    job = jobs.insert(work.tidy.new(lines.args))
    line, process = lines.next()
    jobs.stop(grace=0)
    assert ("tidied", True) == heard(line)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    after = jobs.get_job(job)
    assert ("available", 0, 1) == (after.state, after.attempt, after.meta["released"])


def test_200_jobs_share_as_many_processes_as_run_at_a_time(watch: Watch, lines: Lines):
    def met_together() -> set[int]:
        jobs.insert_all([work.meet.new(lines.args) for _ in range(3)])
        met = [lines.next() for _ in range(3)]
        for line, _ in met:
            line.send("go")
        return {process for _, process in met}

    jobs = on_memory(queues={"default": 3})
    with jobs.running():
        before = met_together()
        jobs.insert_all([work.quick.new({}) for _ in range(200)])
        watch.until("stop", 203)
        assert before == met_together()
    assert {"completed": 206} == jobs.count_jobs("state")
    assert 3 == len(before)


def test_what_a_job_sets_of_the_context_the_next_job_of_its_process_does_not_see(watch: Watch):
    jobs = on_memory(queues={"default": 1})
    with jobs.running():
        for n in (1, 2):
            jobs.insert(work.tenant.new())
            watch.until("stop", n)
    assert ["nobody"] * 2 == [str(job.last_error).split(": ")[-1] for job in jobs.all_jobs()]


def test_a_worker_that_importing_its_module_does_not_define_fails_with_the_remedy(watch: Watch):
    @worker(name="process.local", executor="process")
    def local(job: Job) -> None: ...

    gone = worker(name="process.gone", executor="process")(lambda job: None)
    gone.module = "shop.gone"
    jobs = on_memory()
    with jobs.running():
        first, second = jobs.insert_all([local.new(), gone.new()])
        watch.until("exception", 2)
        jobs.insert(work.quick.new({}))
        watch.until("stop")
    assert str(jobs.get_job(first).last_error).startswith(
        "UnknownWorkerError: worker 'process.local' is not defined by importing "
        "'tests.live.test_process_executor', which its own process does; define it at the top level"
    )
    text = str(jobs.get_job(second).last_error)
    assert text.startswith(
        "UnknownWorkerError: worker 'process.gone' cannot run in a process of its own: its module "
        "'shop.gone' cannot be imported there (ModuleNotFoundError: No module named 'shop'); it must"
    )


PROGRAM = """
import sys
from pgjobs import Job, MemoryStore, PgJobs, telemetry, worker
from tests.live.in_processes import meet

jobs = PgJobs(store=MemoryStore(), workers=["elsewhere"])

@worker(executor="process")
def own(job: Job) -> None:
    print("ran", job.worker)

def main() -> None:
    import threading
    from elsewhere import other
    ended = threading.Semaphore(0)
    def hear(event, measurements, metadata):
        print(metadata["state"], metadata["error"])
        ended.release()
    telemetry.attach("main", ["pgjobs.job.stop", "pgjobs.job.exception"], hear)
    jobs.start()
    if len(sys.argv) > 1:
        jobs.insert(meet.new({"line": sys.argv[1]}))
        sys.stdin.read()
        return
    for each in (own, other):
        jobs.insert(each.new())
        ended.acquire()
    jobs.stop()

"""
GUARDED = PROGRAM + "if __name__ == '__main__':\n    main()\n"
ELSEWHERE = """
from pgjobs import worker
import json

other = worker(name="elsewhere", executor="process")(json.dumps)
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Runs a script of its own."""

    def run(text: str, *arguments: str) -> subprocess.Popen[str]:
        (tmp_path / "program.py").write_text(text)
        (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
        return subprocess.Popen(
            [sys.executable, "program.py", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def test_workers_of_the_main_script_and_of_listed_modules_are_found(
    program: Callable[..., subprocess.Popen[str]],
):
    printed, complaints = program(GUARDED).communicate(timeout=PATIENCE_S)
    said = printed.splitlines()
    assert ["ran __main__.own", "completed None"] == said[:2], complaints
    assert said[2].startswith("retryable TypeError: Object of type Job is not JSON serializable")


def test_a_script_that_starts_when_it_is_imported_is_told_to_guard_it(
    program: Callable[..., subprocess.Popen[str]],
):
    process = program(PROGRAM + "main()\n")
    printed, complaints = process.communicate(timeout=PATIENCE_S)
    assert "before it could take the job" in printed
    assert "start the queues under `if __name__ == '__main__':`" in complaints


def test_the_processes_of_a_killed_parent_end(
    program: Callable[..., subprocess.Popen[str]], lines: Lines
):
    process = program(GUARDED, *lines.args.values())
    line, _ = lines.next()
    process.kill()
    assert closed(line)
    process.communicate()


def test_a_program_that_ends_without_a_stop_leaves_no_process(
    program: Callable[..., subprocess.Popen[str]], lines: Lines
):
    process = program(GUARDED, *lines.args.values())
    line, _ = lines.next()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert closed(line)


# The executor alone


class Collected:
    """An outbox that can be waited for."""

    def __init__(self) -> None:
        self._woken = threading.Semaphore(0)
        self.outbox = Outbox(SystemClock(), self._woken.release)
        self.found: list[Finished] = []

    def take(self, count: int) -> list[Finished]:
        while len(self.found) < count:
            assert self._woken.acquire(timeout=PATIENCE_S)
            self.found += self.outbox.take()
        return self.found


def run_of(made: Worker[Any, Any], args: dict[str, Any] | None = None) -> Run:
    return Run(any_job(worker=made.name, args=args or {}), made, "default", 0.0)


def test_a_run_that_is_told_before_its_process_is_up_ends_all_the_same():
    collected = Collected()
    executor = ProcessExecutor(collected.outbox, SystemClock())
    run = run_of(work.quick)
    executor.start([run])
    executor.tell(run)
    (ended,) = collected.take(1)
    executor.close()
    assert run is ended.run
    assert (
        "ProcessDiedError: the process of this job was told to stop, and was killed by SIGTERM"
        == (ended.outcome.error)
    )


def test_a_process_that_waited_long_enough_is_let_go(lines: Lines):
    collected = Collected()
    executor = ProcessExecutor(collected.outbox, SystemClock(), idle_s=0.0)
    executor.start([run_of(work.meet, lines.args)])
    line, process = lines.next()
    with death_of(process):
        line.send("go")
    executor.close()
    (ended,) = collected.take(1)
    assert ended.outcome.error is None


def test_an_idle_process_that_dies_takes_no_job_with_it(lines: Lines):
    collected = Collected()
    executor = ProcessExecutor(collected.outbox, SystemClock())
    executor.start([run_of(work.meet, lines.args)])
    line, process = lines.next()
    line.send("go")
    collected.take(1)
    with death_of(process):
        os.kill(process, signal.SIGKILL)
    executor.start([run_of(work.meet, lines.args)])
    line, other = lines.next()
    line.send("go")
    ended = collected.take(2)
    executor.close()
    assert process != other
    assert [None, None] == [each.outcome.error for each in ended]


def test_a_job_of_megabytes_reaches_its_process(lines: Lines):
    collected = Collected()
    executor = ProcessExecutor(collected.outbox, SystemClock())
    executor.start([run_of(work.quick, {"text": "x" * 8_000_000})])
    (ended,) = collected.take(1)
    executor.close()
    assert ended.outcome.error is None


def test_args_too_deep_to_be_sent_fail_their_job_alone():
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    collected = Collected()
    executor = ProcessExecutor(collected.outbox, SystemClock())
    executor.start([run_of(work.quick, {"deep": deep})])
    collected.take(1)
    executor.start([run_of(work.quick)])
    first, second = collected.take(2)
    executor.close()
    assert str(first.outcome.error).startswith("RecursionError")
    assert second.outcome.error is None
