"""How jobs are inserted that may have duplicates, and how a group is cancelled: under a lock of its slot.

``pgjobs_insert`` (schema/003) takes the slots, looks and inserts, each with a snapshot of its own; a
lock and a look in one statement would look with a snapshot older than the lock. Where many jobs are
copied, the three are statements. Slots are taken in order, all of an effect's before any job's row, so
that two calls never wait for one another. See ``docs/decisions/0010-uniqueness.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zlib import crc32

from pgjobs import effects
from pgjobs.adapters.postgres import changes
from pgjobs.adapters.postgres.names import Names, literal
from pgjobs.adapters.postgres.rows import Row, job_columns, job_of_text
from pgjobs.adapters.postgres.statement import (
    Note,
    Plan,
    Statement,
    arrival,
    cancelled,
    due,
    told,
)
from pgjobs.adapters.postgres.values import Parameters, array_text, json_text
from pgjobs.adapters.postgres.where import by_id
from pgjobs.rules.job import Job, JobState, NewJob, inserted_job, revised
from pgjobs.rules.lifecycle import Event, Settlement, sources
from pgjobs.rules.replacing import replacements
from pgjobs.rules.schedule import due_at, first_state
from pgjobs.rules.unique import META_KEY, UniqueRule

_FINISHED = ("completed", "discarded", "cancelled")
"""As the index of fingerprints has them: in this order, or it is not found."""

SLOTS = 2**18
"""Rows that uniqueness locks; two fingerprints of one slot wait for one another, and nothing more."""


@dataclass(slots=True)
class _New:
    """One new job of an insert. ``twin`` is an earlier one of its statement that it duplicates."""

    job: NewJob
    at: datetime
    state: JobState
    twin: int | None = None


def _new(job: NewJob, now: datetime) -> _New:
    at = due_at(job, now)
    return _New(job, at, first_state(at, now))


def insert(effect: effects.Insert, names: Names, most: int) -> Plan[list[Job]]:
    """Statements of up to ``most`` rows each; several lock every slot first."""
    now = effect.now
    rows = [_new(job, now) for job in effect.jobs]
    parts = _parts(rows, now, most)
    fingerprints = [job.unique.fingerprint for job in effect.jobs if job.unique is not None]
    if len(parts) == 1:
        statements = [_insert(parts[0], fingerprints, now, names)]
    else:
        statements = [lock(fingerprints, names)]
        statements += [_insert(part, (), now, names) for part in parts]

    def answer(results: Sequence[list[Row]]) -> list[Job]:
        found: list[Job] = []
        for part, result in zip(parts, results[-len(parts) :], strict=True):
            jobs: list[Job] = []
            for new, (_, job_id, outcome, text) in zip(part, sorted(result), strict=True):
                if outcome == "inserted":
                    jobs.append(inserted_job(job_id, new.job, new.state, now, new.at))
                    continue
                if text is None:
                    assert new.twin is not None
                    first = part[new.twin]
                    there = inserted_job(jobs[new.twin].id, first.job, first.state, now, first.at)
                else:
                    there = job_of_text(text)
                replaced = outcome == "replaced"
                jobs.append(revised(there, {"conflict": True, "replaced": replaced}))
            found += jobs
        return found

    return Plan(tuple(statements), answer)


def twins(effect: effects.Insert) -> dict[int, int] | None:
    """Which jobs duplicate an earlier one of the effect, by position; None where that is not certain."""
    first: dict[str, int] = {}
    found: dict[int, int] = {}
    now = effect.now
    for n, new in enumerate(effect.jobs):
        if (rule := new.unique) is None:
            continue
        if new.replace:
            return None
        earlier = first.setdefault(rule.fingerprint, n)
        if earlier != n:
            if not _certain(_new(effect.jobs[earlier], now), _new(new, now), now):
                return None
            found[n] = earlier
    return found


def lock(fingerprints: Iterable[str], names: Names) -> Statement:
    """Hold the slots of these fingerprints until the transaction ends.

    They are updated, not only locked: so a transaction whose snapshot is older than the last
    holder's commit fails (40001) instead of looking at the past.
    """
    given = Parameters()
    sql = f"""
