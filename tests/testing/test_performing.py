# ruff: noqa: TID251  # asyncio.sleep in a worker is the subject; none of these sleeps takes real time
"""``perform_job`` and ``assert_idempotent`` hold a worker to what production will hold it to."""

from __future__ import annotations

import asyncio
import functools
import sysconfig
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgjobs import (
    ConfigurationError,
    Discard,
    InvalidJobError,
    InvalidResultError,
    Job,
    JobTimeoutError,
    PgJobs,
    Retry,
    Snooze,
    Unique,
    worker,
)
from pgjobs_testing import Harness, WorkerContractError

# Args and options


@worker
def echo(job: Job) -> Any:
    return {"args": job.args, "attempt": job.attempt}


def test_args_are_what_json_makes_of_them(jobs: Harness):
    got = jobs.perform_job(echo, {"pair": (1, 2), "map": {3: "x"}, "float": 1.0})
    assert got["args"] == {"float": 1.0, "map": {"3": "x"}, "pair": [1, 2]}
    with pytest.raises(InvalidJobError, match=r"args\['at'\]|args.at"):
        jobs.perform_job(echo, {"at": datetime(2025, 1, 1, tzinfo=UTC)})


def test_options_of_a_built_job_are_known_by_name(jobs: Harness):
    with pytest.raises(ConfigurationError, match="'attemp': did you mean 'attempt'"):
        jobs.build_job(echo, attemp=2)
    before = jobs.clock.now() - timedelta(hours=1)
    built = jobs.build_job(
        echo, errors=[{"attempt": 1, "error": "no", "more": (1,)}], inserted_at=before
    )
    assert built.inserted_at == before
    assert built.errors == ({"attempt": 1, "error": "no", "more": [1]},)
    with pytest.raises(ConfigurationError, match="inserted before"):
        jobs.build_job(echo, inserted_at=jobs.clock.now() + timedelta(seconds=1))


# Signatures


class Method:
    def perform(self, job: Job) -> str:
        return "method"


def two(extra: str, job: Any) -> str:
    return extra


class CanBeCalled:
    __qualname__ = "CanBeCalled"

    def __call__(self, job: Job) -> str:
        return "callable"


def injecting(function: Callable[[Job, str], str]) -> Callable[[Job], str]:
    @functools.wraps(function)
    def call(job: Job) -> str:
        return function(job, "injected")

    return call


@injecting
def injected(job: Job, database: str) -> str:
    return database


@pytest.mark.parametrize(
    "wrapped, answer",
    [
        (Method, "method"),
        (Method().perform, "method"),
        (functools.partial(two, "partial"), "partial"),
        (CanBeCalled(), "callable"),
        (injected, "injected"),
    ],
)
def test_anything_that_can_be_called_with_a_job_may_be_a_worker(
    jobs: Harness, wrapped: Any, answer: str
):
    assert jobs.perform_job(worker(name="any.callable")(wrapped)) == answer


# Results


async def _coroutine() -> None: ...


async def _stream(job: Job) -> Any:
    yield job


@pytest.mark.parametrize(
    "value, message",
    [
        (lambda: ValueError("x"), "returned the exception ValueError instead of raising it"),
        (lambda: Snooze, "returned the class Snooze"),
        (lambda: ("error", "no"), r"the tuple \('error', ...\)"),
        (_coroutine, r"a coroutine that nobody awaited \(_coroutine\)"),
        (lambda: _stream(None), "generator function"),  # type: ignore[arg-type]  # it does not run
    ],
)
def test_what_is_no_answer_is_refused(jobs: Harness, value: Callable[[], Any], message: str):
    @worker
    def mistaken(job: Job) -> Any:
        return value()

    with pytest.raises(InvalidResultError, match=message):
        jobs.perform_job(mistaken)


@pytest.mark.parametrize("answer", [None, 5, Retry("x"), Discard("x"), Snooze(3), {"a": 1}])
def test_an_answer_comes_back_as_it_is(jobs: Harness, answer: Any):
    @worker
    def answering(job: Job) -> Any:
        return answer

    assert jobs.perform_job(answering) == answer


# Time limits


def test_a_worker_of_a_thread_may_not_pass_its_limit_by_the_tests_clock(jobs: Harness):
    @worker(timeout=30)
    def slow(job: Job) -> None:
        jobs.advance(job.args["s"], run=False)

    assert jobs.perform_job(slow, {"s": 30}) is None
    with pytest.raises(JobTimeoutError, match="longer than its time limit of 0:00:30"):
        jobs.perform_job(slow, {"s": 31})


def test_an_async_worker_may_not_pass_its_limit_in_virtual_time(jobs: Harness):
    @worker(timeout=30)
    async def slow(job: Job) -> None:
        await asyncio.sleep(job.args["s"])

    assert jobs.perform_job(slow, {"s": 29}) is None
    with pytest.raises(JobTimeoutError, match="longer than its time limit of 0:00:30"):
        jobs.perform_job(slow, {"s": 31})


