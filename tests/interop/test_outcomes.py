"""What becomes of a job on one side, and what the other makes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pgjobs import Cancel, Discard, Snooze
from tests.interop.neighbours import Beside, oban

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live")]

BOTH_WAYS = pytest.mark.parametrize("first, second", [("here", "there"), ("there", "here")])
NAME = "shop.workers.Send"


def fail(_: Any) -> None:
    raise ValueError("no box for ada")


async def fail_there(_: Any) -> None:
    raise ValueError("no box for ada")


@BOTH_WAYS
async def test_a_job_that_one_inserts_is_run_by_the_other(beside: Beside, first: str, second: str):
    seen: list[Any] = []

    async def note(job: Any) -> None:
        seen.append((job.id, job.args, job.attempt, job.meta))

    beside.defined(NAME, note, note)
    job_id = await beside.enqueue(first, NAME, {"to": "ada", "n": [1, None]}, meta={"by": first})
    async with beside.side(second):
        await beside.state(job_id, "completed")
    assert [(job_id, {"to": "ada", "n": [1, None]}, 1, {"by": first})] == seen
    job = beside.jobs.get_job(job_id)
    node, _claim = job.attempted_by
    assert ("there" == node) == (second == "there")
    assert job.attempted_at is not None
    assert job.completed_at is not None
    assert job.inserted_at <= job.attempted_at <= job.completed_at
    assert list(job.attempted_by) == (await beside.oban.get_job(job_id)).attempted_by


@BOTH_WAYS
async def test_what_fails_on_one_side_is_retried_on_the_other(
    beside: Beside, first: str, second: str
):
    attempts: list[tuple[int, int]] = []

    async def note(job: Any) -> None:
        attempts.append((job.attempt, len(job.errors)))

    beside.defined(NAME, fail, fail_there)
    job_id = await beside.enqueue(first, NAME)
    async with beside.side(first):
        await beside.state(job_id, "retryable")
    job = beside.jobs.get_job(job_id)
    assert job.attempted_at is not None
    assert timedelta(seconds=5) < job.scheduled_at - job.attempted_at < timedelta(minutes=2)
    beside.defined(NAME, note, note)
    await beside.rows("UPDATE oban_jobs SET scheduled_at = attempted_at")
    async with beside.side(second):
        await beside.state(job_id, "completed")
    assert [(2, 1)] == attempts
    await errors_are_readable(beside, job_id, [1])


@BOTH_WAYS
async def test_both_write_errors_that_both_read_and_discard_after_the_last_attempt(
    beside: Beside, first: str, second: str
):
    beside.defined(NAME, fail, fail_there)
    job_id = await beside.enqueue(first, NAME, max_attempts=2)
    for side, state in ((first, "retryable"), (second, "discarded")):
        async with beside.side(side):
            await beside.state(job_id, state)
        await beside.rows("UPDATE oban_jobs SET scheduled_at = attempted_at")
    job = beside.jobs.get_job(job_id)
    assert (2, 2) == (job.attempt, job.max_attempts)
    assert job.discarded_at is not None
    await errors_are_readable(beside, job_id, [1, 2])


async def errors_are_readable(beside: Beside, job_id: int, attempts: list[int]) -> None:
    here, there = beside.jobs.get_job(job_id), await beside.oban.get_job(job_id)
    assert list(here.errors) == there.errors
    assert attempts == [entry["attempt"] for entry in here.errors]
    for entry in here.errors:
        assert {"at", "attempt", "error"} == set(entry)
        assert "no box for ada" in entry["error"]
    assert "no box for ada" in (here.last_error or "")


@BOTH_WAYS
async def test_a_snooze_of_one_is_counted_on_by_the_other(beside: Beside, first: str, second: str):
    async def sleep_on(job: Any) -> Any:
        return Snooze(60)

    async def sleep_on_there(job: Any) -> Any:
        return oban.Snooze(60)

    beside.defined(NAME, sleep_on, sleep_on_there)
    job_id = await beside.enqueue(first, NAME)
    for n, side in enumerate((first, second, first), 1):
        async with beside.side(side):
            await beside.state(job_id, "scheduled")
        job = beside.jobs.get_job(job_id)
        assert (0, n, {"snoozed": n}) == (job.attempt, job.snoozed, job.meta)
        assert job.attempted_at is not None
        wait = job.scheduled_at - job.attempted_at
        assert timedelta(seconds=59) < wait < timedelta(seconds=90)
        await beside.rows("UPDATE oban_jobs SET scheduled_at = attempted_at, state = 'available'")


@pytest.mark.parametrize(
    "result, state", [(Cancel("unwanted"), "cancelled"), (Discard("useless"), "discarded")]
)
async def test_what_ended_here_for_good_is_retried_there(beside: Beside, result: Any, state: str):
    async def end(_: Any) -> Any:
        return result

    async def pass_(_: Any) -> None: ...

    beside.defined(NAME, end, pass_)
    job_id = await beside.enqueue("there", NAME)
    async with beside.side("here"):
        await beside.state(job_id, state)
    await errors_say(beside, job_id, result.reason)
    await beside.oban.retry_job(job_id)
    job = beside.jobs.get_job(job_id)
    assert ("available", None, None) == (job.state, job.cancelled_at, job.discarded_at)
    async with beside.side("there"):
        await beside.state(job_id, "completed")


async def test_what_ended_there_for_good_is_retried_here(beside: Beside):
    async def end(_: Any) -> Any:
        return oban.Cancel("unwanted")

    async def pass_(_: Any) -> None: ...

    beside.defined(NAME, pass_, end)
    job_id = await beside.enqueue("here", NAME)
    async with beside.side("there"):
        await beside.state(job_id, "cancelled")
    await errors_say(beside, job_id, "unwanted")
    assert "available" == beside.jobs.retry_job(job_id).state
    async with beside.side("here"):
        await beside.state(job_id, "completed")


async def errors_say(beside: Beside, job_id: int, text: str) -> None:
    (here,), (there,) = (
        beside.jobs.get_job(job_id).errors,
        (await beside.oban.get_job(job_id)).errors,
    )
    assert here == there
    assert text in here["error"]


async def test_a_value_that_a_worker_there_records_is_kept_by_a_retry_here(beside: Beside):
    async def record(_: Any) -> Any:
        return oban.Record({"sum": 3})

    seen: list[Any] = []
    beside.defined(NAME, lambda job: seen.append(job.meta), record)
    job_id = await beside.enqueue("here", NAME, meta={"mine": 1})
    async with beside.side("there"):
        await beside.state(job_id, "completed")
    recorded = beside.jobs.retry_job(job_id).meta
    assert {"mine", "recorded", "return"} == set(recorded)
    async with beside.side("here"):
        await beside.state(job_id, "completed")
    assert [recorded] == seen


@pytest.mark.parametrize("inserted", ["here", "there"])
@pytest.mark.parametrize("by", ["here", "there"])
async def test_a_waiting_job_of_either_is_cancelled_and_deleted_by_either(
    beside: Beside, inserted: str, by: str
):
    ran: list[int] = []

    async def note(job: Any) -> None:
        ran.append(job.id)

    beside.defined(NAME, note, note)
    one, two, three = [await beside.enqueue(inserted, NAME) for _ in range(3)]
    if by == "here":
        beside.jobs.cancel_job(one)
        beside.jobs.delete_job(two)
    else:
        await beside.oban.cancel_job(one)
        await beside.oban.delete_job(two)
    async with beside.here(), beside.there():
        await beside.state(three, "completed")
    job = beside.jobs.get_job(one)
    assert ("cancelled", 0) == (job.state, job.attempt)
    assert job.cancelled_at is not None
    assert [three] == ran
    assert 2 == beside.jobs.count_jobs()


async def test_obans_pruner_deletes_what_ended_here(beside: Beside):
    async def end(job: Any) -> Any:
        return {"cancel": Cancel("x"), "discard": Discard("x"), "ok": None}[job.args["how"]]

    beside.defined(NAME, end)
    ends = {"cancel": "cancelled", "discard": "discarded", "ok": "completed"}
    ids = {how: await beside.enqueue("here", NAME, {"how": how}) for how in ends}
    waiting = await beside.enqueue("here", NAME, schedule_in=3_600)
    async with beside.here():
        for how, state in ends.items():
            await beside.state(ids[how], state)
    await beside.rows(
        "UPDATE oban_jobs SET completed_at = completed_at - interval '1 h',"
        " cancelled_at = cancelled_at - interval '1 h', discarded_at = discarded_at - interval '1 h'"
    )
    pruner = {"max_age": 3_600, "interval": 0.01}
    async with beside.there(pruner=pruner):
        await beside.until("(SELECT count(*) FROM oban_jobs) = 1")
    assert "scheduled" == beside.jobs.get_job(waiting).state
