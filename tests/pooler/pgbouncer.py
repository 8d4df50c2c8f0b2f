"""A real PgBouncer in transaction mode before a server of the tests."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgjobs_testing.servers import Server
from pgjobs_testing.servers.sidecar.places import unprivileged_user

MODES = ("plain", "prepared")
"""Transaction mode: ``plain`` knows no prepared statements, ``prepared`` tracks them, from 1.21 on."""
FIRST_WITH_PREPARED = (1, 21)
ANSWERS_WITHIN = 400
"""Attempts to connect, 25 ms apart, until a pooler counts as not started."""

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {pool_mode}
default_pool_size = 20
max_client_conn = 1000
server_login_retry = 1
"""


def binary() -> str | None:
    """Where PgBouncer is, if it is on this machine."""
    return shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")


def version(path: str) -> tuple[int, ...]:
    """Of the PgBouncer at ``path``: (1, 18, 0)."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    assert found is not None, said
    return tuple(map(int, found.groups()))


class Pooled(Server):
    """A server whose databases are reached through a PgBouncer; it is managed past it."""

    def __init__(self, behind: Server, mode: str) -> None:
        super().__init__()
        self.behind, self._mode = behind, mode
        self._stack = contextlib.ExitStack()
        self.port = 0

    @property
    def description(self) -> str:
        return f"{self.behind.description} behind PgBouncer ({self._mode})"

    def create_database(self, name: str) -> str:
        return self.through(self.behind.create_database(name))

    def drop_database(self, name: str) -> None:
        self.behind.drop_database(name)

    def interrupt(self) -> None:
        self.behind.interrupt()

    def restart(self) -> None:
        self.behind.restart()

    def through(self, dsn: str) -> str:
        """The same database, by way of the pooler."""
        return make_conninfo(dsn, host="127.0.0.1", port=self.port, gssencmode="disable")

    def past(self, dsn: str) -> str:
        """The same database, by no way of the pooler."""
        server = conninfo_to_dict(self.behind.dsn)
        return make_conninfo(dsn, host=server["host"], port=server["port"])

    def _start(self) -> str:
        self.port = self._stack.enter_context(_running(self.behind.dsn, self._mode))
        return self.through(self.behind.dsn)

    def _stop(self) -> None:
        self._stack.close()


@contextlib.contextmanager
def _running(dsn: str, mode: str) -> Iterator[int]:
    path = binary()
    assert path is not None
    server = conninfo_to_dict(dsn)
    port = _free_port()
    keys = {name: server[name] for name in ("host", "port", "user", "password")}
    pool_mode = "session" if mode == "session" else "transaction"
    text = CONFIGURATION.format(listen_port=port, pool_mode=pool_mode, **keys)
    if mode == "prepared":
        text += "max_prepared_statements = 100\n"
    user = unprivileged_user()
    with tempfile.TemporaryDirectory() as home:
        configuration = Path(home, "pgbouncer.ini")
        configuration.write_text(text)
        configuration.chmod(0o600)
        if user is not None:
            for place in (home, configuration):
                os.chown(place, user.pw_uid, user.pw_gid)
        with Path(home, "log").open("wb") as log:
            process = subprocess.Popen(
                [path, str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else [],
            )
            try:
                _wait_for(process, dsn, port, Path(home, "log"))
                yield port
            finally:
                process.kill()
                process.wait()


def _wait_for(process: subprocess.Popen[bytes], dsn: str, port: int, log: Path) -> None:
    through = make_conninfo(dsn, host="127.0.0.1", port=port)
    for _ in range(ANSWERS_WITHIN):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(through):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.025)
            break
    raise AssertionError(f"PgBouncer does not answer: {log.read_text()}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
