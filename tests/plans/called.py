"""What callers ask for: the client, drains, explanations, the command line."""

from __future__ import annotations

from functools import partial

from pgjobs.client import BATCH, LOOK
from pgjobs.effects import (
    Claim,
    Controls,
    Count,
    Delete,
    Effect,
    Find,
    FindIds,
    ResetControl,
    SetControl,
    Settle,
    Transition,
    Windows,
)
from pgjobs.engine.drain import NAMED
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.control import EVERY_QUEUE, Control
from pgjobs.rules.job import WAITING, JobState
from pgjobs.rules.selection import AtMost, OneOf, Selection, filtered
from pgjobs_testing.conformance.given import NOW, row
from tests.plans.daily import CLAIM, HELD
from tests.plans.promises import (
    COMPLETED,
    DAY,
    FINISHED,
    KEY,
    STAGING,
    STATES,
    Case,
    Cases,
    There,
)
from tests.plans.tables import EXECUTING, QUEUES

PAGE = 50
"""Jobs of one page of a list."""
CANCEL, RETRY = lifecycle.cancel(NOW), lifecycle.retry(NOW)
ANY = (KEY, STATES, STAGING, *FINISHED)
FOUND = ("client.py:find:Find",)
COUNTED = ("client.py:count:Count",)
CHANGED = ("client.py:_change_all:Transition",)
DELETED = ("client.py:delete_all:Delete",)
LOOKED = ("client.py:_all:FindIds",)


def _old(there: There) -> Find:
    chosen = (HELD, AtMost("attempted_at", NOW - DAY))
    return Find(Selection(chosen), "attempted_at", 10)


def _ahead(there: There, n: int) -> Count:
    return Count(selection.ahead_of(there.waiting[0], NOW)[n])


def _small(effect: Effect[None], *places: str) -> Case:
    return Case(lambda _: effect, (), 0, 20, places=places)


def _filtering(**filters: object) -> Cases:
    """Everything that takes filters, for these."""
    chosen = filtered(filters)
    by = f" by {', '.join(filters)}" if filters else ""
    rest = "the table"
    return {
        f"list 50 jobs{by}": Case(lambda _: Find(chosen, "id", PAGE), ANY, rest=rest, places=FOUND),
        f"count jobs{by}": Case(lambda _: Count(chosen), ANY, rest=rest, places=COUNTED),
        f"look for jobs to change{by}": Case(
            lambda _: FindIds(chosen, LOOK), ANY, rest=rest, places=LOOKED
        ),
        f"look for more of them{by}": Case(
            lambda there: FindIds(chosen, LOOK, there.waiting[-1].id),
            ANY,
            rest=rest,
            places=LOOKED,
        ),
    }


def _page(there: There) -> Selection:
    """A page of what was found: jobs of states that the planner may think little of, and some others."""
    ids = [job.id for job in (*there.executing, *there.waiting)]
    page = dict.fromkeys((*ids, *range(max(ids) - BATCH, max(ids))))
    return filtered({"state": ["available", "executing", "scheduled", "completed"]}).named(
        [*page][:BATCH]
    )


