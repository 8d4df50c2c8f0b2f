"""How many jobs are inserted at once: by COPY, under ids that were taken from the sequence before.

COPY costs the server half of what an INSERT of the same rows does, and it streams: while the server takes
rows in, the next ones are written here and the jobs for the answer are made. It returns nothing, hence
the ids first, in the same transaction and with the notifications. Before that, the slots of unique
jobs are taken, and a statement later their duplicates are looked for: what has one is not copied.

Where it is not allowed (the role may insert but not use the sequence, or the table has row security,
or ids come from elsewhere), the question for ids says so, and INSERTs follow instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache

from pgjobs import effects
from pgjobs.adapters.postgres import unique, writing
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.rows import Row, job
from pgjobs.adapters.postgres.statement import Plan, Statement, told
from pgjobs.adapters.postgres.values import Parameters, array_text, instant_text, json_text
from pgjobs.rules.job import Job, NewJob, inserted_job, revised, unshared
from pgjobs.rules.schedule import due_at, first_state

PIECE_ROWS = 500
"""Rows written before they are sent: enough for a system call to pay, few enough to stream."""

_COLUMNS = (
    "id, state, queue, worker, args, meta, tags, max_attempts, priority, scheduled_at, inserted_at, "
    "attempt, errors, attempted_by, attempted_at, completed_at, discarded_at, cancelled_at"
)


def insert(effect: effects.Insert, names: Names) -> Plan[list[Job]] | None:
    """For a connection of our own: a caller's library may know no COPY.

    None where it does not pay, for it takes four round trips or five, one INSERT takes one; and where
    what becomes of a job depends on what became of an earlier one of the same effect.
    """
    if len(effect.jobs) <= writing.INSERT_ROWS:
        return None
    twins = unique.twins(effect)
    if twins is None:
        return None
    now, new = effect.now, effect.jobs
    rules = {n: each.unique for n, each in enumerate(new) if each.unique is not None}
    ahead = 2 if rules else 0
    """Statements before the question for ids."""

    @cache
    def asked_for_all() -> Statement:
        return _asked(new, now, names)

    def look() -> Statement:
        asked_for_all()  # mostly all are new, and there is time now
        return unique.look(rules, now, names)

    def fresh(found: Sequence[list[Row]]) -> Sequence[NewJob]:
        """The jobs that are inserted."""
        if not twins and not (rules and found[1]):
            return new
        there = {row[0] for row in found[1]}
        return [each for n, each in enumerate(new) if n not in there and n not in twins]

    stored: list[Job] = []

    def copied(jobs: Sequence[NewJob], ids: Sequence[int], errors: str) -> Statement:
        def pieces() -> Iterator[bytes]:
            stored.clear()
            for start in range(0, len(ids), PIECE_ROWS):
                here = slice(start, start + PIECE_ROWS)
                yield _piece(jobs[here], ids[here], now, errors, stored).encode()

        return Statement(f"COPY {names.jobs} ({_COLUMNS}) FROM STDIN", data=pieces)

    def then(found: Sequence[list[Row]]) -> Statement | None:
        jobs = fresh(found)
        if len(found) == ahead:
            if jobs is new:
                return asked_for_all()
            return _asked(jobs, now, names) if jobs else None
        if not jobs:
            return None
        ((ids, errors, _),), *inserts = found[ahead:]
        if ids is not None:
            return None if inserts else copied(jobs, ids, errors)
        chunks = writing.chunks(jobs, now)
        return (
            writing.insert_chunk(chunks[len(inserts)], now, names)
            if len(inserts) < len(chunks)
            else None
        )

    def answer(found: Sequence[list[Row]]) -> list[Job]:
        jobs = fresh(found)
        if not jobs:
            made: list[Job] = []
        else:
            ((ids, _, _),), *inserts = found[ahead:]
            made = stored if ids is not None else writing.inserted(jobs, now, inserts)
        there = {row[0]: job(row[1:]) for row in found[1]} if rules else {}
        return _in_order(len(new), made, there, twins)

    if not rules:
        return Plan((asked_for_all(),), answer, then)
    locked = unique.lock((rule.fingerprint for rule in rules.values()), names)
    return Plan((locked,), answer, then, behind=look)


def _in_order(
    count: int, made: Sequence[Job], there: Mapping[int, Job], twins: Mapping[int, int]
) -> list[Job]:
    """The answer: what was made, in its order, and between it what stood in the way of the others."""
    following = iter(made)
    found: list[Job] = []
    for n in range(count):
        if n in there:
            found.append(revised(there[n], {"conflict": True}))
        elif n in twins:
            first = found[twins[n]]
            found.append(revised(unshared(first), {"conflict": True}))
        else:
            found.append(next(following))
    return found


def _asked(jobs: Sequence[NewJob], now: datetime, names: Names) -> Statement:
    """Ids, or NULL; the text of empty ``errors``, which are ``jsonb`` or ``jsonb[]``; and who is told."""
    given = Parameters()
    table = given.text(names.jobs)
    dues = [due_at(new, now) for new in jobs]
    notes = writing.notes([*zip(jobs, dues, strict=True)], now, names, given)
    sql = f"""
WITH sequence AS MATERIALIZED (SELECT pg_get_serial_sequence({table}, 'id')::regclass AS name)
SELECT
  CASE WHEN has_sequence_privilege(sequence.name, 'USAGE')
    AND NOT row_security_active({table}::regclass) THEN (
      SELECT array_agg(nextval(s.name)) FROM sequence AS s,
        generate_series(1, {given.number(len(jobs))})) END,
  (jsonb_populate_record(NULL::{names.jobs}, '{{"errors": []}}')).errors::text,
  told.sent
FROM sequence CROSS JOIN ({told(given, notes)}) AS told"""
    return Statement(sql, given.values)


def _piece(
    jobs: Sequence[NewJob], ids: Sequence[int], now: datetime, errors: str, stored: list[Job]
) -> str:
    """The rows of these jobs in COPY's text format; what they become is added to ``stored``."""
    at_once, ready = instant_text(now), first_state(now, now)
    ready_text = ready.value
    rest = f"{at_once}\t0\t{errors}\t{{}}\t\\N\t\\N\t\\N\t\\N\n"
    lines: list[str] = []
    for job_id, new in zip(ids, jobs, strict=True):
        at = due_at(new, now)
        if at is now:
            state, state_text, at_text = ready, ready_text, at_once
        else:
            state, at_text = first_state(at, now), instant_text(at)
            state_text = state.value
        lines.append(
            f"{job_id}\t{state_text}\t{_escaped(new.queue)}\t{_escaped(new.worker)}\t"
            f"{_escaped(json_text(new.args))}\t{_escaped(json_text(new.meta)) if new.meta else '{}'}\t"
            f"{_escaped(array_text(new.tags)) if new.tags else '{}'}\t{new.max_attempts}\t{new.priority}\t"
            f"{at_text}\t{rest}"
        )
        stored.append(inserted_job(job_id, new, state, now, at))
    return "".join(lines)


def _escaped(text: str) -> str:
    r"""``text`` as COPY reads it: a backslash begins an escape, a tab ends a column, a line a row."""
    if text.isprintable() and "\\" not in text:
        return text
    for char, escape in _ESCAPES:
        text = text.replace(char, escape)
    return text


_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