WITH held AS (
  INSERT INTO {names.unique} AS held (slot)
  SELECT s FROM unnest({given.numbers(_slots(fingerprints))}) AS s ORDER BY s
  ON CONFLICT (slot) DO UPDATE SET slot = held.slot
  RETURNING slot
)
SELECT count(*) FROM held"""
    return Statement(sql, given.values)


def look(rules: Mapping[int, UniqueRule], now: datetime, names: Names) -> Statement:
    """Which jobs stand in the way of the new ones at these positions; no row where none does.

    Asked for in the order of the index, so that one finds the pages in memory that the last has read. Each
    row is read by its id alone (hence LIMIT): a table that was seen empty would be compared with all of them.
    """
    given = Parameters()
    in_order = sorted(rules, key=lambda n: rules[n].fingerprint)
    positions = given.numbers(in_order)
    sought = _sought([rules[n] for n in in_order], now, given)
    sql = f"""
SELECT found.n, {job_columns("job")}
FROM unnest({positions}, {names.oldest_function}({sought})) AS found(n, id)
CROSS JOIN LATERAL (SELECT job.* FROM {names.jobs} AS job WHERE {by_id("found.id")} LIMIT 1) AS job
WHERE found.id IS NOT NULL"""
    return Statement(sql, given.values)


def settle_groups(settlements: Sequence[Settlement], names: Names) -> Statement:
    """Settlements that end a group: those that count cancel what is unfinished of theirs.

    Of two for one group the first gives the reason. Its rows are those of ``changes.each``. Each group is
    looked for by itself, behind OFFSET 0: no plan can read the index for all groups at once.
    """
    given = Parameters()
    assignments, rows = changes.each(settlements, names, given)
    groups = given.texts([settlement.group for settlement in settlements])
    unfinished = given.texts(sources(Event.CANCEL))
    finished = ", ".join(map(literal, _FINISHED))
    stopped = "FROM cancelled WHERE cancelled.left_state = 'executing'"
    sql = f"""
WITH settled AS (
  UPDATE {names.jobs} AS job SET {assignments}
  FROM {rows}
  WHERE {by_id("given.id")} AND job.state::text = 'executing'
    AND coalesce(job.attempted_by[2], '') = given.token
  RETURNING given.n, job.id, given.at, given.error
), ended AS MATERIALIZED (
  SELECT DISTINCT ON (ended.fingerprint) ended.fingerprint, settled.at, settled.error
  FROM settled JOIN unnest({groups}) WITH ORDINALITY AS ended(fingerprint, n) USING (n)
  ORDER BY ended.fingerprint, settled.n
), found AS MATERIALIZED (
  SELECT job.id, ended.at, ended.error
  FROM ended CROSS JOIN LATERAL (
    SELECT id FROM {names.jobs}
    WHERE (meta ->> '{META_KEY}') COLLATE "C" = ended.fingerprint
      AND CASE WHEN state IN ({finished}) THEN 1 ELSE 0 END = 0
    OFFSET 0
  ) AS job
  WHERE job.id <> ALL (ARRAY(SELECT settled.id FROM settled))
), chosen AS MATERIALIZED (
  SELECT job.id, job.state::text AS left_state, found.at, found.error
  FROM found JOIN {names.jobs} AS job ON {by_id("found.id")}
  WHERE job.state::text = ANY ({unfinished})
  ORDER BY job.scheduled_at, job.id
  FOR UPDATE OF job
), cancelled AS (
  UPDATE {names.jobs} AS job SET {changes.cancelled("chosen", names)}
  FROM chosen WHERE {by_id("chosen.id")}
  RETURNING job.id, chosen.left_state
)
SELECT settled.n FROM settled
WHERE ({told(given, [(cancelled(names, "cancelled.id"), stopped)])}) >= 0"""
    return Statement(sql, given.values)


def new_columns(
    jobs: Sequence[NewJob],
    states: Sequence[JobState],
    dues: Sequence[datetime],
    given: Parameters,
) -> dict[str, str]:
    """The columns of new rows that differ from row to row, as arrays side by side."""
    return {
        "state": given.texts(states),
        "queue": given.texts([job.queue for job in jobs]),
        "worker": given.texts([job.worker for job in jobs]),
        "args": given.jsons([json_text(job.args) for job in jobs]),
        "meta": given.jsons([json_text(job.meta) if job.meta else "{}" for job in jobs]),
        "tags": given.texts([array_text(job.tags) if job.tags else "{}" for job in jobs]),
        "max_attempts": given.numbers(job.max_attempts for job in jobs),
        "priority": given.numbers(job.priority for job in jobs),
        "scheduled_at": given.instants(dues),
    }


def _parts(rows: Sequence[_New], now: datetime, most: int) -> list[list[_New]]:
    """The rows of each statement: as many as can be decided at once.

    A job that duplicates an earlier one of its statement is its twin: they meet the same rows, and
    where there is none, the first becomes the one. Where that is not certain (their rules
    differ, the first would not count, something is replaced) a new statement begins, which sees it.
    """
    parts: list[list[_New]] = [[]]
    first: dict[str, int] = {}
    for row in rows:
        rule = row.job.unique
        earlier = None if rule is None else first.get(rule.fingerprint)
        full = len(parts[-1]) >= most
        if full or (earlier is not None and not _certain(parts[-1][earlier], row, now)):
            parts.append([])
            first.clear()
            earlier = None
        row.twin = earlier
        if rule is not None and earlier is None:
            first[rule.fingerprint] = len(parts[-1])
        parts[-1].append(row)
    return parts


def _certain(first: _New, second: _New, now: datetime) -> bool:
    rule = first.job.unique
    assert rule is not None
    same = rule == second.job.unique and not first.job.replace and not second.job.replace
    return same and rule.counts(inserted_job(0, first.job, first.state, now, first.at), now)


def _insert(
    rows: Sequence[_New], fingerprints: Iterable[str], now: datetime, names: Names
) -> Statement:
    given = Parameters()
    jobs = [row.job for row in rows]
    slots = given.numbers(_slots(fingerprints))
    at = given.instant(now)
    columns = new_columns(jobs, [row.state for row in rows], [row.at for row in rows], given)
    columns |= {
        "twin": f"{given.texts([None if row.twin is None else 'true' for row in rows])}::boolean[]",
        "replacement": given.jsons([_replacements(job, now) for job in jobs]),
    }
    sought = _sought([job.unique for job in jobs], now, given)
    stored = "FROM stored WHERE stored.outcome <> 'conflict'"
    arrived = f"FROM (SELECT DISTINCT queue {stored} AND stored.state = 'available') AS q"
    waiting = f"{stored} AND stored.state IN ('scheduled', 'retryable')"
    first = f"FROM (SELECT min(scheduled_at) AS at {waiting}) AS w WHERE w.at IS NOT NULL"
    notes: list[tuple[Note, str]] = [
        (arrival(names, "q.queue"), arrived),
        (due(names, "w.at"), first),
    ]
    sql = f"""
