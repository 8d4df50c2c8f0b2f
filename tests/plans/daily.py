"""What every node sends all day: inserts, claims, settlements, polls, heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from pgjobs.effects import Claim, ClaimWithin, Find, Insert, Poll, Settle
from pgjobs.leading import Beat, Heartbeats, Leave
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.job import Cancel, Job, JobState, NewJob, Retry, Snooze
from pgjobs.rules.lifecycle import Settlement
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import RateLimit
from pgjobs.rules.outcome import returned
from pgjobs.rules.replacing import replace
from pgjobs.rules.selection import HasAll, OneOf, Selection
from pgjobs.rules.unique import DEFAULT_STATES, UniqueRule
from pgjobs_testing.conformance.given import NOW, SECOND, new
from tests.plans.promises import BATCH, DAY, KEY, STAGING, STATES, UNIQUE, Case, Cases, There
from tests.plans.tables import EXECUTING, GROUP

UNFINISHED = (
    JobState.AVAILABLE,
    JobState.SCHEDULED,
    JobState.EXECUTING,
    JobState.RETRYABLE,
)
CLAIM = lifecycle.claim("node", "token", NOW)
REPLACE = replace({"scheduled": ("args", "scheduled_at"), "available": True})
MANY = 5_200
"""New jobs that take two statements. They come last: rows that were taken back leave their pages."""
INSERTED = ("client.py:insert:Insert", "client.py:insert_all:Insert")
SETTLED = ("engine/settler.py:step:Settle",)
HELD = OneOf("state", (JobState.EXECUTING,))
QUEUES = ("default", "q1", "none")


def unique(
    fingerprint: str,
    period: timedelta | None = DAY,
    states: Sequence[JobState] = DEFAULT_STATES,
    **given: Any,
) -> NewJob:
    rule = UniqueRule(fingerprint, period, tuple(states))
    return new(meta={"pgjobs_unique": fingerprint}, unique=rule, **given)


def _inserting(pages: int, *jobs: NewJob, heads: int = 0) -> Case:
    return Case(lambda _: Insert(jobs, NOW), (UNIQUE, KEY), 0, pages, heads, places=INSERTED)


def _settling(result: Any, count: int = BATCH) -> Case:
    def settlement(job: Job) -> Settlement:
        return lifecycle.settle(job, returned(result), NOW, 15.0)

    def effect(there: There) -> Settle:
        return Settle(tuple(map(settlement, there.executing[:count])))

    return Case(effect, (KEY,), count, 25 * count + 50, places=SETTLED)


def _claiming(limits: Limits | None, heads: int) -> Case:
    chosen = selection.claimable("default")
    effect: Callable[[There], Claim | ClaimWithin] = (
        (lambda _: Claim(chosen, BATCH, CLAIM))
        if limits is None
        else (lambda _: ClaimWithin("default", chosen, BATCH, CLAIM, limits))
    )
    counted = EXECUTING if limits is not None and limits.concurrency is not None else 0
    place = f"engine/queue.py:_claim:{'Claim' if limits is None else 'ClaimWithin'}"
    rows = 2 * BATCH + counted
    file, function = ("writing", "a_claim") if limits is None else ("limits", "_claimed")
    more = (f"adapters/postgres/{file}.py:{function}:Claim",)
    pages = 25 * BATCH + counted
    return Case(effect, (STATES, KEY), rows, pages, heads, places=(place, *more))


def _polling(before: timedelta, held: bool) -> Case:
    staged = 0 if before else BATCH

    def effect(there: There) -> Poll:
        runs = tuple((job.id, job.token) for job in there.executing) if held else ()
        return Poll(lifecycle.stage(NOW - before), BATCH, QUEUES, runs)

    rows = 2 * staged + len(QUEUES) + 2 + (BATCH if held else 0)
    pages = 25 * staged + 60 + (6 * BATCH if held else 0)
    place = "engine/stager.py:step:Poll"
    return Case(effect, (STAGING, STATES, KEY), rows, pages, len(QUEUES) + 2, places=(place,))


CASES: Cases = {
    "insert a job": _inserting(40, new()),
    "insert a job for later": _inserting(40, new(schedule_in=DAY)),
    "insert 200 jobs": _inserting(10 * BATCH, *[new()] * BATCH),
    "insert a unique job": _inserting(60, unique("fresh")),
    "insert 200 unique jobs": _inserting(25 * BATCH, *[unique(f"fresh{n}") for n in range(BATCH)]),
    "insert unique jobs that two statements decide": _inserting(
        120, unique("fresh", DAY), unique("fresh", SECOND)
    ),
    "insert a duplicate": _inserting(100, unique("u10", None)),
    "insert into a group that had many in its time": _inserting(60, unique(GROUP, SECOND)),
    "insert into a group whose finished jobs count no more": _inserting(
        90, unique(GROUP, None, UNFINISHED), heads=1
    ),
    "replace what waits of a group": _inserting(
        200, unique(GROUP, None, UNFINISHED, replace=REPLACE), heads=2
    ),
    "claim 200 jobs": _claiming(None, 1),
    "claim within a global concurrency": _claiming(Limits(None, 1_000), 2),
    "claim within a rate limit": _claiming(Limits(RateLimit(1_000, 60)), 1),
    "claim within both": _claiming(Limits(RateLimit(1_000, 60), 1_000), 2),
    "settle a completed job": _settling(None, 1),
    "settle 200 completed jobs": _settling(None),
    "settle 200 failed jobs": _settling(Retry("it failed")),
    "settle 200 snoozed jobs": _settling(Snooze(5)),
    "give 200 jobs back": Case(
        lambda there: Settle(tuple(lifecycle.release(job, NOW) for job in there.executing)),
        (KEY,),
        BATCH,
        25 * BATCH,
        places=SETTLED,
    ),
    "cancel a job with its group": Case(
        lambda there: Settle((lifecycle.settle(there.grouped, returned(Cancel("no more")), NOW),)),
        (KEY, UNIQUE),
        60,
        600,
        heads=1,
        places=SETTLED,
    ),
    "look up 200 settlements in doubt": Case(
        lambda there: Find(Selection((OneOf("id", tuple(job.id for job in there.executing)),))),
        (KEY,),
        BATCH,
        4 * BATCH,
        places=("engine/settler.py:step:Find",),
    ),
    "look up a claim in doubt": Case(
        lambda _: Find(selection.claimed_under("t5", "default")),
        (STATES,),
        EXECUTING,
        EXECUTING,
        heads=1,
        running=True,
        places=("engine/queue.py:step:Find",),
    ),
    "look for claims that came true late": Case(
        lambda _: Find(Selection((HELD, HasAll("attempted_by", ("node3",))))),
        (STATES,),
        EXECUTING,
        EXECUTING,
        heads=1,
        running=True,
        places=("engine/strays.py:step:Find",),
    ),
    "poll, with 200 jobs due": _polling(timedelta(0), held=False),
    "poll, with nothing due": _polling(4_000 * DAY, held=False),
    "poll, with 200 jobs running": _polling(4_000 * DAY, held=True),
    "beat": Case(
        lambda _: Beat("node", NOW, NOW, SECOND), (), 0, 20, places=("engine/heart.py:step:Beat",)
    ),
    "leave, with jobs left": Case(
        lambda _: Leave("node3"),
        (STATES,),
        EXECUTING,
        EXECUTING,
        heads=1,
        running=True,
        places=("engine/heart.py:leave:Leave",),
    ),
    "read the heartbeats": Case(
        lambda _: Heartbeats(),
        (),
        0,
        20,
        places=(
            "app.py:_fresh_name:Heartbeats",
            "cli/doctor.py:_of_database:Heartbeats",
            "gathering.py:_look:Heartbeats",
        ),
    ),
    "copy 5,200 jobs": Case(
        lambda _: Insert((new(),) * MANY, NOW), (), 0, MANY + 60, own=True, places=INSERTED
    ),
    "copy 5,200 unique jobs, of which some are there": Case(
        lambda _: Insert(tuple(unique(f"u{n}", None) for n in range(MANY)), NOW),
        (UNIQUE, KEY),
        MANY,
        20 * MANY,
        own=True,
        places=INSERTED,
    ),
    "insert 5,200 jobs": _inserting(10 * MANY, *[new()] * MANY),
}
