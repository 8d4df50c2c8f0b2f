"""Holds one throwaway PostgreSQL server for as long as its standard input stays open.

Run by path as `python -I -S .../sidecar`, with the standard library alone, so that it starts in
20 ms and needs none of the packages above it. The first line in is `{"install": <the wheel's
pginstall>, "password": ...}`, and the answer `{"port": ..., "pid": ...}`. Then come `interrupt`
and `restart`. Each answer is one line; `{"error": ...}` is one, too. When the holder dies or
closes the pipe, the server is stopped and its data deleted.
"""

import contextlib
import json
import os
import selectors
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pgjobs_testing.servers.sidecar.places import (
        Failed,
        new_home,
        runnable,
        unprivileged_user,
    )
    from pgjobs_testing.servers.sidecar.postgres import Postgres
else:  # run by path: of all that is ours, sys.path holds this directory alone
    from places import Failed, new_home, runnable, unprivileged_user
    from postgres import Postgres

FIRST_ORDER_TIMEOUT_S = 60


class HolderGone(Exception):
    """Nobody wants the server any more."""


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    holder = Holder()
    try:
        order = json.loads(holder.order(FIRST_ORDER_TIMEOUT_S) or "{}")
        user = unprivileged_user()
        with new_home(user) as home:
            binaries = runnable(Path(order["install"]), user) / "bin"
            _serve(holder, Postgres(binaries, home, user), order["password"])
    except HolderGone:
        pass
    except Failed as failure:
        holder.answer(error=str(failure))
    except Exception:
        holder.answer(error=f"a bug of the sidecar:\n{traceback.format_exc()}")


def _serve(holder: "Holder", postgres: Postgres, password: str) -> None:
    try:
        postgres.initialise(password, holder.must_be_there)
        postgres.start_somewhere(holder.must_be_there)
        holder.answer(port=postgres.port, pid=postgres.pid)
        while True:
            order = holder.order()
            try:
                if order == "interrupt":
                    postgres.quit()
                    holder.answer()
                elif order == "restart":
                    postgres.start(holder.must_be_there)
                    holder.answer(pid=postgres.pid)
                elif order is not None:
                    holder.answer(error=f"unknown order {order!r}: not interrupt or restart")
            except Failed as failure:
                holder.answer(error=str(failure))
    finally:
        postgres.quit()


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


class Holder:
    """Whoever wants the server: orders come on standard input, answers leave on output.

    A fork of the holder may keep the pipe open after the holder's death, so where the system can
    tell of that death (Linux: a pidfd) it is listened for, too.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._unread = b""
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                self._selector.register(os.pidfd_open(os.getppid()), selectors.EVENT_READ)

    def order(self, timeout_s: float | None = None) -> str | None:
        """The next line, or None when there is none yet. Raises HolderGone."""
        for key, _ in self._selector.select(timeout_s):
            text = os.read(0, 1 << 16) if key.fd == 0 else b""
            if not text:
                raise HolderGone
            self._unread += text
        line, newline, rest = self._unread.partition(b"\n")
        if not newline:
            return None
        self._unread = rest
        return line.decode()

    def must_be_there(self, wait_s: float) -> None:
        """Waits that long; raises HolderGone as soon as the holder is. It waits for an answer
        meanwhile, so it orders nothing."""
        order = self.order(wait_s)
        assert order is None, order

    def answer(self, **answer: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # the next order() tells of it
            os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
