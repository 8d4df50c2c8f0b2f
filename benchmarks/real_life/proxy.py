"""A line to a server that is as long as you like: each byte arrives a fixed time later, in either direction.

    with far(dsn, round_trip_s=0.005) as far_dsn: ...

It runs in a process of its own, so that it takes no time of whoever is measured. Its loop waits by
``select``, which is exact to some dozen microseconds, where ``epoll`` counts milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks.real_life.delay import Delay

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def far(dsn: str, round_trip_s: float) -> Iterator[str]:
    """A DSN for the same database at that distance, there and back, while the block runs."""
    given = conninfo_to_dict(dsn)
    host, port = str(given["host"]), str(given["port"])
    address = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.real_life.proxy", address, str(round_trip_s / 2)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        given |= {"host": "127.0.0.1", "port": process.stdout.readline().strip()}
        yield make_conninfo("", **given)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


class End(asyncio.Protocol):
    """One end of a connection that goes on: what it receives arrives at ``other`` after the delay."""

    transport: asyncio.Transport
    other: End

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._delay = Delay(seconds)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()  # until there is another end

    def join(self, other: End) -> None:
        """What this end receives goes to ``other``."""
        self.other = other
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._delay.put(data, self._loop.time())
        if self._delay.full:
            self.transport.pause_reading()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._wait()

    def _wait(self) -> None:
        """Until something arrives; the end of all comes last, and takes as long as everything else."""
        if self._timer is not None:
            return
        due = self._delay.next_due
        if due is not None:
            self._timer = self._loop.call_at(due, self._arrive)
        elif self._closed:
            self._timer = self._loop.call_later(self._seconds, self.other.transport.close)

    def _arrive(self) -> None:
        self._timer = None
        was_full = self._delay.full
        self.other.transport.write(self._delay.take(self._loop.time()))
        if was_full and not self._closed:
            self.transport.resume_reading()
        self._wait()


async def serve(address: str, seconds: float) -> None:
    """Pass connections to 127.0.0.1 on to ``address``: "host:port", or the path of a socket."""
    loop = asyncio.get_running_loop()
    joining: dict[asyncio.Task[None], None] = {}

    async def join(near: End) -> None:
        try:
            if address.startswith("/"):
                _, away = await loop.create_unix_connection(lambda: End(seconds), address)
            else:
                host, _, port = address.rpartition(":")
                _, away = await loop.create_connection(lambda: End(seconds), host, int(port))
        except OSError:
            near.other = near
            near.transport.abort()
            return
        away.join(near)
        near.join(away)

    def accepted() -> End:
        near = End(seconds)
        task = loop.create_task(join(near))
        joining[task] = None
        task.add_done_callback(joining.pop)
        return near

    server = await loop.create_server(accepted, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    _, address, seconds = sys.argv
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(serve(address, float(seconds)))


if __name__ == "__main__":
    main()
