"""How jobs are inserted, claimed, settled, moved by hand and deleted.

The planner knows the table only from its last ANALYZE, taken when it was empty or full. So rows to be
changed are chosen first (in their order, locked) and then named by id (``where.by_id``); and the fence
of a settlement compares ``state::text``, which no index offers: with ``state = 'executing'`` a plan may
walk all dead entries of the state's index (278 buffers instead of 7). What each statement touches at
the worst: docs/reference/plans.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache

from pgjobs import effects
from pgjobs.adapters.postgres import changes, unique
from pgjobs.adapters.postgres.names import Names, literal
from pgjobs.adapters.postgres.rows import Row, job, job_columns
from pgjobs.adapters.postgres.statement import (
    LONGEST_PAYLOAD,
    Note,
    Plan,
    Statement,
    arrival,
    arrival_text,
    cancelled,
    due,
    single,
    told,
)
from pgjobs.adapters.postgres.values import Parameters, array_text, instant_text, json_text
from pgjobs.adapters.postgres.where import at_head, by_id, first_of_every_queue, up_to, where
from pgjobs.rules import lifecycle
from pgjobs.rules.job import COLUMNS, Job, JobState, NewJob, inserted_job
from pgjobs.rules.lifecycle import Change, Event, Settlement
from pgjobs.rules.schedule import LAST_INSTANT, due_at, first_state
from pgjobs.rules.selection import Contains, Selection, claim_order

INSERT_ROWS = 1_000
"""Rows of one INSERT. A larger insert takes several, in one transaction, or is copied (``copying``)."""

UNIQUE_ROWS = 5_000
"""Rows of one INSERT that looks for duplicates."""

_BESIDE = len(COLUMNS)
"""Where the columns beside those of a job begin."""

_Due = tuple[NewJob, datetime]


def insert(effect: effects.Insert, names: Names) -> Plan[list[Job]]:
    if any(new.unique is not None for new in effect.jobs):
        return unique.insert(effect, names, UNIQUE_ROWS)
    if len(effect.jobs) == 1:
        return _insert_one(effect, names)
    return Plan(
        tuple(insert_chunk(chunk, effect.now, names) for chunk in chunks(effect.jobs, effect.now)),
        lambda results: inserted(effect.jobs, effect.now, results),
    )


def _insert_one(effect: effects.Insert, names: Names) -> Plan[list[Job]]:
    """One row needs no arrays: that spares the server and this process a third of their time for it."""
    (new,), now = effect.jobs, effect.now
    at = due_at(new, now)
    state = first_state(at, now)
    inserted_at = instant_text(now)
    falls_due = inserted_at if at is now else instant_text(at)
    available = state is JobState.AVAILABLE
    values = (
        new.queue,
        new.worker,
        json_text(new.args),
        json_text(new.meta) if new.meta else "{}",
        array_text(new.tags) if new.tags else "{}",
        str(new.max_attempts),
        str(new.priority),
        falls_due,
        inserted_at,
        *((arrival_text(names, new.queue),) if available else ()),
    )
    statement = Statement(_one_row(names, available), values, often=True, lasts=True)

    def answer(results: Sequence[list[Row]]) -> list[Job]:
        ((job_id, _),) = results[0]
        return [inserted_job(job_id, new, state, now, at)]

    return Plan((statement,), answer)


@lru_cache(maxsize=64)
def _one_row(names: Names, available: bool) -> str:
    """The note is sent for each row that is returned: for this one."""
    if available:
        state, channel, payload = JobState.AVAILABLE, arrival(names, "").channel, "$10::text"
    else:
        note = due(names, "$8::text::timestamp")
        state, channel, payload = JobState.SCHEDULED, note.channel, f"({note.payload})::text"
    return f"""
INSERT INTO {names.jobs} (state, queue, worker, args, meta, tags, max_attempts, priority,
  scheduled_at, inserted_at, attempt, errors, attempted_by, attempted_at, completed_at,
  discarded_at, cancelled_at)
