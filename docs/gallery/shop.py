"""The application of the gallery: a small shop."""

from __future__ import annotations

from pgjobs import Discard, Job, PgJobs, Retry, Snooze, Unique, backoff, worker

app = PgJobs("postgresql://localhost/shop", queues={"default": 10, "mail": 2, "registry": 1})


@worker(queue="mail", name="shop.receipt", max_attempts=4, backoff=backoff.linear(60))
def receipt(job: Job) -> Retry | None:
    """Fails as often as its args say, then sends."""
    if job.attempt <= job.args.get("failures", 0):
        return Retry("the mail server is down")
    return None


@worker(queue="registry", name="shop.sync", unique=Unique(period=3600, keys=("package",)))
async def sync(job: Job) -> Snooze | Discard | None:
    """Asks a registry, which may be busy."""
    if job.args.get("busy") and job.snoozed == 0:
        return Snooze(90)
    return Discard("no such package") if job.args.get("package") == "nothing" else None


@worker(name="shop.again")
def again(_: Job) -> Snooze:
    """Waits for what never comes."""
    return Snooze(0)


balance = {"ada": 100}


@worker(name="shop.charge")
def charge(job: Job) -> None:
    """Charges each time that it runs, which delivery at least once does not forgive."""
    balance[job.args["who"]] -= job.args["amount"]


pictures: dict[str, str] = {}
"""Of timelines, by the name of the test."""
