"""A worker of one database inserts into another: each has a timeline of its own, and tells its own story."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from pgjobs import Job, PgJobs, worker
from pgjobs_testing import Harness, harness

shop = PgJobs("postgresql://db.example.invalid/shop", name="shop", queues={"default": 2})
mail = PgJobs("postgresql://db.example.invalid/mail", name="mail", queues={"default": 2})


@worker
def order(job: Job) -> None:
    mail.insert(send.new())


@worker
async def order_slowly(job: Job) -> None:
    await asyncio.sleep(1)  # noqa: TID251 - virtual time
    await mail.insert_async(send.new())


@worker
def send(job: Job) -> None: ...


@pytest.fixture(params=["manual", "inline"])
def jobs(request: pytest.FixtureRequest) -> Iterator[Harness]:
    with harness(mode=request.param) as made:
        yield made


@pytest.mark.parametrize("ordering", [order, order_slowly], ids=["sync", "async"])
def test_each_timeline_is_whole_though_a_worker_inserts_into_the_other_database(jobs, ordering):
    shop.insert(send.new())  # so that the ids of the two databases differ
    shop.insert(ordering.new())
    jobs["shop"].advance(1)
    jobs["mail"].advance(1)
    mail_, shop_ = jobs["mail"].timeline, jobs["shop"].timeline
    assert [0] == [moment.by for moment in mail_.of("insert")]
    assert [1, 2] == [moment.ordinal for moment in shop_.of("completed")]
    assert "Not told exactly" not in mail_.to_scenario()


def test_a_drained_worker_may_insert_into_the_other_database(jobs):
    with jobs["mail"].expect_enqueued(worker=send):
        shop.insert(send.new())
        shop.insert(order.new())
        jobs["shop"].drain_queue()
    assert 1 == len(jobs["mail"].timeline.of("insert"))


def test_a_job_of_the_same_number_in_the_other_database_inserted_nothing(jobs):
    @worker
    async def waiting(job: Job) -> None:
        await asyncio.sleep(10)  # noqa: TID251 - virtual time

    mail.insert(waiting.new())
    jobs["mail"].advance(1)
    shop.insert(order.new())
    jobs["shop"].advance(1)
    assert [0, 0] == [moment.by for moment in jobs["mail"].timeline.of("insert")]
