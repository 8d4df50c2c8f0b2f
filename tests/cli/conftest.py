"""The shell's commands, called in this process, on a database of a real server."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.cli import main


class Shell:
    """Calls commands of ours against one database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def __call__(self, *command: str, answer: str | None = None, **environment: str) -> Result:
        """Run a command; anything but an exit comes out of here."""
        environment = {"PGJOBS_DSN": self.dsn} | environment
        result = CliRunner().invoke(
            main, command, input=answer, env=environment, catch_exceptions=False, prog_name="pgjobs"
        )
        assert "Traceback" not in result.stderr
        return result

    def said(self, *command: str, answer: str | None = None) -> str:
        """What a command that succeeds prints."""
        result = self(*command, answer=answer)
        assert 0 == result.exit_code, result.output
        return result.stdout

    def json(self, *command: str, code: int = 0) -> Any:
        """The JSON that a command prints."""
        result = self(*command, "--json")
        assert code == result.exit_code, result.output
        return json.loads(result.stdout)

    def refusal(self, *command: str, code: int = 1) -> str:
        """The line with which a command is refused."""
        result = self(*command)
        assert (code, "") == (result.exit_code, result.stdout)
        *usage, line = result.stderr.splitlines()
        assert line.startswith("Error: ")
        assert not usage or usage[0].startswith("Usage: pgjobs")
        return line.removeprefix("Error: ")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def empty_shell(database: str) -> Shell:
    """For a database without any table."""
    return Shell(database)


@pytest.fixture
def shell(empty_shell: Shell) -> Shell:
    """For a migrated database."""
    migrate(empty_shell.dsn)
    return empty_shell


STORED = """
INSERT INTO oban_jobs (id, state, queue, worker, args, meta, tags, errors, attempt, max_attempts,
    priority, attempted_by, inserted_at, scheduled_at, attempted_at, completed_at, discarded_at)
OVERRIDING SYSTEM VALUE VALUES
(1, 'completed', 'mail', 'shop.send', '{"to": "ada", "n": 1}', '{}', '{}', '[]', 1, 20, 0,
    '{node-1,aaaa}', '2026-03-01 09:00', '2026-03-01 09:00', '2026-03-01 09:00:01',
    '2026-03-01 09:00:02.5', NULL),
(2, 'discarded', 'mail', 'shop.send', '{"to": "bob", "n": 2}', '{"trace": 5}', '{urgent,letter}',
    '[{"at": "2026-03-01T09:00:02Z", "attempt": 1, "error": "ValueError: no box\\n\\nTraceback:\\n  x"},
      {"at": "2026-03-01T09:01:02Z", "attempt": 2, "error": "ValueError: \\u001b[31mred"}]',
    2, 2, 3, '{node-1,bbbb}', '2026-03-01 09:00', '2026-03-01 09:01', '2026-03-01 09:01:01', NULL,
    '2026-03-01 09:01:02'),
(3, 'available', 'mail', 'shop.send', '{"to": "eve", "n": 3}', '{}', '{urgent}', '[]', 0, 20, 0,
    '{}', '2026-03-01 09:00', '2026-03-01 09:00', NULL, NULL, NULL),
(4, 'scheduled', 'pack', 'shop.pack', '{"parcel": "日本", "to": "a street with a very long name"}',
    '{}', '{}', '[]', 0, 20, 0, '{}', '2026-03-01 09:00', '2026-03-02 10:00', NULL, NULL, NULL),
(5, 'executing', 'pack', 'shop.pack', '{}', '{}', '{}', '[]', 1, 20, 0, '{node-2,cccc}',
    '2026-03-01 09:00', '2026-03-01 09:00', '2026-03-01 09:00:05', NULL, NULL)
"""


@pytest.fixture
def stored(shell: Shell) -> Shell:
    """For a database that holds five jobs."""
    shell.query(STORED.replace("\\\\", "\\"))
    return shell
