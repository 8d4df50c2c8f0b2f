"""How what an operator set by hand is kept: ``control.merged``, as one upsert.

A queue's row is also where its rate limit remembers starts, so that a reset empties it and leaves it.
"""

from __future__ import annotations

from pgjobs import effects
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, controlled, single, told
from pgjobs.adapters.postgres.values import Parameters
from pgjobs.rules.control import EVERY_QUEUE, Control, merged

_PAIRS = (("paused", "paused_over"), ("concurrency", "concurrency_over"))
SET_BY_HAND = "num_nonnulls(paused, paused_over, concurrency, concurrency_over) > 0"
"""Whether a queue's row is a control."""


def set_control(effect: effects.SetControl, names: Names) -> Plan[None]:
    """A value and what it overrides are replaced together, where a value is given."""
    given = Parameters()
    control = merged(None, effect.control)
    queue = given.text(effect.queue)
    at = given.instant(effect.now)
    kept = ", ".join(
        f"{column} = CASE WHEN excluded.{value} IS NULL THEN old.{column} "
        f"ELSE excluded.{column} END"
        for value, over in _PAIRS
        for column in (value, over)
    )
    cleared = ""
    if effect.queue == EVERY_QUEUE and control.paused is not None:
        cleared = f"""cleared AS (
  UPDATE {names.queues} SET paused = NULL, paused_over = NULL, updated_at = {at}
  WHERE queue <> {queue} AND (paused IS NOT NULL OR paused_over IS NOT NULL)
), """
    concurrency, over = (
        "NULL::bigint" if value is None else given.number(value)
        for value in (control.concurrency, control.concurrency_over)
    )
    sql = f"""
WITH {cleared}stored AS (
  INSERT INTO {names.queues} AS old
    (queue, paused, paused_over, concurrency, concurrency_over, updated_at)
  VALUES ({queue}, {given.truth(control.paused)}, {given.truth(control.paused_over)},
    {concurrency}, {over}, {at})
  ON CONFLICT (queue) DO UPDATE SET {kept}, updated_at = excluded.updated_at
)
{told(given, [(controlled(names, queue), "")])}"""
    return single(sql, given, lambda _: None)


def reset_control(effect: effects.ResetControl, names: Names) -> Plan[None]:
    given = Parameters()
    queue = given.text(effect.queue)
    emptied = ", ".join(f"{column} = NULL" for pair in _PAIRS for column in pair)
    sql = f"""
WITH emptied AS (
  UPDATE {names.queues} SET {emptied}, updated_at = {given.instant(effect.now)}
  WHERE queue = {queue}
)
{told(given, [(controlled(names, queue), "")])}"""
    return single(sql, given, lambda _: None)


def controls(_: effects.Controls, names: Names) -> Plan[dict[str, Control]]:
    sql = f"""
SELECT queue, paused, paused_over, concurrency, concurrency_over FROM {names.queues}
WHERE {SET_BY_HAND}"""
    return single(sql, Parameters(), by_queue)


def by_queue(rows: list[Row]) -> dict[str, Control]:
    """Controls from rows of queue, paused, paused_over, concurrency, concurrency_over."""
    return {queue: Control(*values) for queue, *values in sorted(rows, key=lambda row: str(row[0]))}