# What is left


def test_a_job_that_was_changed_is_a_mistake(jobs: Harness):
    @worker
    def changing(job: Job) -> None:
        job.args["deep"]["n"] += 1
        job.meta["done"] = True

    with pytest.raises(WorkerContractError) as caught:
        jobs.perform_job(changing, {"deep": {"n": 1}})
    assert (
        "job.args['deep']['n']: 1 before, 2 after; job.meta['done']: nothing before, True after"
        in (str(caught.value))
    )


def test_an_own_error_comes_before_what_was_changed(jobs: Harness):
    @worker
    def changing(job: Job) -> None:
        job.args.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        jobs.perform_job(changing, {"a": 1})


async def _later(seconds: float) -> None:
    await asyncio.sleep(seconds)


@worker
async def forgetful(job: Job) -> None:
    job_task = asyncio.create_task(_later(5))
    if job.args["wait"]:
        await job_task


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_that_nobody_awaits_is_a_mistake(jobs: Harness, is_async: bool):
    def perform(wait: bool) -> Any:
        if is_async:
            return asyncio.run(jobs.perform_job_async(forgetful, {"wait": wait}))
        return jobs.perform_job(forgetful, {"wait": wait})

    assert perform(wait=True) is None
    with pytest.raises(
        WorkerContractError, match=r"left a task behind: _later \(test_performing.py"
    ):
        perform(wait=False)


async def _endless() -> None:
    await asyncio.sleep(100)


class Library:
    """Begins tasks in code of an installed package, as a pool does."""

    def __init__(self) -> None:
        source = "import asyncio\nasync def keep():\n    await asyncio.sleep(100)\n"
        source += "def begin(coro=None):\n    return asyncio.create_task(coro or keep())\n"
        path = sysconfig.get_path("purelib") + "/pool.py"
        names: dict[str, Any] = {"__name__": "pool"}
        exec(compile(source, path, "exec"), names)
        self.keep, self.begin = names["keep"], names["begin"]


library = Library()
LEFT: dict[str, tuple[Callable[[PgJobs], Any], str]] = {
    "an insert": (
        lambda app: asyncio.create_task(app.insert_async(echo.new())),
        r"Calls\.insert_async \(.*\), begun in .* at test_performing\.py:\d+",
    ),
    "a sleep": (
        lambda _: asyncio.create_task(asyncio.sleep(100)),
        r"sleep \(tasks\.py:\d+\), begun",
    ),
    "a wait": (lambda _: asyncio.ensure_future(asyncio.Event().wait()), r"Event\.wait \(locks\.py"),
    "a gather": (lambda _: asyncio.gather(asyncio.sleep(100)), r"sleep \(tasks"),
    "by the loop": (
        lambda _: asyncio.get_running_loop().create_task(asyncio.sleep(100)),
        r"sleep \(tasks",
    ),
    "a library's": (
        lambda _: asyncio.create_task(library.keep()),
        r"keep \(pool\.py:2\), begun in",
    ),
    "by a library": (
        lambda _: library.begin(_endless()),
        r"_endless \(test_performing\.py:\d+\)\.",
    ),
}


@pytest.mark.parametrize("left", LEFT)
def test_who_begins_a_task_answers_for_it_whatever_runs_in_it(jobs: Harness, left: str):
    begin, told = LEFT[left]
    app = PgJobs("postgresql://db.example.invalid/production")

    @worker
    async def leaving(job: Job) -> None:
        kept.append(begin(app))

    kept: list[Any] = []
    with pytest.raises(WorkerContractError, match=rf"left a task behind: {told}"):
        jobs.perform_job(leaving)


def test_a_task_of_a_library_is_no_mistake_and_none_is_one_that_was_cancelled(
    jobs: Harness,
):
    kept: list[asyncio.Task[Any]] = []

    @worker
    async def pooling(job: Job) -> None:
        kept.append(library.begin())
        watchdog = asyncio.create_task(asyncio.sleep(100))
        await asyncio.sleep(1)
        watchdog.cancel()

    assert jobs.perform_job(pooling) is None
    assert [False] == [task.done() for task in kept]


def test_a_thread_that_lives_on_is_none(jobs: Harness):
    going = threading.Event()
    thread = threading.Thread(target=going.wait, daemon=True)

    @worker
    def pooling(job: Job) -> None:
        thread.start()

    assert jobs.perform_job(pooling) is None
    going.set()
    thread.join()


# Idempotence

ledger: list[dict[str, int]] = []


@pytest.fixture(autouse=True)
def _empty_ledger() -> None:
    ledger.clear()


@worker
def charge(job: Job) -> None:
    ledger.append({"amount": job.args["amount"]})


@worker
def charge_once(job: Job) -> None:
    if {"id": job.id} not in ledger:
        ledger.append({"id": job.id})


@worker(unique=Unique(period=None))
def mail_once(job: Job) -> None: ...