VALUES ({literal(state)}, $1::text, $2::text, $3::text::jsonb, $4::text::jsonb,
  $5::text::text[], $6::text::bigint, $7::text::bigint, $8::text::timestamp,
  $9::text::timestamp, 0,
  (jsonb_populate_record(NULL::{names.jobs}, '{{"errors": []}}')).errors,
  '{{}}', NULL, NULL, NULL, NULL)
RETURNING id, CASE WHEN octet_length({payload}) <= {LONGEST_PAYLOAD}
  THEN pg_notify({literal(channel)}, {payload})::text END"""


def chunks(jobs: Sequence[NewJob], now: datetime) -> list[list[_Due]]:
    """The jobs of each INSERT, with their due instants."""
    rows = [(new, due_at(new, now)) for new in jobs]
    return [rows[start : start + INSERT_ROWS] for start in range(0, len(rows), INSERT_ROWS)]


def inserted(jobs: Sequence[NewJob], now: datetime, results: Sequence[list[Row]]) -> list[Job]:
    """The answer, from the ids that each INSERT returned."""
    ids = [row[0] for result in results for row in sorted(result)]
    return [
        inserted_job(job_id, new, first_state(at, now), now, at)
        for job_id, new in zip(ids, jobs, strict=True)
        for at in (due_at(new, now),)
    ]


def notes(
    rows: Sequence[_Due], now: datetime, names: Names, given: Parameters
) -> list[tuple[Note, str]]:
    """Who is told of new rows: each queue where one is available, and when the first of the others is due."""
    ready = dict.fromkeys(new.queue for new, at in rows if at <= now)
    waits = [at for _, at in rows if at > now]
    found: list[tuple[Note, str]] = []
    if ready:
        arrived = f"FROM unnest({given.texts([*ready])}) AS q(queue)"
        found.append((arrival(names, "q.queue"), arrived))
    if waits:
        found.append((due(names, given.instant(min(waits))), ""))
    return found


def insert_chunk(rows: Sequence[_Due], now: datetime, names: Names) -> Statement:
    """Ids ascend in the order given: the rows are sorted before the sequence is asked.

    The empty ``errors`` come from a row of the table's own type, hence right as ``jsonb`` and as
    ``jsonb[]``.
    """
    given = Parameters()
    news = [new for new, _ in rows]
    states = [first_state(at, now) for _, at in rows]
    at = given.instant(now)
    columns = unique.new_columns(news, states, [due_at for _, due_at in rows], given)
    sql = f"""
WITH inserted AS (
  INSERT INTO {names.jobs} (state, queue, worker, args, meta, tags, max_attempts, priority,
    scheduled_at, inserted_at, attempt, errors, attempted_by, attempted_at, completed_at,
    discarded_at, cancelled_at)
  SELECT given.state::{names.state}, given.queue, given.worker, given.args, given.meta,
    given.tags::text[], given.max_attempts, given.priority, given.scheduled_at, {at}, 0,
    (SELECT (jsonb_populate_record(NULL::{names.jobs}, '{{"errors": []}}')).errors),
    '{{}}', NULL, NULL, NULL, NULL
  FROM unnest({", ".join(columns.values())}) WITH ORDINALITY AS given({", ".join(columns)}, n)
  ORDER BY given.n
  RETURNING id
)
SELECT inserted.id FROM inserted
WHERE ({told(given, notes(rows, now, names, given))}) >= 0"""
    return Statement(sql, given.values, often=True)


def claim(effect: effects.Claim, names: Names) -> Plan[list[Job]]:
    """A node asks the same of a queue each time, but for who claims, how many and when."""
    sql, chosen_by = once_for(_claim_from, effect, names)
    values = (*chosen_by, *taking(effect))
    return Plan((Statement(sql, values, often=True),), lambda results: in_claim_order(results[0]))


Written = tuple[str, tuple[str | None, ...]]
"""The SQL of a claim, and those of its parameters that say what to choose."""


def once_for(
    write: Callable[[Selection, Names, bool], Written], effect: effects.Claim, names: Names
) -> Written:
    """What ``write``, a cached function, makes of what is claimed, of the names, and of whether one is."""
    chosen_from = effect.selection
    for condition in chosen_from.conditions:
        if type(condition) is Contains:
            write = write.__wrapped__  # type: ignore[attr-defined]  # JSON has no hash
            break
    return write(chosen_from, names, effect.demand == 1)


def taking(effect: effects.Claim) -> tuple[str, ...]:
    """The parameters that follow those."""
    change = effect.change
    assert change.event is Event.CLAIM
    assert change.attempted_by is not None
    return (
        str(effect.demand),
        str(change.attempt_by),
        array_text(change.attempted_by),
        instant_text(change.at),
    )


TAKING = 4
"""How many these are."""


def a_claim(chosen_from: Selection, alone: bool) -> effects.Claim:
    """Any claim of these jobs: its SQL is that of all."""
    return effects.Claim(chosen_from, 1 if alone else 0, lifecycle.claim("", "", LAST_INSTANT))


@lru_cache(maxsize=256)
def _claim_from(chosen_from: Selection, names: Names, alone: bool) -> Written:
    given = Parameters()
    effect = a_claim(chosen_from, alone)
    sql = f"""
