"""What one side tells the other: that there is work, and that a running job is to end."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime
from typing import Any

import pytest

from tests.interop.neighbours import LONG_S, PATIENCE_S, Beside

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live")]

NAME = "shop.workers.Send"
SECOND = 1.0


async def within(beside: Beside, job_id: int, since: datetime, until: str) -> float:
    """Seconds from an instant to the one in a column, by the server's clock and the job's row."""
    ((at,),) = await beside.rows(f"SELECT {until} FROM oban_jobs WHERE id = {job_id}")
    return float((at - since).total_seconds())


@pytest.mark.parametrize("first, second", [("here", "there"), ("there", "here")])
async def test_an_insert_on_one_side_wakes_the_other_long_before_its_poll(
    beside: Beside, first: str, second: str, figures: Any
):
    async def pass_(_: Any) -> None: ...

    beside.defined(NAME, pass_, pass_)
    slow = {"poll_interval": LONG_S} if second == "here" else {"stager": {"interval": LONG_S}}
    async with beside.side(second, **slow):
        waits, clock = [], asyncio.get_running_loop().time
        for _ in range(5):
            begin = clock()
            await beside.state(await beside.enqueue(first, NAME), "completed")
            waits.append(clock() - begin)
    assert max(waits) < SECOND
    figures(f"inserted {first}, run {second}: completed after {1000 * max(waits):.0f} ms at most")


@pytest.mark.parametrize("kind", ["task", "thread"])
async def test_oban_cancels_a_job_that_runs_here_within_a_second(
    beside: Beside, kind: str, figures: Any
):
    started, ended = threading.Event(), threading.Event()

    async def task(_: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def thread(job: Any) -> None:
        started.set()
        if job.cancelled.wait(PATIENCE_S):
            ended.set()

    beside.defined(NAME, task if kind == "task" else thread)
    job_id = await beside.enqueue("there", NAME)
    async with beside.here(poll_interval=LONG_S):
        assert await asyncio.to_thread(started.wait, PATIENCE_S)
        ((since,),) = await beside.rows("SELECT timezone('UTC', clock_timestamp())")
        await beside.oban.cancel_job(job_id)
        assert await asyncio.to_thread(ended.wait, SECOND)
        await beside.state(job_id, "cancelled")
    took = await within(beside, job_id, since, "cancelled_at")
    assert took < SECOND
    job = beside.jobs.get_job(job_id)
    assert (1, (), None) == (job.attempt, job.errors, job.completed_at)
    figures(f"cancelled there, a {kind} running here: saved after {1000 * took:.0f} ms")


async def test_a_job_that_runs_there_is_cancelled_here_within_a_second(
    beside: Beside, figures: Any
):
    started, told = asyncio.Event(), asyncio.Event()

    async def patient(job: Any) -> None:
        started.set()
        await job._cancellation.wait()
        assert job.cancelled()
        told.set()

    beside.defined(NAME, there=patient)
    job_id = await beside.enqueue("here", NAME)
    async with beside.there(stager={"interval": LONG_S}):
        await asyncio.wait_for(started.wait(), PATIENCE_S)
        begin = asyncio.get_running_loop().time()
        assert "cancelled" == (await beside.jobs.cancel_job_async(job_id)).state
        await asyncio.wait_for(told.wait(), SECOND)
        took = asyncio.get_running_loop().time() - begin
    job = beside.jobs.get_job(job_id)
    assert ("cancelled", None) == (job.state, job.completed_at)
    figures(f"cancelled here, running there: told after {1000 * took:.0f} ms")


async def test_a_pause_of_either_binds_its_own_nodes_alone(beside: Beside):
    ran: list[str] = []

    async def here(_: Any) -> None:
        ran.append("here")

    async def there(_: Any) -> None:
        ran.append("there")

    beside.defined(NAME, here, there)
    async with beside.here() as node, beside.there() as neighbour:
        await node.pause_queue_async("default")
        await beside.state(await beside.enqueue("here", NAME), "completed")
        await node.resume_queue_async("default")
        await neighbour.pause_queue("default")
        await beside.state(await beside.enqueue("here", NAME), "completed")
    assert ["there", "here"] == ran
