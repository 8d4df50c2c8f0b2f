"""How jobs of a limited queue are claimed: the queue's row is its turn.

The row is locked by one statement and the jobs are claimed by a later one, since a statement that waited
for a lock still sees the table as it was before. What a claim may take is decided between the two, by
``rules.limits``. Why it is done so: ``docs/decisions/0011-limits.md``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

from pgjobs import effects
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.rows import Row, job_columns
from pgjobs.adapters.postgres.statement import Plan, Statement, Steps, single, stepwise
from pgjobs.adapters.postgres.values import Parameters, json_text
from pgjobs.adapters.postgres.where import NEVER, at_head
from pgjobs.adapters.postgres.writing import (
    TAKING,
    Written,
    a_claim,
    chosen,
    claim,
    claiming,
    in_claim_order,
    once_for,
    taking,
)
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.limits import Turn
from pgjobs.rules.ratelimit import Window
from pgjobs.rules.schedule import from_micros
from pgjobs.rules.selection import OneOf, Selection

STALLED_MS = 5_000
"""How long a claimer may stand still in its turn before the server ends its connection."""


def claim_within(effect: effects.ClaimWithin, names: Names) -> Plan[effects.Claimed]:
    """Lock the queue's row, count what runs where that is limited, and claim what there is room for."""

    def steps() -> Steps[effects.Claimed]:
        counting: tuple[Statement, ...] = ()
        if effect.limits.concurrency is not None:
            counting = (_counted(effect, effect.limits.concurrency, names),)
        rows, *counted = yield (_locked(effect, names), *counting)
        if not rows:
            rows, *counted = yield (_made(effect, names), *counting)
        window = _window(rows[0][0])
        running = counted[0][0][0] if counted else 0
        turn = Turn(effect.limits, effect.demand, effect.change.at, window, running)
        claimed: list[Job] = []
        if turn.room:
            (taking,) = yield (replace(_claimed(effect, turn, names), ends=True),)
            claimed = in_claim_order(taking)
        taken = len(claimed)
        return effects.Claimed(claimed, turn.opens_at(taken), turn.running_after(taken))

    return stepwise(steps)


def windows(_: effects.Windows, names: Names) -> Plan[dict[str, Window]]:
    sql = f"SELECT queue, starts::text FROM {names.queues} WHERE starts IS NOT NULL"
    return single(sql, Parameters(), _by_queue)


def _by_queue(rows: list[Row]) -> dict[str, Window]:
    return {queue: _window(starts) for queue, starts in sorted(rows)}


def _locked(effect: effects.ClaimWithin, names: Names) -> Statement:
    """The queue's turn, until the end of the transaction; no row where the queue has none yet."""
    return Statement(_turn_of("", names), (str(STALLED_MS), effect.queue), often=True)


@lru_cache(maxsize=64)
def _turn_of(queue: str, names: Names) -> str:
    given = Parameters()
    return f"""
SELECT starts::text, {_impatient(given)} FROM {names.queues}
WHERE queue = {given.text(queue)} FOR UPDATE"""


def _made(effect: effects.ClaimWithin, names: Names) -> Statement:
    """The same, of a row that is made now, or was made meanwhile."""
    given = Parameters()
    sql = f"""
INSERT INTO {names.queues} AS made (queue, updated_at)
VALUES ({given.text(effect.queue)}, {given.instant(effect.change.at)})
ON CONFLICT (queue) DO UPDATE SET queue = excluded.queue
RETURNING made.starts::text, {_impatient(given)}"""
    return Statement(sql, given.values)


def _impatient(given: Parameters) -> str:
    """From here on the server does not wait long for a claimer that stands still: others wait, too."""
    timeout = given.text(str(STALLED_MS))
    return f"set_config('idle_in_transaction_session_timeout', {timeout}, true)"


def _counted(effect: effects.ClaimWithin, limit: int, names: Names) -> Statement:
    """How many jobs of the queue execute, on whichever node; no further than it matters."""
    sql, chosen_by = _executing(effect.queue, names)
    return Statement(sql, (*chosen_by, str(limit)), often=True)


@lru_cache(maxsize=256)
def _executing(queue: str, names: Names) -> tuple[str, tuple[str | None, ...]]:
    """The SQL that counts them, and its parameters but for the limit, which is the last."""
    given = Parameters()
    executing = Selection((OneOf("state", (JobState.EXECUTING,)), OneOf("queue", (queue,))))
    condition, order = at_head(executing, names, given) or (NEVER, "id")
    sql = f"""
SELECT count(*) FROM (
  SELECT FROM {names.jobs} WHERE {condition} ORDER BY {order} LIMIT {given.number(0)}
) AS executing"""
    return sql, given.values[:-1]


def _claimed(effect: effects.ClaimWithin, turn: Turn, names: Names) -> Statement:
    """The claim itself. It notes what it really took, so that nothing is used up by what was not there."""
    within = effects.Claim(effect.selection, turn.room, turn.dated(effect.change))
    if effect.limits.rate is None:
        (statement,) = claim(within, names).statements
        return statement
    *before, (at, first) = turn.after(1)
    sql, chosen_by = once_for(_noted_claim_from, within, names)
    last, window = (str(at), str(first - 1)), json_text(before)
    return Statement(sql, (*last, *chosen_by, *taking(within), window, effect.queue), often=True)


@lru_cache(maxsize=256)
def _noted_claim_from(chosen_from: Selection, names: Names, alone: bool) -> Written:
    given = Parameters()
    within = a_claim(chosen_from, alone)
    last = f"{given.number(0)}, {given.number(0)} + count(*)"
    sql = f"""
WITH {chosen(within, names, given)}, claimed AS (
{claiming(within, names, given)}
RETURNING job.*
), noted AS (
  UPDATE {names.queues} SET starts = {given.json([])} || taken.starts
  FROM (SELECT jsonb_build_array(jsonb_build_array({last})) AS starts, count(*) FROM claimed) AS taken
  WHERE queue = {given.text("")} AND taken.count > 0
)
SELECT {job_columns("claimed")} FROM claimed"""
    return sql, given.values[2 : -TAKING - 2]


@lru_cache(maxsize=8)
def _window(starts: str | None) -> Window:
    """A claim asks for it with each of its steps."""
    try:
        window = tuple((at, n) for at, n in json.loads(starts or "[]"))
        if window and sum(n for _, n in window):  # if the ends are instants, so is what is between
            from_micros(min(window)[0])
            from_micros(max(window)[0])
        return window
    except (TypeError, ValueError, OverflowError) as error:
        from psycopg import DataError

        text = f"pgjobs_queues.starts holds {starts}, which is no window"
        raise DataError(f"{text}: set it to NULL to forget it") from error
