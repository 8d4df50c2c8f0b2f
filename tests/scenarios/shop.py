"""A shop's own workers, as a project under test has them; scenarios name them by ``use``."""
# ruff: noqa: F821 - a fixture gives the module its jobs

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass
from types import SimpleNamespace

from pgjobs import Job, PgJobs, Retry, Snooze, Unique, backoff, next_at, telemetry, worker

jobs: PgJobs
"""The application's own instance, which the fixture ``shop_instance`` makes: other tests have none."""

seen: list[object] = []
"""What workers saw, for tests to look at."""
var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="before")


@worker(queue="reports", max_attempts=3, backoff=backoff.constant(10))
def nightly(job: Job) -> None:
    """Orders a mail for each customer; fails the first time."""
    if job.attempt == 1:
        raise ConnectionError("no ledger yet")
    for customer in ("ann", "bob"):
        jobs.insert(mail.new({"to": customer}))


@worker(queue="mail", unique=Unique(period=None))
async def mail(job: Job) -> None:
    """Takes half a minute."""
    await asyncio.sleep(30)  # noqa: TID251 - in virtual time


@worker
async def patient(job: Job) -> object:
    """Snoozes first, then inserts after two seconds, and ends after three."""
    if job.snoozed == 0:
        return Snooze(5)
    await asyncio.sleep(2)  # noqa: TID251 - in virtual time
    await jobs.insert_async(mail.new({"to": "cy"}))
    await asyncio.sleep(1)  # noqa: TID251 - in virtual time
    return None


@worker(timeout=10, max_attempts=1)
async def endless(job: Job) -> None:
    """Never ends by itself; tells how it was ended."""
    try:
        await asyncio.Event().wait()
    finally:
        seen.append("ended")
        jobs.insert(mail.new({"to": "late"}))


@worker
async def sleeper(job: Job) -> object:
    """Sleeps for a minute."""
    await asyncio.sleep(60)  # noqa: TID251 - in virtual time
    return Retry("overslept") if job.args.get("fails") else None


@worker
def meddling(job: Job) -> None:
    """Changes what belongs to the process: a worker, a handler, a context variable."""

    @worker(name="tests.scenarios.shop.mail")
    def other(job: Job) -> None:
        """Takes the name of another."""

    telemetry.attach("meddling", ["pgjobs.job.start"], lambda *_: None)
    var.set("after")
    midnight = next_at("00:00", tz="Etc/UTC")
    seen.append(midnight.isoformat())


@worker
def opening(job: Job) -> None:
    """Goes past PgJobs to the database."""
    from pgjobs.adapters.postgres.store import PostgresStore
    from pgjobs.leading import Heartbeats

    PostgresStore("postgresql://nobody@127.0.0.1:1/shop").run(Heartbeats())


@dataclass
class Named:
    """Args of a type."""

    name: str


@worker(args=Named)
def typed(job: Job) -> None:
    """Takes args of a type."""


def plain(job: Job) -> None:
    """Is no worker."""


held = SimpleNamespace(nightly=nightly)
