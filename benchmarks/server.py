"""Starts the PostgreSQL that everything here is measured on: default durability, data on a disk.

The binaries are those that BENCH_PGBIN names, else Debian's newest, else the ones that the testing
extra brings. The server listens on a Unix socket alone, in a directory that only its user and root
can enter. The data lies in a new directory below BENCH_DATA (default /var/tmp, which is a disk
where /tmp may be memory) and is gone when the server stops, so nothing is carried from one run into
another.

    with Server() as server:
        dsn = server.create("empty")

    python -m benchmarks.server       starts one, prints its DSN, and stops it at Ctrl-C
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, LiteralString, Self

import psycopg
from psycopg import sql

from pgjobs_testing.servers.embedded import find_binaries
from pgjobs_testing.servers.sidecar.places import runnable, unprivileged_user

DEBIAN = Path("/usr/lib/postgresql")
PREFIX = "pgjobs-bench-"
PORT = 5432  # part of the socket's name, and nothing more
READY_TIMEOUT_S = 60
POLL_S = 0.01
STOP_TIMEOUT_S = 20
PR_SET_PDEATHSIG = 1
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
# What is not said here is PostgreSQL's default: fsync, synchronous_commit and full_page_writes are on.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "shared_buffers": "1GB",
    "max_connections": "200",
}


class Server:
    """One throwaway server; a context manager, or ``start()`` and ``stop()``.

    ``settings`` are added to SETTINGS. A server whose process is killed ends with it (on Linux).
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._user = unprivileged_user()
        self._settings = {**SETTINGS, **(settings or {})}
        self._home: Path | None = None
        self._lock: BinaryIO | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.binaries = _binaries(self._user)

    @property
    def host(self) -> str:
        """The directory of its socket: what libpq calls the host."""
        if self._home is None:
            raise RuntimeError("the server is not running: call start() first")
        return str(self._home)

    @property
    def version(self) -> str:
        """Of its binaries: "15.18"."""
        told = subprocess.check_output([self.binaries / "postgres", "--version"], text=True)
        found = re.search(r"\d+(\.\d+)?", told)
        return found.group() if found else told.strip()

    def dsn(self, database: str = "postgres") -> str:
        """A URI that every driver of ours and of the peers reads."""
        return f"postgresql://postgres@/{database}?host={self.host}&port={PORT}"

    def start(self) -> Self:
        """Makes the data directory, starts, and waits until it answers.

        Raises RuntimeError with PostgreSQL's last words where it cannot, and leaves nothing then.
        """
        if self._home is not None:
            raise RuntimeError("the server is running already")
        below = Path(os.environ.get("BENCH_DATA") or "/var/tmp")
        self._sweep(below)
        self._home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=below))
        try:
            self._lock = (self._home / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self._user:
                os.chown(self._home, self._user.pw_uid, self._user.pw_gid)
            self._initialise(self._home)
            self._launch(self._home)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops it at once and removes its data; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # no checkpoint: nothing is kept
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        home, self._home = self._home, None
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create(self, database: str, template: str | None = None) -> str:
        """The DSN of a new database of that name, empty or a copy; an older one is dropped."""
        self.drop(database)
        if template is None:
            self._administer("CREATE DATABASE {}", database)
        else:  # copied file by file: the WAL of a big copy would be written during the measuring
            self._administer(
                "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", database, template
            )
        return self.dsn(database)

    def drop(self, database: str) -> None:
        """Drops it, if there is one, ending the connections to it."""
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def _sweep(self, below: Path) -> None:
        """Removes what killed processes left, gigabytes maybe: their locks are free."""
        owners = {os.geteuid(), self._user.pw_uid if self._user else os.geteuid()}
        for left in sorted(below.glob(f"{PREFIX}*")):
            with contextlib.suppress(OSError):
                if left.lstat().st_uid not in owners:
                    continue
                with (left / "lock").open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)

    def _administer(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _initialise(self, home: Path) -> None:
        data, log = home / "data", home / "log"
        for locale in ("C.UTF-8", "C"):  # not every system has the first
            shutil.rmtree(data, ignore_errors=True)
            options = ["-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
            initdb = self._spawn("initdb", *options, f"--locale={locale}", log=log)
            if initdb.wait() == 0:
                return
        raise RuntimeError(f"initdb failed: {_last_words(log)}")

    def _launch(self, home: Path) -> None:
        log = home / "log"
        settings = {**self._settings, "unix_socket_directories": str(home), "port": str(PORT)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._process = self._spawn("postgres", "-D", str(home / "data"), *options, log=log)
        until = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < until:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.dsn()):
                return
            if self._process.poll() is not None:
                raise RuntimeError(f"postgres ended at once: {_last_words(log)}")
            time.sleep(POLL_S)
        raise RuntimeError(f"postgres is not ready after {READY_TIMEOUT_S} s: {_last_words(log)}")

    def _spawn(self, program: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            return subprocess.Popen(
                [self.binaries / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is for us, who then stop it
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                preexec_fn=_die_with_us(),  # noqa: PLW1509 - started before any thread
            )


def _binaries(user: pwd.struct_passwd | None) -> Path:
    """The directory that holds postgres, initdb, psql and pgbench."""
    named = os.environ.get("BENCH_PGBIN")
    if named:
        if not (Path(named) / "postgres").is_file():
            raise RuntimeError(f"BENCH_PGBIN={named}: there is no postgres in that directory")
        return Path(named)
    installed = [each for each in DEBIAN.glob("*/bin") if (each / "initdb").is_file()]
    if installed:
        return max(installed, key=lambda each: int(each.parent.name))
    return runnable(find_binaries(), user) / "bin"


def _last_words(log: Path) -> str:
    return log.read_bytes()[-2000:].decode(errors="replace").strip() or "it said nothing"


def _die_with_us() -> Callable[[], object] | None:
    """Where Linux offers it, a ``kill -9`` of this process stops the server, too."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def main() -> None:
    with contextlib.suppress(KeyboardInterrupt), Server() as server:
        print(server.dsn(), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
