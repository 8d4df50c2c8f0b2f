"""Makes a data directory, starts PostgreSQL on it and stops it: fast, since nothing must last."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgjobs_testing.servers.sidecar.places import (
        SHARED_MEMORY,
        Failed,
        free_bytes,
        sockets_in,
    )
else:
    from places import SHARED_MEMORY, Failed, free_bytes, sockets_in

POLL_S, POLLS = 0.005, 12_000  # a minute
QUIT_TIMEOUT_S = 8  # PostgreSQL itself gives its children 5 s
PORTS = range(10_000, 30_000)  # below those of outgoing connections: see start_somewhere
PORT_ATTEMPTS = 100
START_ATTEMPTS = 5
LAST_WORDS_BYTES = 2000
SEGMENTS_BYTES = 1 << 26  # what parallel queries may want of shared memory
PR_SET_PDEATHSIG = 1
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
# Not among these is synchronous_commit: without fsync it costs nothing, and what was committed
# must be there after an outage.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "300",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
}


class Postgres:
    """One data directory under `home`, and the server on it while it runs.

    `wait` is called with seconds wherever there is waiting, and may raise to end it.
    """

    def __init__(self, binaries: Path, home: Path, user: pwd.struct_passwd | None) -> None:
        self._binaries = binaries
        self._data = home / "data"
        self._log = home / "log"
        self._sockets = home / "sockets"
        self._password_file = home / "password"
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def initialise(self, password: str, wait: Callable[[float], None]) -> None:
        """Makes the data directory: UTF-8, C locale, UTC. Raises Failed after a minute."""
        self._data.mkdir(mode=0o700)
        self._sockets.mkdir()
        self._sockets.chmod(0o755)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(password)
        if self._user:
            os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
            os.chown(self._sockets, self._user.pw_uid, self._user.pw_gid)
            os.chown(self._password_file, self._user.pw_uid, self._user.pw_gid)
        room = free_bytes(SHARED_MEMORY) >= SEGMENTS_BYTES
        initdb = self._spawn(
            "initdb",
            "--no-sync",
            "--no-instructions",
            "--no-locale",
            "--encoding=UTF8",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--set=scram_iterations=1",  # the password is random; saves 3 ms a connection
            f"--pwfile={self._password_file}",
            f"--pgdata={self._data}",
            *([] if room else ["--set=dynamic_shared_memory_type=mmap"]),
        )
        try:
            for _ in range(POLLS):
                if initdb.poll() is not None:
                    break
                wait(POLL_S)
            else:
                raise Failed(f"initdb is not done after a minute: {self._last_words()}")
        finally:
            initdb.kill()
            initdb.wait()
            self._password_file.unlink()
        if initdb.returncode:
            raise Failed(f"initdb failed ({initdb.returncode}): {self._last_words()}")

    def start_somewhere(self, wait: Callable[[float], None]) -> None:
        """Starts on a free port, chosen from below those that systems give to outgoing
        connections: a client retrying during an outage could connect to itself there. Another
        process may take the port before the server does: START_ATTEMPTS, then Failed."""
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = free_port()
            try:
                self.start(wait)
                return
            except Failed:
                if attempt == START_ATTEMPTS or b"could not bind" not in self._log.read_bytes():
                    raise

    def start(self, wait: Callable[[float], None]) -> None:
        """Starts and waits until line 8 of postmaster.pid says ready; that its socket can be
        connected to is too early. Raises Failed after a minute."""
        if self._process:
            raise Failed("the server is running already: interrupt it first")
        settings = SETTINGS | {"unix_socket_directories": sockets_in(self._sockets)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._process = self._spawn(
            "postgres", "-D", str(self._data), f"--port={self.port}", *options
        )
        for _ in range(POLLS):
            if self._ready():
                return
            if self._process.poll() is not None:
                self._process = None
                raise Failed(f"postgres ended at once: {self._last_words()}")
            wait(POLL_S)
        raise Failed(f"postgres is not ready after a minute: {self._last_words()}")

    def quit(self) -> None:
        """Stops at once, as a crash would: the next start recovers from the WAL."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(QUIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [self._binaries / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=ENVIRONMENT,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                preexec_fn=_die_with_us(),  # noqa: PLW1509  this process has one thread
            )

    def _last_words(self) -> str:
        said = self._log.read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace")
        return said.strip() or "it said nothing"


def free_port() -> int:
    for _ in range(PORT_ATTEMPTS):
        port = PORTS[int.from_bytes(os.urandom(4), "big") % len(PORTS)]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise Failed(f"no port of 127.0.0.1 could be bound in {PORT_ATTEMPTS} attempts")


def _die_with_us() -> Callable[[], object] | None:
    """Where Linux offers it, a `kill -9` of the sidecar stops the server, too."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
