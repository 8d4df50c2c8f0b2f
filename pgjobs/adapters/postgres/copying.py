"""How many jobs are inserted at once: by COPY, under ids that were taken from the sequence before.

COPY costs the server half of what an INSERT of the same rows does, and it streams: while the server takes
rows in, the next ones are written here and the jobs for the answer are made. It returns nothing, hence
the ids first, in the same transaction and with the notifications.

Where it is not allowed (the role may insert but not use the sequence, or the table has row security,
or ids come from elsewhere), the same question says so, and INSERTs follow instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pgjobs import effects
from pgjobs.adapters.postgres import writing
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.rows import Row, inserted_job
from pgjobs.adapters.postgres.statement import Plan, Statement, told
from pgjobs.adapters.postgres.values import Parameters, array_text, instant_text, json_text
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.schedule import due_at, first_state

PIECE_ROWS = 500
"""Rows written before they are sent: enough for a system call to pay, few enough to stream."""

_COLUMNS = (
    "id, state, queue, worker, args, meta, tags, max_attempts, priority, scheduled_at, inserted_at, "
    "attempt, errors, attempted_by, attempted_at, completed_at, discarded_at, cancelled_at"
)


def copies(effect: effects.Effect[object]) -> bool:
    """Whether COPY pays: it takes four round trips, one INSERT takes one."""
    return (
        isinstance(effect, effects.Insert)
        and len(effect.jobs) > writing.INSERT_ROWS
        and all(new.unique is None for new in effect.jobs)
    )


def insert(effect: effects.Insert, names: Names) -> Plan[list[Job]]:
    """For a connection of our own: a caller's library may know no COPY."""
    now = effect.now
    chunks = writing.chunks(effect)
    stored: list[Job] = []

    def copied(ids: Sequence[int], errors: str) -> Statement:
        def pieces() -> Iterator[bytes]:
            stored.clear()
            for start in range(0, len(ids), PIECE_ROWS):
                here = slice(start, start + PIECE_ROWS)
                yield _piece(effect.jobs[here], ids[here], now, errors, stored).encode()

        return Statement(f"COPY {names.jobs} ({_COLUMNS}) FROM STDIN", data=pieces)

    def then(found: Sequence[list[Row]]) -> Statement | None:
        ((ids, errors, _),) = found[0]
        if ids is not None:
            return copied(ids, errors) if len(found) == 1 else None
        done = len(found) - 1
        return writing.insert_chunk(chunks[done], now, names) if done < len(chunks) else None

    def answer(found: Sequence[list[Row]]) -> list[Job]:
        ((ids, _, _),) = found[0]
        return stored if ids is not None else writing.inserted(effect, found[1:])

    return Plan((_asked(effect, names),), answer, then)


def _asked(effect: effects.Insert, names: Names) -> Statement:
    """Ids, or NULL; the text of empty ``errors``, which are ``jsonb`` or ``jsonb[]``; and who is told."""
    given = Parameters()
    table = given.text(names.jobs)
    dues = [due_at(new, effect.now) for new in effect.jobs]
    notes = writing.notes([*zip(effect.jobs, dues, strict=True)], effect.now, names, given)
    sql = f"""
WITH sequence AS MATERIALIZED (SELECT pg_get_serial_sequence({table}, 'id')::regclass AS name)
SELECT
  CASE WHEN has_sequence_privilege(sequence.name, 'USAGE')
    AND NOT row_security_active({table}::regclass) THEN (
      SELECT array_agg(nextval(s.name)) FROM sequence AS s,
        generate_series(1, {given.number(len(effect.jobs))})) END,
  (jsonb_populate_record(NULL::{names.jobs}, '{{"errors": []}}')).errors::text,
  told.sent
FROM sequence CROSS JOIN ({told(given, notes)}) AS told"""
    return Statement(sql, given.values)


def _piece(
    jobs: Sequence[NewJob], ids: Sequence[int], now: datetime, errors: str, stored: list[Job]
) -> str:
    """The rows of these jobs in COPY's text format; what they become is added to ``stored``."""
    at_once = instant_text(now)
    rest = f"{at_once}\t0\t{errors}\t{{}}\t\\N\t\\N\t\\N\t\\N\n"
    lines: list[str] = []
    for job_id, new in zip(ids, jobs, strict=True):
        at = due_at(new, now)
        state = first_state(at, now)
        lines.append(
            f"{job_id}\t{state.value}\t{_escaped(new.queue)}\t{_escaped(new.worker)}\t"
            f"{_escaped(json_text(new.args))}\t{_escaped(json_text(new.meta)) if new.meta else '{}'}\t"
            f"{_escaped(array_text(new.tags)) if new.tags else '{}'}\t{new.max_attempts}\t{new.priority}\t"
            f"{at_once if at is now else instant_text(at)}\t{rest}"
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