@worker
def mail(job: Job) -> None: ...


def test_a_second_run_that_changes_more_is_shown_by_path(jobs: Harness):
    with pytest.raises(AssertionError) as caught:
        jobs.assert_idempotent(charge, {"amount": 5}, observe=lambda: ledger)
    assert str(caught.value) == (
        f"worker {charge.name} is not idempotent: its second run (job 1, attempt 2, args {{'amount': 5}}) "
        "changed what the first had left:\n"
        "  observe()[1]: nothing after the first run, {'amount': 5} after the second"
    )


def test_a_second_run_that_finds_the_work_done_is_well(jobs: Harness):
    jobs.assert_idempotent(charge_once, observe=lambda: ledger)
    assert ledger == [{"id": 1}]


def test_jobs_that_the_worker_inserts_are_observed_without_being_told(jobs: Harness):
    @worker
    def order(job: Job) -> None:
        jobs.insert((mail_once if job.args["once"] else mail).new({"order": 7}))

    jobs.assert_idempotent(order, {"once": True})
    with pytest.raises(AssertionError) as caught:
        jobs.assert_idempotent(order, {"once": False})
    assert (
        f"job 3 is new: {mail.name} in queue default, args {{'order': 7}}; give it unique"
        in str(caught.value)
    )


def test_the_second_run_after_the_last_attempt_is_the_one_that_an_operator_makes(jobs: Harness):
    ran: list[tuple[int, int]] = []

    @worker(max_attempts=2)
    def counting(job: Job) -> None:
        ran.append((job.attempt, job.max_attempts))
        if len(ran) == 1:
            raise ConnectionError

    job = jobs.insert(counting.new())
    jobs.advance(60)
    jobs.retry_job(job)
    jobs.drain_queue()
    operated, ran[:] = ran[1:], [(0, 0)]
    jobs.assert_idempotent(counting, attempt=2)
    assert operated == ran[1:] == [(2, 2), (3, 3)]


def test_a_second_run_may_not_fail(jobs: Harness):
    @worker
    def stumbling(job: Job) -> Any:
        if job.attempt == 2:
            if job.args["raises"]:
                raise KeyError("gone")
            return Retry("gone")
        return None

    with pytest.raises(AssertionError, match=r"attempt 2.* raised KeyError: 'gone'"):
        jobs.assert_idempotent(stumbling, {"raises": True}, max_attempts=1)
    with pytest.raises(AssertionError, match=r"failed, with Retry\('gone'\)"):
        jobs.assert_idempotent(stumbling, {"raises": False})


def test_a_first_run_that_fails_is_passed_on(jobs: Harness):
    @worker
    def broken(job: Job) -> None:
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        jobs.assert_idempotent(broken)


def test_a_first_run_that_asks_to_be_retried_has_not_succeeded(jobs: Harness):
    @worker
    def busy(job: Job) -> Retry:
        return Retry("busy")

    with pytest.raises(AssertionError, match=r"its first run .*attempt 1.* Retry\('busy'\)"):
        jobs.assert_idempotent(busy)
    with pytest.raises(AssertionError, match=r"its first run .*attempt 1.* Retry\('busy'\)"):
        asyncio.run(jobs.assert_idempotent_async(busy))


def test_what_observes_is_a_function_without_arguments(jobs: Harness):
    ran: list[int] = []

    @worker
    def noting(job: Job) -> None:
        ran.append(job.attempt)

    wrong: Any
    for wrong in (ledger, lambda job: job):
        with pytest.raises(ConfigurationError, match="observe takes a function without arguments"):
            jobs.assert_idempotent(noting, observe=wrong)
        with pytest.raises(ConfigurationError, match="observe takes a function without arguments"):
            asyncio.run(jobs.assert_idempotent_async(noting, observe=wrong))
    assert ran == []


def test_what_cannot_be_compared_is_refused(jobs: Harness):
    with pytest.raises(ConfigurationError, match="plain values"):
        jobs.assert_idempotent(charge_once, observe=lambda: (each for each in ledger))
    with pytest.raises(ConfigurationError, match="cannot be copied"):
        jobs.assert_idempotent(charge_once, observe=threading.Lock)


@dataclass
class Account:
    balance: int
    tags: set[str]


def test_the_twin_awaits_what_observes(jobs: Harness):
    account = Account(90, {"a"})

    @worker
    async def pay(job: Job) -> None:
        await asyncio.sleep(60)
        account.balance -= 10
        if job.attempt == 2:
            account.tags.add("b")

    async def observe() -> Account:
        return account

    async def body() -> None:
        await jobs.assert_idempotent_async(pay, observe=observe)

    with pytest.raises(AssertionError) as caught:
        asyncio.run(body())
    assert str(caught.value).splitlines()[1:] == [
        "  observe().balance: 80 after the first run, 70 after the second",
        "  observe().tags{}: nothing after the first run, 'b' after the second",
    ]