WITH stored AS MATERIALIZED (
  SELECT * FROM {names.insert_function}({slots}, {at}, {", ".join(columns.values())}, {sought})
)
SELECT stored.n, stored.id, stored.outcome, stored.job
FROM stored
WHERE ({told(given, notes)}) >= 0"""
    return Statement(sql, given.values, often=True)


def _slots(fingerprints: Iterable[str]) -> list[int]:
    return sorted({crc32(fingerprint.encode()) % SLOTS for fingerprint in fingerprints})


def _sought(rules: Sequence[UniqueRule | None], now: datetime, given: Parameters) -> str:
    """What ``pgjobs_oldest`` is asked: fingerprints, and which of the rules that follow each goes by."""
    kinds: list[UniqueRule] = []
    numbers: list[int] = []
    for rule in rules:
        if rule is None:
            numbers.append(0)
            continue
        if not kinds or not _alike(kinds[-1], rule):
            kinds.append(rule)
        numbers.append(len(kinds))
    texts = [None if rule is None else rule.fingerprint for rule in rules]
    return ", ".join(
        (
            given.digests(texts),
            given.numbers(numbers),
            given.texts([array_text(kind.states) for kind in kinds]),
            given.instants(_after(kinds, "inserted_at", now)),
            given.instants(_after(kinds, "scheduled_at", now)),
        )
    )


def _alike(one: UniqueRule, other: UniqueRule) -> bool:
    """Whether the two differ in their fingerprints alone, as those of one worker do."""
    if one.how is other.how is not None:
        return True
    return (one.states, one.period, one.timestamp) == (other.states, other.period, other.timestamp)


def _after(kinds: Sequence[UniqueRule], timestamp: str, now: datetime) -> list[datetime | None]:
    return [kind.after(now) if kind.timestamp == timestamp else None for kind in kinds]


def _replacements(job: NewJob, now: datetime) -> str | None:
    if not job.replace:
        return None
    found: Mapping[str, Any] = {
        state: {"fields": each.fields, "state": each.state, "spare": each.spare}
        for state, each in replacements(job, now).items()
    }
    return json_text(found)
