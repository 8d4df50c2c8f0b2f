"""How a leader rescues what nodes left behind, and prunes what is over."""

from __future__ import annotations

from pgjobs import leading
from pgjobs.adapters.postgres import changes
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.nodes import check, fenced
from pgjobs.adapters.postgres.rows import Row, job, job_columns
from pgjobs.adapters.postgres.statement import Plan, arrival, single, told
from pgjobs.adapters.postgres.values import Parameters
from pgjobs.adapters.postgres.where import up_to
from pgjobs.leading import Pruned
from pgjobs.rules import stalled
from pgjobs.rules.job import FINAL, Job


def rescue(effect: leading.Rescue, names: Names) -> Plan[list[Job]]:
    """``stalled.gone`` and ``stalled.foreign_gone`` as conditions, so that no page is filled by jobs
    whose nodes live. "+ 0" keeps the planner from walking the primary key in search of what executes."""
    given = Parameters()
    fence = fenced(effect.fence, names, given)
    now, own = given.instant(effect.fence.now), given.text(effect.fence.node)
    after, unknown = given.span(effect.rescue_after), given.span(stalled.FOREIGN_UNKNOWN)
    stale, forgotten = given.span(stalled.FOREIGN_STALE), given.span(stalled.FORGOTTEN_AFTER)
    sql = f"""
WITH {fence}, chosen AS MATERIALIZED (
  SELECT job.id FROM {names.jobs} AS job
  LEFT JOIN {names.nodes} AS node ON node.name = job.attempted_by[1]
  WHERE job.state = 'executing' AND EXISTS (SELECT FROM fence)
    AND coalesce(job.attempted_by[1], '') <> {own}
    AND CASE WHEN node.name IS NOT NULL
      THEN {now} - node.beat_at > greatest({after}, {stalled.MISSED_BEATS} * node.every)
      ELSE coalesce(
        (SELECT {now} - max(producer.updated_at) > {stale} FROM {names.producers} AS producer
          WHERE producer.node = job.attempted_by[1] AND producer.queue = job.queue),
        {now} - job.attempted_at > {unknown}, true)
      END
  ORDER BY job.id + 0
  LIMIT {up_to(given.number(effect.limit))}
  FOR UPDATE OF job SKIP LOCKED
), again AS (
  UPDATE {names.jobs} AS job SET {changes.one(effect.again, names, given)}
  WHERE job.id = ANY (ARRAY(SELECT id FROM chosen)) AND job.attempt < job.max_attempts
  RETURNING job.*
), last AS (
  UPDATE {names.jobs} AS job SET {changes.one(effect.last, names, given)}
  WHERE job.id = ANY (ARRAY(SELECT id FROM chosen)) AND job.attempt >= job.max_attempts
  RETURNING job.*
), forgotten AS (
  DELETE FROM {names.nodes} AS node
  WHERE EXISTS (SELECT FROM fence) AND node.name <> {own} AND {now} - node.beat_at > {forgotten}
    AND NOT EXISTS (SELECT FROM {names.jobs} AS job
      WHERE job.state = 'executing' AND job.attempted_by[1] = node.name)
), rescued AS (SELECT * FROM again UNION ALL SELECT * FROM last)
SELECT (SELECT count(*) FROM fence), told.sent, {job_columns("rescued")}
FROM ({told(given, [(arrival(names, "q.queue"), "FROM (SELECT DISTINCT queue FROM again) AS q")])})
  AS told LEFT JOIN rescued ON true"""

    def answer(rows: list[Row]) -> list[Job]:
        check(effect.fence, rows[0][0])
        found = [job(row[2:]) for row in rows if row[2] is not None]
        return sorted(found, key=lambda job: job.id)

    return single(sql, given, answer)


def prune(effect: leading.Prune, names: Names) -> Plan[Pruned]:
    """Each final state's own index gives its oldest rows; the oldest of them all are deleted."""
    given = Parameters()
    fence = fenced(effect.fence, names, given)
    until, limit = given.instant(effect.until), given.number(effect.limit)
    pages = ", ".join(
        f"""{state} AS MATERIALIZED (
  SELECT id, {state}_at AS at FROM {names.jobs}
  WHERE state = '{state}' AND {state}_at <= {until} AND EXISTS (SELECT FROM fence)
  ORDER BY {state}_at, id
  LIMIT {up_to(limit)}
  FOR UPDATE SKIP LOCKED
)"""
        for state in FINAL
    )
    every = " UNION ALL ".join(f"SELECT id, at FROM {state}" for state in FINAL)
    heads = ", ".join(
        f"(SELECT {state}_at FROM {names.jobs} WHERE state = '{state}' AND {state}_at > {until} "
        f"ORDER BY {state}_at LIMIT 1)"
        for state in FINAL
    )
    sql = f"""
WITH {fence}, {pages}, chosen AS MATERIALIZED (
  SELECT id FROM ({every}) AS page ORDER BY at, id LIMIT {limit}
), deleted AS (
  DELETE FROM {names.jobs} WHERE id = ANY (ARRAY(SELECT id FROM chosen)) RETURNING id
)
SELECT (SELECT count(*) FROM fence), (SELECT count(*) FROM deleted), least({heads})"""

    def answer(rows: list[Row]) -> Pruned:
        ((fences, count, oldest),) = rows
        check(effect.fence, fences)
        return Pruned(count, oldest)

    return single(sql, given, answer)
