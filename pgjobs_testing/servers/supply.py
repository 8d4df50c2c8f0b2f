"""Who owns the server of a test run, and how each process of the run gets databases of its own.

One process owns it: the one that runs the tests, or under xdist the controller, which answers its
workers on a port of 127.0.0.1. A worker asks for a database by name; the first to ask has the server
started. So there is one server however many workers there are, it lives until the controller ends,
and it is gone when the controller is (see ``embedded``, ``container`` and ``leftovers``): a worker
that is killed, restarted, or stopped by ``-x`` takes nothing with it.

    worker      one line of JSON: {"secret": ..., "database": "gw0_db0"}
    controller  one line of JSON: {"dsn": ...} or {"error": ...}
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import threading
from collections.abc import Callable
from socket import AF_INET, SOCK_STREAM, socket  # by name: tests may forbid sockets by patching
from typing import Protocol

from pgjobs_testing.servers.choose import Choice
from pgjobs_testing.servers.server import Server, ServerError

LINE_LIMIT = 65_536
QUESTION_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 600
"""Longer than any start, the pull of an image included."""


class Supply(Protocol):
    """Where databases come from."""

    def database(self, name: str) -> str:
        """The DSN of a new and empty database; one of that name from before is dropped."""
        ...

    def close(self) -> None:
        """Nothing more is asked for: release what is owned."""
        ...


class OwnServer:
    """A server that this process owns, started when the first database is asked for.

    A start that failed is not tried again: each who asks is told the same.
    """

    def __init__(self, choice: Callable[[], Choice]) -> None:
        self._choice = choice
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._refusal: ServerError | None = None
        self._made: set[str] = set()

    def database(self, name: str) -> str:
        with self._lock:
            server = self._started()
            if name in self._made:
                server.drop_database(name)
                self._made.discard(name)
            dsn = server.create_database(name)
            self._made.add(name)
            return dsn

    def close(self) -> None:
        """Stop the server, if one was started."""
        with self._lock:
            server, self._server = self._server, None
            self._made.clear()
            if server is not None:
                server.stop()

    def _started(self) -> Server:
        if self._refusal is not None:
            raise self._refusal
        if self._server is None:
            try:
                self._server = self._choice().server().start()
            except ServerError as error:
                self._refusal = error
                raise
        return self._server


class Desk:
    """Answers the workers of xdist in a thread of the controller, from its own supply."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._secret = os.urandom(16).hex()
        self._closed = False
        self._listener = socket(AF_INET, SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self._port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="pgjobs-desk", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """What a worker is handed, to find it and to be let in."""
        return f"{self._port}:{self._secret}"

    def close(self) -> None:
        """Answer nobody any more; who is being answered is waited for."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError), socket(AF_INET, SOCK_STREAM) as waking:
            waking.connect(("127.0.0.1", self._port))
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._closed:
            asking, _ = self._listener.accept()
            with asking, contextlib.suppress(OSError):  # a worker that died meanwhile
                if not self._closed:
                    asking.settimeout(QUESTION_TIMEOUT_S)
                    answer = self._answer(_line(asking))
                    asking.sendall(json.dumps(answer).encode() + b"\n")

    def _answer(self, question: bytes) -> dict[str, str]:
        try:
            asked = json.loads(question)
            secret, name = str(asked["secret"]), str(asked["database"])
        except (ValueError, LookupError, TypeError):
            return {"error": "this port is that of a test run, and speaks to its workers alone"}
        if not hmac.compare_digest(secret, self._secret):
            return {"error": "the secret is not that of this test run"}
        try:
            return {"dsn": self._supply.database(name)}
        except Exception as error:  # whatever it is, the worker is told, and the desk stays open
            return {"error": str(error) or type(error).__name__}


class SharedServer:
    """The controller's server, as a worker of xdist has it.

    A worker that finds no controller at the address runs on another machine, and uses ``own``.
    """

    def __init__(self, address: str, own: Supply) -> None:
        port, _, self._secret = address.partition(":")
        self._port, self._own = int(port), own

    def database(self, name: str) -> str:
        with socket(AF_INET, SOCK_STREAM) as asking:
            asking.settimeout(ANSWER_TIMEOUT_S)
            try:
                asking.connect(("127.0.0.1", self._port))
            except OSError:
                return self._own.database(name)
            return self._asked(asking, name)

    def close(self) -> None:
        """The controller owns the server, and drops the databases."""
        self._own.close()

    def _asked(self, asking: socket, name: str) -> str:
        question = {"secret": self._secret, "database": name}
        try:
            asking.sendall(json.dumps(question).encode() + b"\n")
            answer = json.loads(_line(asking))
        except (OSError, ValueError) as error:
            raise ServerError(
                "the controller of this test run, which owns its PostgreSQL, ended before it "
                f"answered: {error}"
            ) from error
        if "dsn" not in answer:
            raise ServerError(str(answer.get("error", answer)))
        return str(answer["dsn"])


def _line(connection: socket) -> bytes:
    """What is sent up to the end of the line, or of the connection."""
    line = b""
    while not line.endswith(b"\n") and len(line) < LINE_LIMIT:
        more = connection.recv(4096)
        if not more:
            break
        line += more
    return line