ONE: Cases = {
    "get a job": Case(
        lambda there: Find(selection.by_id(there.executing[0].id), limit=1),
        (KEY,),
        1,
        10,
        places=(
            "client.py:get:Find",
            "gathering.py:_stored:Find",
            "engine/drain.py:_run:Find",
        ),
    ),
    "cancel a job": Case(
        lambda there: Transition(selection.by_id(there.executing[0].id), CANCEL, 1),
        (KEY,),
        2,
        50,
        places=("client.py:_change_one:Transition",),
    ),
    "retry a job": Case(
        lambda there: Transition(selection.by_id(there.waiting[0].id), RETRY, 1),
        (KEY,),
        2,
        50,
        places=("client.py:_change_one:Transition",),
    ),
    "delete a job": Case(
        lambda there: Delete(selection.by_id(there.executing[0].id), 1),
        (KEY,),
        2,
        30,
        places=("client.py:delete:Delete",),
    ),
    "cancel 1,000 jobs that were found": Case(
        lambda there: Transition(_page(there), CANCEL, BATCH),
        (KEY,),
        2 * BATCH,
        25 * BATCH,
        places=CHANGED,
    ),
    "retry 1,000 jobs that were found": Case(
        lambda there: Transition(_page(there), RETRY, BATCH),
        (KEY,),
        2 * BATCH,
        25 * BATCH,
        places=CHANGED,
    ),
    "delete 1,000 jobs that were found": Case(
        lambda there: Delete(_page(there), BATCH),
        (KEY,),
        2 * BATCH,
        15 * BATCH,
        places=DELETED,
    ),
}

LISTS: Cases = {
    "list the 50 newest jobs": Case(
        lambda _: Find(Selection(), "-id", PAGE), (KEY,), PAGE, 150, places=FOUND
    ),
    "list the 50 jobs after one": Case(
        lambda there: Find(Selection(), "id", PAGE, there.waiting[-1]),
        (KEY,),
        PAGE,
        150,
        places=FOUND,
    ),
    "list 50 jobs that execute": Case(
        lambda _: Find(filtered({"state": "executing"}), "id", PAGE),
        (STATES,),
        EXECUTING,
        EXECUTING,
        heads=1,
        running=True,
        places=FOUND,
    ),
    "list the 50 jobs that completed last": Case(
        lambda _: Find(filtered({"state": "completed"}), "-completed_at", PAGE),
        (COMPLETED,),
        PAGE + 1,
        150,
        heads=2,
        running=True,
        places=FOUND,
    ),
    "list the 50 that completed before one": Case(
        lambda _: Find(
            filtered({"state": "completed"}),
            "-completed_at",
            PAGE,
            row(JobState.COMPLETED, id=1, completed_at=NOW - 100 * DAY),
        ),
        (COMPLETED,),
        PAGE + 2,
        150,
        heads=2,
        running=True,
        places=FOUND,
    ),
    "list the 50 jobs of any state that completed last": Case(
        lambda _: Find(Selection(), "-completed_at", PAGE),
        ANY,
        rest="the table",
        places=FOUND,
    ),
    "list 50 jobs after one by scheduled_at": Case(
        lambda there: Find(Selection(), "scheduled_at", PAGE, there.waiting[0]),
        ANY,
        rest="the table",
        places=FOUND,
    ),
    "count jobs by state": Case(
        lambda _: Count(Selection(), "state"), ANY, rest="the table", places=COUNTED
    ),
    "count what is available by queue": Case(
        lambda _: Count(filtered({"state": "available"}), "queue"),
        ANY,
        rest="what is available",
        places=COUNTED,
    ),
    "count what waits by worker": Case(
        lambda _: Count(
            Selection((OneOf("state", tuple(WAITING)), OneOf("queue", ("default", "q1")))),
            "worker",
        ),
        ANY,
        rest="what waits",
        places=COUNTED,
    ),
    **_filtering(),
    **_filtering(queue="q1"),
    **_filtering(state="discarded", worker="w3"),
    **_filtering(args={"n": 7}),
}

