"""How heartbeats and leases are kept, and how a leader's statement holds on to its lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache

from pgjobs import leading
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, Statement, single
from pgjobs.adapters.postgres.values import Parameters, instant_text, span_text
from pgjobs.leading import Fence, Heartbeat, Lease
from pgjobs.rules.errors import LeaseLostError
from pgjobs.rules.schedule import LAST_INSTANT

NO_TIME = timedelta(0)


def beat(effect: leading.Beat, names: Names) -> Plan[None]:
    """One that commits long after its node gave it up makes no node older than it is."""
    values = (
        effect.node,
        instant_text(effect.started_at),
        instant_text(effect.now),
        span_text(effect.every),
    )
    return Plan((Statement(_beat(names), values, often=True),), lambda _: None)


@lru_cache(maxsize=64)
def _beat(names: Names) -> str:
    given = Parameters()
    return f"""
INSERT INTO {names.nodes} AS node (name, started_at, beat_at, every)
VALUES ({given.text("")}, {given.instant(LAST_INSTANT)},
  {given.instant(LAST_INSTANT)}, {given.span(NO_TIME)})
ON CONFLICT (name) DO UPDATE SET started_at = excluded.started_at,
  beat_at = greatest(node.beat_at, excluded.beat_at), every = excluded.every"""


def leave(effect: leading.Leave, names: Names) -> Plan[None]:
    given = Parameters()
    sql = f"""
DELETE FROM {names.nodes} AS node WHERE node.name = {given.text(effect.node)}
AND NOT EXISTS (SELECT FROM {names.jobs} AS job
  WHERE job.state = 'executing' AND job.attempted_by[1] = node.name)"""
    return single(sql, given, lambda _: None)


def heartbeats(_: leading.Heartbeats, names: Names) -> Plan[list[Heartbeat]]:
    sql = f"SELECT name, started_at, beat_at, every FROM {names.nodes}"
    return single(
        sql, Parameters(), lambda rows: [Heartbeat(*row) for row in sorted(rows, key=_name)]
    )


def lead(effect: leading.Lead, names: Names) -> Plan[Lease]:
    """Where another node holds it, the row is read as it was before: a hint when to ask again."""

    def answer(results: Sequence[list[Row]]) -> Lease:
        (rows,) = results
        if not rows:  # somebody took it first, in this very moment
            return Lease("", 0, effect.now)
        return Lease(*rows[0])

    values = (effect.name, instant_text(effect.now), effect.node, span_text(effect.span))
    return Plan((Statement(_lead(names), values, often=True),), answer)


@lru_cache(maxsize=64)
def _lead(names: Names) -> str:
    given = Parameters()
    name, now = given.text(""), given.instant(LAST_INSTANT)
    return f"""
WITH taken AS (
  INSERT INTO {names.leases} AS held (name, node, token, until)
  VALUES ({name}, {given.text("")}, 1, {now} + {given.span(NO_TIME)})
  ON CONFLICT (name) DO UPDATE SET node = excluded.node, until = CASE
      WHEN held.node = excluded.node THEN greatest(held.until, excluded.until) ELSE excluded.until END,
    token = held.token + CASE WHEN held.node = excluded.node THEN 0 ELSE 1 END
  WHERE held.node = excluded.node OR held.until <= {now}
  RETURNING node, token, until
)
SELECT node, token, until FROM taken
UNION ALL
SELECT node, token, until FROM {names.leases}
WHERE name = {name} AND NOT EXISTS (SELECT FROM taken)"""


def leases(_: leading.Leases, names: Names) -> Plan[dict[str, Lease]]:
    sql = f"SELECT name, node, token, until FROM {names.leases}"
    return single(
        sql,
        Parameters(),
        lambda rows: {name: Lease(*rest) for name, *rest in sorted(rows, key=_name)},
    )


def resign(effect: leading.Resign, names: Names) -> Plan[None]:
    given = Parameters()
    sql = f"""
UPDATE {names.leases} AS lease SET until = {given.instant(effect.fence.now)}
WHERE {held(effect.fence, given)}"""
    return single(sql, given, lambda _: None)


def held(fence: Fence, given: Parameters) -> str:
    """The condition on the row ``lease`` that it is still held."""
    return (
        f"lease.name = {given.text(fence.name)} AND lease.node = {given.text(fence.node)} "
        f"AND lease.token = {given.number(fence.token)} AND lease.until > {given.instant(fence.now)}"
    )


def fenced(fence: Fence, names: Names, given: Parameters) -> str:
    """A CTE ``fence`` of one row while the lease is held, which nobody takes before the commit.

    Let every change ask ``EXISTS (SELECT FROM fence)``, and the answer ``count(*)`` of it.
    """
    return (
        f"fence AS MATERIALIZED (SELECT lease.token FROM {names.leases} AS lease "
        f"WHERE {held(fence, given)} FOR SHARE)"
    )


def check(fence: Fence, found: int) -> None:
    """``LeaseLostError`` unless the fence stood."""
    if not found:
        raise LeaseLostError(f"the lease {fence.name!r} is no longer held by {fence.node}")


def _name(row: Row) -> str:
    return str(row[0])