WITH {chosen(effect, names, given)}
{claiming(effect, names, given)}
RETURNING {job_columns("job")}"""
    return sql, given.values[:-TAKING]


def chosen(effect: effects.Claim, names: Names, given: Parameters) -> str:
    """The part ``chosen``: what is to be claimed, locked."""
    selection = effect.selection.leaving(effect.change.event)
    alone = first_of_every_queue(selection, names, given) if effect.demand == 1 else None
    if alone is not None:
        return f"""chosen AS MATERIALIZED (
  {alone}
  LIMIT {up_to(given.number(effect.demand))}
)"""
    condition, order = at_head(selection, names, given) or (
        where(selection, names, given),
        "priority, scheduled_at, id",
    )
    return f"""chosen AS MATERIALIZED (
  SELECT id FROM {names.jobs}
  WHERE {condition}
  ORDER BY {order}
  LIMIT {up_to(given.number(effect.demand))}
  FOR UPDATE SKIP LOCKED
)"""


def claiming(effect: effects.Claim, names: Names, given: Parameters) -> str:
    """The claim of what was chosen."""
    return f"""UPDATE {names.jobs} AS job SET {changes.one(effect.change, names, given)}
WHERE job.id = ANY (ARRAY(SELECT id FROM chosen))"""


def in_claim_order(rows: list[Row]) -> list[Job]:
    """The jobs that were claimed: UPDATE returns them in any order."""
    if len(rows) == 1:
        return [job(rows[0])]
    return sorted(map(job, rows), key=claim_order)


def settle(effect: effects.Settle, names: Names) -> Plan[list[bool]]:
    """One statement; where groups are to be cancelled, their slots are locked and they come first."""
    settlements = effect.settlements
    of_groups, others = lifecycle.in_order(settlements)
    parts = [part for part in (of_groups, others) if part]
    statements: list[Statement] = []
    if of_groups:
        chosen = [settlements[place] for place in of_groups]
        groups = [each.group for each in chosen if each.group is not None]
        statements = [unique.lock(groups, names), unique.settle_groups(chosen, names)]
    if others:
        chosen = [settlements[place] for place in others]
        alone = len(chosen) == len(settlements)
        if alone and (change := _one_completion(chosen)) is not None:
            return _complete(chosen, change, names)
        statements.append(_settle(chosen, names))

    def counted(results: Sequence[list[Row]]) -> list[bool]:
        found = [False] * len(settlements)
        for places, rows in zip(parts, results[len(results) - len(parts) :], strict=True):
            for (n,) in rows:
                found[places[n - 1]] = True
        return found

    return Plan(tuple(statements), counted)


def _settle(settlements: Sequence[Settlement], names: Names) -> Statement:
    return Statement(_settle_each(names), changes.columns_of(settlements), often=True)


@lru_cache(maxsize=64)
def _settle_each(names: Names) -> str:
    assignments, rows = changes.each((), names, Parameters())
    return f"""
UPDATE {names.jobs} AS job SET {assignments}
FROM {rows}
WHERE {by_id("given.id")} AND job.state::text = 'executing'
  AND coalesce(job.attempted_by[2], '') = given.token
