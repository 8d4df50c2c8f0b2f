"""The one statement by which a node sees all that it must know.

All parts of a statement see the table as it was before: rows that are staged here are not available
yet to the other parts, so their queues count as ready, and the next due moment is sought behind them.
"""

from __future__ import annotations

import json
from functools import lru_cache

from pgjobs.adapters.postgres import changes
from pgjobs.adapters.postgres.controlling import SET_BY_HAND, by_queue
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, Statement, arrival, told
from pgjobs.adapters.postgres.values import Parameters, array_text, instant_text, numbers_text
from pgjobs.adapters.postgres.where import up_to, where
from pgjobs.effects import Poll, Polled
from pgjobs.rules.lifecycle import Event, sources, stage
from pgjobs.rules.schedule import LAST_INSTANT
from pgjobs.rules.selection import OneOf, Selection, due


def poll(effect: Poll, names: Names) -> Plan[Polled]:
    """Cheap on a large table: each part is a range of one index.

    - Due jobs come from the staging index, and so does the first one behind them. When fewer than
      ``limit`` were staged, whatever else is due was skipped because another node is staging it.
    - A queue is ready when the head of its index is there: ordered, so that no plan scans the table
      for it.
    - A held claim is looked up by id, one by one.
    """
    assert effect.stage.event is Event.STAGE
    now = instant_text(effect.stage.at)
    sql, channel = _sql(names)
    values = (
        now,
        str(effect.limit),
        array_text(effect.queues),
        numbers_text([job_id for job_id, _ in effect.held]),
        array_text([token for _, token in effect.held]),
        now,
        channel,
    )
    return Plan((Statement(sql, values, often=True),), lambda results: _polled(results[0]))


@lru_cache(maxsize=64)
def _sql(names: Names) -> tuple[str, str | None]:
    """The SQL of a poll, and the last of its parameters: the others differ from poll to poll."""
    given = Parameters()
    now, limit = given.instant(LAST_INSTANT), given.number(0)
    queues, held = given.texts(()), f"{given.numbers(())}, {given.texts(())}"
    waiting = where(Selection((OneOf("state", sources(Event.STAGE)),)), names, given)
    arrivals = (arrival(names, "q.queue"), "FROM (SELECT DISTINCT queue FROM staged) AS q")
    sql = f"""
WITH chosen AS MATERIALIZED (
  SELECT id FROM {names.jobs}
  WHERE {where(due(LAST_INSTANT), names, given)}
  ORDER BY scheduled_at, id
  LIMIT {up_to(limit)}
  FOR UPDATE SKIP LOCKED
), staged AS (
  UPDATE {names.jobs} AS job SET {changes.one(stage(LAST_INSTANT), names, given)}
  WHERE job.id = ANY (ARRAY(SELECT id FROM chosen))
  RETURNING job.id, job.queue, job.scheduled_at
), seen AS MATERIALIZED (
  SELECT
    CASE WHEN count(*) < {limit} THEN {now}
      ELSE coalesce(max(scheduled_at), '-infinity') END AS at,
    CASE WHEN count(*) < {limit} THEN 9223372036854775807
      ELSE coalesce((array_agg(id ORDER BY scheduled_at DESC, id DESC))[1], 0) END AS id
  FROM staged
)
SELECT
  (SELECT array_agg(id ORDER BY scheduled_at, id) FROM staged),
  (SELECT array_agg(queue ORDER BY scheduled_at, id) FROM staged),
  (SELECT array_agg(q.queue ORDER BY q.n)
    FROM unnest({queues}) WITH ORDINALITY AS q(queue, n)
    WHERE q.queue IN (SELECT queue FROM staged) OR (
      SELECT true FROM {names.jobs} AS job
      WHERE job.state = 'available' AND job.queue = q.queue
      ORDER BY job.state, job.queue, job.priority, job.scheduled_at, job.id LIMIT 1)),
  (SELECT job.scheduled_at FROM {names.jobs} AS job
    WHERE {waiting} AND (job.scheduled_at, job.id) > (
      (SELECT at FROM seen), (SELECT seen.id FROM seen))
    ORDER BY job.scheduled_at, job.id LIMIT 1),
  (SELECT array_agg(h.id ORDER BY h.n)
    FROM unnest({held}) WITH ORDINALITY AS h(id, token, n)
    WHERE (
      SELECT job.state::text = 'executing' AND coalesce(job.attempted_by[2], '') = h.token
      FROM {names.jobs} AS job WHERE job.id = h.id) IS NOT TRUE),
  (SELECT json_agg(json_build_array(
      queue, paused, paused_over, concurrency, concurrency_over))::text FROM {names.queues}
    WHERE {SET_BY_HAND}),
  told.sent
FROM ({told(given, [arrivals])}) AS told"""
    return sql, given.values[-1]


def _polled(rows: list[Row]) -> Polled:
    ((ids, names, ready, next_due, lost, controls, _),) = rows
    return Polled(
        staged=tuple(zip(ids or (), names or (), strict=True)),
        ready=tuple(ready or ()),
        next_due=next_due,
        lost=tuple(lost or ()),
        controls=by_queue(json.loads(controls)) if controls else {},
    )
