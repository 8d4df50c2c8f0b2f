"""What the leader sends, and what makes it one."""

from __future__ import annotations

from pgjobs.effects import Find
from pgjobs.leading import Lead, Leases, Prune, Rescue, Resign, Tick, Watermarks
from pgjobs.rules import lifecycle
from pgjobs.rules.job import JobState
from pgjobs.rules.selection import OneOf, Selection
from pgjobs_testing.conformance.given import NOW, SECOND, new
from tests.plans.daily import unique
from tests.plans.promises import DAY, FINISHED, KEY, LEASE, STATES, UNIQUE, Case, Cases
from tests.plans.tables import EXECUTING, NODES

PAGE = 1_000
"""Jobs of one sweep."""


CASES: Cases = {
    "take or renew the lease": Case(
        lambda _: Lead("default", "leader", NOW, 30 * SECOND),
        (),
        0,
        20,
        places=("engine/leader.py:step:Lead",),
    ),
    "read the leases": Case(
        lambda _: Leases(), (), 0, 20, places=("cli/doctor.py:_of_database:Leases",)
    ),
    "give the lease back": Case(
        lambda _: Resign(LEASE), (), 0, 20, places=("engine/leader.py:close:Resign",)
    ),
    "rescue what 10 nodes left": Case(
        lambda _: Rescue(
            LEASE, lifecycle.rescue(NOW), lifecycle.rescue_last(NOW), 60 * SECOND, PAGE
        ),
        (STATES, KEY),
        (3 + NODES) * EXECUTING,
        25 * EXECUTING,
        heads=1 + NODES,
        running=True,
        places=("engine/stalled.py:effect:Rescue",),
    ),
    "look whether others run anything": Case(
        lambda _: Find(Selection((OneOf("state", (JobState.EXECUTING,)),))),
        (STATES,),
        EXECUTING,
        EXECUTING,
        heads=1,
        running=True,
        places=("engine/stalled.py:effect:Find",),
    ),
    "prune 1,000 jobs": Case(
        lambda _: Prune(LEASE, NOW - 30 * DAY, PAGE),
        (*FINISHED, KEY),
        5 * PAGE,
        10 * PAGE,
        heads=6,
        running=True,
        places=("engine/pruner.py:effect:Prune",),
    ),
    "prune, with nothing old enough": Case(
        lambda _: Prune(LEASE, NOW - 4_000 * DAY, PAGE),
        (*FINISHED, KEY),
        len(FINISHED),
        40,
        heads=6,
        running=True,
        places=("engine/pruner.py:effect:Prune",),
    ),
    "read 200 watermarks": Case(
        lambda _: Watermarks(LEASE, tuple((f"entry{n}", NOW) for n in range(200))),
        (),
        0,
        1_200,
        places=("engine/ticker.py:step:Watermarks",),
    ),
    "fire a tick": Case(
        lambda _: Tick(LEASE, "entry", NOW, (new(),)),
        (),
        0,
        60,
        places=("engine/ticker.py:_fire:Tick", "adapters/postgres/ticking.py:tick:Insert"),
    ),
    "fire a tick of a unique job": Case(
        lambda _: Tick(LEASE, "entry", NOW, (unique("tick"),)),
        (UNIQUE,),
        0,
        80,
        places=("engine/ticker.py:_fire:Tick", "adapters/postgres/ticking.py:tick:Insert"),
    ),
}
