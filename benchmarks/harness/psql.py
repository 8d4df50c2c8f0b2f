"""How the harness speaks to the server: through psql, so that it needs no driver in a peer's environment.

BENCH_HOST is the directory of the server's socket, BENCH_BIN that of its programs.
"""

from __future__ import annotations

import os
import subprocess
from types import TracebackType
from typing import Self

HOST = os.environ.get("BENCH_HOST", "")
PORT = os.environ.get("BENCH_PORT", "5432")
BINARIES = os.environ.get("BENCH_BIN", "")
SAID = "-- said --"


def program(name: str) -> str:
    """The server's own psql or pgbench, or the one on PATH."""
    return os.path.join(BINARIES, name) if BINARIES else name


def psql(statement: str, database: str = "postgres") -> str:
    """What psql prints, without headers. Raises RuntimeError with the server's words."""
    done = subprocess.run(
        [*_command(database), "-c", statement], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{done.stderr.strip()} (in {statement[:200]!r})")
    return done.stdout.strip()


def fresh_database(name: str, template: str | None = None) -> None:
    """An empty database or a copy of one; copied file by file, so that no WAL of it is left to write."""
    psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    like = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""
    psql(f'CREATE DATABASE "{name}"{like}')


def database_exists(name: str) -> bool:
    return psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == "1"


class Psql:
    """A session that is open already when it is needed: starting psql takes 10 to 20 ms."""

    def __init__(self, database: str) -> None:
        self._process = subprocess.Popen(
            _command(database),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self.ask("SELECT 1")

    def ask(self, statement: str) -> str:
        """What is printed; statements end by a semicolon of ours. Raises RuntimeError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{statement};\n\\echo {SAID}\n")
        lines: list[str] = []
        while (line := self._process.stdout.readline()) and line.strip() != SAID:
            lines.append(line)
        if not line:
            raise RuntimeError(f"psql ended: {''.join(lines).strip()} (in {statement[:200]!r})")
        return "".join(lines).strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def _command(database: str) -> list[str]:
    quiet = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    return [program("psql"), *quiet, "-h", HOST, "-p", PORT, "-U", "postgres", "-d", database]
