"""How the database itself notes every change of a job, in the transaction that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs_testing.simulation.histories.model import Entry, Row

if TYPE_CHECKING:
    import psycopg

INSTALL = """
CREATE TABLE pgjobs_journal (
  n bigserial, transaction xid8 DEFAULT pg_current_xact_id(), job bigint, before text, after text,
  attempt int, token text, queue text, key text, alike text,
  inserted_at timestamp, scheduled_at timestamp, attempted_at timestamp, ended_at timestamp
);
CREATE FUNCTION pgjobs_journal_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  row oban_jobs := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
  INSERT INTO pgjobs_journal (
    job, before, after, attempt, token, queue, key, alike,
    inserted_at, scheduled_at, attempted_at, ended_at
  ) VALUES (
    row.id,
    CASE WHEN TG_OP <> 'INSERT' THEN OLD.state::text END,
    CASE WHEN TG_OP <> 'DELETE' THEN NEW.state::text END,
    row.attempt, coalesce(row.attempted_by[2], ''), row.queue,
    coalesce(row.args ->> 'key', ''), row.args ->> 'group',
    row.inserted_at, row.scheduled_at, row.attempted_at,
    CASE row.state::text WHEN 'completed' THEN row.completed_at WHEN 'discarded' THEN row.discarded_at
      WHEN 'cancelled' THEN row.cancelled_at END
  );
  RETURN NULL;
END $$;
CREATE TRIGGER pgjobs_journal AFTER INSERT OR UPDATE OR DELETE ON oban_jobs
  FOR EACH ROW EXECUTE FUNCTION pgjobs_journal_note();
"""

READ = """
SELECT n, transaction::text::bigint, job, before, after, attempt, token, queue, key, alike,
  extract(epoch FROM inserted_at) * 1000000, extract(epoch FROM scheduled_at) * 1000000,
  extract(epoch FROM attempted_at) * 1000000, extract(epoch FROM ended_at) * 1000000
FROM pgjobs_journal ORDER BY n"""

ROWS = "SELECT id, coalesce(args ->> 'key', ''), state::text, attempt FROM oban_jobs ORDER BY id"


def install(connection: psycopg.Connection[Any]) -> None:
    """Note every change of ``oban_jobs`` (in the search path) from now on."""
    connection.execute(INSTALL.encode())


def noted(connection: psycopg.Connection[Any]) -> tuple[Entry, ...]:
    """What was committed of it."""
    return tuple(_entry(*row) for row in connection.execute(READ.encode()).fetchall())


def rows(connection: psycopg.Connection[Any]) -> dict[int, Row]:
    """The jobs as they stand."""
    found = connection.execute(ROWS.encode()).fetchall()
    return {job: Row(key, state, attempt) for job, key, state, attempt in found}


def _entry(*row: Any) -> Entry:
    known, instants = row[:10], (None if at is None else int(at) for at in row[10:])
    return Entry(*known, *instants)
