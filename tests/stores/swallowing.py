"""A way to the server that can go dead: lines stay open, every byte is taken, and some arrive nowhere."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from psycopg.conninfo import conninfo_to_dict, make_conninfo

UP, DOWN = "up", "down"
"""Towards the server, and towards the client."""


class Way:
    """Connections that are passed on to a server. Those that exist can be made to swallow."""

    def __init__(self, dsn: str) -> None:
        given = conninfo_to_dict(dsn)
        host, port = str(given["host"]), str(given["port"])
        self._unix = host.startswith("/")
        self._address = f"{host}/.s.PGSQL.{port}" if self._unix else (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._lines: list[dict[str, bool]] = []
        self._open: list[socket.socket] = []
        self._dead = self._closed = False
        self.dsn = make_conninfo(
            "", **(given | {"host": "127.0.0.1", "port": self._listening.getsockname()[1]})
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self, *directions: str) -> None:
        """From now on the lines that there are swallow what goes in these directions; new ones do not."""
        with self._lock:
            for line in self._lines:
                line.update(dict.fromkeys(directions, True))

    def refuse(self, dead: bool = True) -> None:
        """Whether new lines are hung up on."""
        self._dead = dead

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for each in (self._listening, *self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            line = {UP: False, DOWN: False}
            with self._lock:
                if self._dead or self._closed:
                    near.close()
                    continue
                away = socket.socket(socket.AF_UNIX if self._unix else socket.AF_INET)
                self._lines.append(line)
                self._open += (near, away)
                away.connect(self._address)
            for ends in ((near, away, UP), (away, near, DOWN)):
                threading.Thread(target=self._pump, args=(*ends, line), daemon=True).start()

    def _pump(
        self, source: socket.socket, goal: socket.socket, direction: str, line: dict[str, bool]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                with self._lock:
                    swallowed = line[direction]
                if not swallowed:
                    goal.sendall(data)
        if not line[direction]:  # else even the end arrives nowhere
            with contextlib.suppress(OSError):
                goal.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def way(dsn: str) -> Iterator[Way]:
    made = Way(dsn)
    try:
        yield made
    finally:
        made.close()