REST: Cases = {
    "check a queue": Case(
        lambda _: Count(
            Selection(
                (OneOf("state", (JobState.AVAILABLE, JobState.EXECUTING)), OneOf("queue", ("q1",)))
            ),
            "state",
        ),
        ANY,
        rest="what is available or executes in the queue",
        places=("client.py:check:Count",),
    ),
    "look what executes in a queue": Case(
        lambda _: Find(Selection((HELD, OneOf("queue", ("default",)))), limit=10_000),
        (STATES,),
        EXECUTING,
        EXECUTING,
        heads=1,
        running=True,
        places=("gathering.py:_look:Find",),
    ),
    "look for jobs that execute long": Case(
        _old,
        (STATES,),
        EXECUTING,
        EXECUTING,
        heads=1,
        running=True,
        places=("cli/doctor.py:_old:Find",),
    ),
    **{
        f"count what starts before a job, {n + 1} of 6": Case(
            partial(_ahead, n=n),
            ANY,
            rest="what is available or due in the queue",
            places=("gathering.py:_look:Count",),
        )
        for n in range(6)
    },
    "drain: stage what is due": Case(
        lambda _: Transition(selection.due(NOW), lifecycle.stage(NOW), 200),
        (STAGING, KEY),
        400,
        5_000,
        heads=1,
        places=("engine/drain.py:_stage:Transition",),
    ),
    "drain: stage what is due in a queue": Case(
        lambda _: Transition(selection.due(NOW, "default"), lifecycle.stage(NOW), 200),
        ANY,
        rest="what is due",
        places=("engine/drain.py:_stage:Transition",),
    ),
    "drain: claim a job of a queue": Case(
        lambda _: Claim(selection.claimable("default"), 1, CLAIM),
        (STATES, KEY),
        2,
        50,
        heads=1,
        places=("engine/drain.py:_next:Claim",),
    ),
    f"drain: claim a job of any of {QUEUES} queues": Case(
        lambda _: Claim(selection.claimable(None), 1, CLAIM),
        (STATES, KEY),
        3 * QUEUES + 3,
        200,
        heads=2 * QUEUES + 2,
        places=("engine/drain.py:_next:Claim",),
    ),
    "drain: claim a job of those that were there": Case(
        lambda there: Claim(
            selection.claimable("default").named([job.id for job in there.waiting[:NAMED]]),
            1,
            CLAIM,
        ),
        (KEY,),
        NAMED + 2,
        4 * NAMED + 50,
        places=("engine/drain.py:_next:Claim",),
    ),
    "drain: settle a job": Case(
        lambda there: Settle((lifecycle.release(there.executing[0], NOW),)),
        (KEY,),
        1,
        50,
        places=(
            "engine/drain.py:_give_back:Settle",
            "engine/drain.py:_run:Settle",
            "engine/drain.py:_run:Settle",
        ),
    ),
    "drain: read what is there": Case(
        lambda _: Find(selection.claimable("default")),
        ANY,
        rest="what is available in the queue",
        places=("engine/drain.py:drain:Find",),
    ),
    "drain: count what is left": Case(
        lambda _: Count(selection.claimable("default")),
        ANY,
        rest="what is available in the queue",
        places=("engine/drain.py:drain:Count",),
    ),
    "pause a queue": _small(
        SetControl("default", Control(paused=True), NOW),
        "client.py:_set:SetControl",
        "client.py:reset:SetControl",
    ),
    "pause all queues": _small(
        SetControl(EVERY_QUEUE, Control(paused=True), NOW), "client.py:_set:SetControl"
    ),
    "scale a queue": _small(
        SetControl("default", Control(concurrency=5), NOW), "client.py:_set:SetControl"
    ),
    "reset a queue": _small(ResetControl("default", NOW), "client.py:reset:ResetControl"),
    "read the controls": Case(
        lambda _: Controls(),
        (),
        0,
        20,
        places=(
            "client.py:reset:Controls",
            "client.py:check:Controls",
            "gathering.py:_look:Controls",
            "cli/doctor.py:_concurrency:Controls",
            "cli/queues.py:statuses:Controls",
            "cli/queues.py:_set:Controls",
        ),
    ),
    "read the windows": Case(
        lambda _: Windows(),
        (),
        0,
        20,
        places=(
            "client.py:check:Windows",
            "gathering.py:_look:Windows",
            "cli/queues.py:statuses:Windows",
        ),
    ),
}

CASES: Cases = {**ONE, **LISTS, **REST}