RETURNING given.n"""


def _one_completion(settlements: Sequence[Settlement]) -> Change | None:
    """The completion that these all are, each of another job; or None. Most batches are that."""
    change = settlements[0].change
    alike = change.event is Event.COMPLETE and all(each.change is change for each in settlements)
    return change if alike and len({each.id for each in settlements}) == len(settlements) else None


def _complete(settlements: Sequence[Settlement], change: Change, names: Names) -> Plan[list[bool]]:
    """What ``_settle`` does, in four fifths of the time: without a join, the rows are found in one scan.

    Runs that ended together were mostly claimed together, under one token. Otherwise each id has its
    own, read from an object that is parsed once.
    """
    given = Parameters()
    ids = [each.id for each in settlements]
    tokens = dict.fromkeys(each.token for each in settlements)
    if len(tokens) == 1:
        token = given.text(settlements[0].token)
    else:
        token = f"(SELECT {given.json({str(each.id): each.token for each in settlements})})"
        token += " ->> job.id::text"
    sql = f"""
UPDATE {names.jobs} AS job SET {changes.one(change, names, given)}
WHERE job.id = ANY ({given.numbers(ids)}) AND job.state::text = 'executing'
  AND coalesce(job.attempted_by[2], '') = {token}
RETURNING job.id"""

    def counted(rows: list[Row]) -> list[bool]:
        if len(rows) == len(ids):
            return [True] * len(ids)
        found = {job_id for (job_id,) in rows}
        return [job_id in found for job_id in ids]

    return single(sql, given, counted, often=True)


def transition(effect: effects.Transition, names: Names) -> Plan[list[Job]]:
    change = effect.change
    given = Parameters()
    sql = f"""
WITH chosen AS MATERIALIZED (
  SELECT id, state::text AS left_state, scheduled_at FROM {names.jobs}
  WHERE {where(effect.selection.leaving(change.event), names, given)}
  ORDER BY scheduled_at, id
  LIMIT {up_to(given.number(effect.limit))}
  FOR UPDATE
), changed AS (
  UPDATE {names.jobs} AS job SET {changes.one(change, names, given)}
  FROM chosen WHERE {by_id("chosen.id")}
  RETURNING job.*, chosen.left_state, chosen.scheduled_at AS chosen_at
)
SELECT {job_columns("changed")}, changed.chosen_at FROM changed"""
    notes: list[tuple[Note, str]] = []
    if change.event is Event.RETRY:
        queues = "FROM (SELECT DISTINCT queue FROM changed) AS q"
        notes.append((arrival(names, "q.queue"), queues))
    elif change.event is Event.CANCEL:
        stopped = "FROM changed WHERE left_state = 'executing'"
        notes.append((cancelled(names, "changed.id"), stopped))
    if notes:
        sql += f" WHERE ({told(given, notes)}) >= 0"

    def in_order(rows: list[Row]) -> list[Job]:
        return [job(row) for row in sorted(rows, key=lambda row: (row[_BESIDE], row[0]))]

    return single(sql, given, in_order)


def delete(effect: effects.Delete, names: Names) -> Plan[list[Job]]:
    given = Parameters()
    stopped = "FROM deleted WHERE deleted.state = 'executing'"
    sql = f"""
WITH chosen AS MATERIALIZED (
  SELECT id FROM {names.jobs}
  WHERE {where(effect.selection, names, given)}
  ORDER BY scheduled_at, id
  LIMIT {up_to(given.number(effect.limit))}
  FOR UPDATE
), deleted AS (
  DELETE FROM {names.jobs} AS job USING chosen WHERE {by_id("chosen.id")} RETURNING job.*
)
SELECT {job_columns("deleted")}
FROM deleted
WHERE ({told(given, [(cancelled(names, "deleted.id"), stopped)])}) >= 0"""

    def in_order(rows: list[Row]) -> list[Job]:
        return sorted(map(job, rows), key=lambda each: (each.scheduled_at, each.id))

    return single(sql, given, in_order)
