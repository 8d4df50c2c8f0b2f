"""How the ticks of cron entries are kept: a watermark that only moves on, and the jobs of each move."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pgjobs import leading
from pgjobs.adapters.postgres import writing
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.nodes import check, fenced
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, Statement, single
from pgjobs.adapters.postgres.values import Parameters
from pgjobs.effects import Insert
from pgjobs.rules.job import Job


def watermarks(effect: leading.Watermarks, names: Names) -> Plan[dict[str, datetime]]:
    given = Parameters()
    fence = fenced(effect.fence, names, given)
    keys = given.texts([key for key, _ in effect.entries])
    starts = given.instants([start for _, start in effect.entries])
    sql = f"""
WITH {fence}, begun AS (
  INSERT INTO {names.ticks} (key, watermark)
  SELECT entry.key, entry.start FROM unnest({keys}, {starts}) AS entry(key, start)
  WHERE EXISTS (SELECT FROM fence)
  ON CONFLICT (key) DO NOTHING
  RETURNING key, watermark
), known AS (
  SELECT key, watermark FROM begun
  UNION ALL
  SELECT key, watermark FROM {names.ticks} WHERE key = ANY ({keys})
)
SELECT (SELECT count(*) FROM fence), known.key, known.watermark
FROM (SELECT) AS one LEFT JOIN known ON true"""

    def answer(rows: list[Row]) -> dict[str, datetime]:
        check(effect.fence, rows[0][0])
        found = {key: watermark for _, key, watermark in rows}
        return {key: found[key] for key, _ in effect.entries}

    return single(sql, given, answer)


def tick(effect: leading.Tick, names: Names) -> Plan[list[Job] | None]:
    given = Parameters()
    fence = fenced(effect.fence, names, given)
    sql = f"""
WITH {fence}, moved AS (
  INSERT INTO {names.ticks} AS tick (key, watermark)
  SELECT {given.text(effect.key)}, {given.instant(effect.at)} WHERE EXISTS (SELECT FROM fence)
  ON CONFLICT (key) DO UPDATE SET watermark = excluded.watermark
  WHERE tick.watermark < excluded.watermark
  RETURNING key
)
SELECT (SELECT count(*) FROM fence), (SELECT count(*) FROM moved)"""
    inserting = writing.insert(Insert(effect.jobs, effect.fence.now), names)

    def then(results: Sequence[list[Row]]) -> Statement | None:
        ((fences, moved),) = results[0]
        left = inserting.statements[len(results) - 1 :]
        return left[0] if fences and moved and left else None

    def answer(results: Sequence[list[Row]]) -> list[Job] | None:
        ((fences, moved),) = results[0]
        check(effect.fence, fences)
        return inserting.answer(results[1:]) if moved else None

    return Plan((Statement(sql, given.values, often=True),), answer, then)
