"""What holds for a whole test session: its settings, and where its stores come from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pgjobs_testing.capture import Capture
from pgjobs_testing.settings import Settings
from pgjobs_testing.stores import MemorySource, PostgresSource, StoreSource

if TYPE_CHECKING:
    from pgjobs_testing.servers import Choice
    from pgjobs_testing.servers.supply import Desk, Supply


@dataclass
class Session:
    """One run of pytest with the plugin on. ``outside`` serves what runs outside of every test.

    ``worker`` and ``desk_address`` are set in a worker of xdist: its id, and where its controller
    answers.
    """

    settings: Settings
    option: str
    image: str | None
    memory: MemorySource = field(default_factory=MemorySource)
    postgres: PostgresSource | None = None
    outside: Capture | None = None
    worker: str | None = None
    desk_address: str | None = None
    _desk: Desk | None = None

    def source(self, mode: str) -> StoreSource:
        """Where a test in ``mode`` gets its store."""
        if mode != "postgres":
            return self.memory
        if self.postgres is None:
            prefix = "" if self.worker is None else f"{worker_name(self.worker)}_"
            self.postgres = PostgresSource(self.supply, prefix)
        return self.postgres

    @cached_property
    def choice(self) -> Choice:
        """The server that ``--pgjobs-postgres`` means."""
        from pgjobs_testing.servers import choose

        return choose(self.option, self.image, os.environ)

    @cached_property
    def supply(self) -> Supply:
        """Where databases come from: the controller of xdist, or a server of this process."""
        from pgjobs_testing.servers.supply import OwnServer, SharedServer

        own = OwnServer(lambda: self.choice)
        return own if self.desk_address is None else SharedServer(self.desk_address, own)

    def address(self) -> str | None:
        """Where workers of xdist ask this process, their controller, for databases.

        None where no port can be had: then each worker has a server of its own.
        """
        if self._desk is None:
            from pgjobs_testing.servers.supply import Desk

            try:
                self._desk = Desk(self.supply)
            except OSError:
                return None
        return self._desk.address

    def close(self) -> None:
        """Stop the server, if one was started."""
        if self._desk is not None:
            self._desk.close()
        if self.postgres is not None:
            self.postgres.close()
        elif "supply" in self.__dict__:
            self.supply.close()


def worker_name(worker: str) -> str:
    """A worker's id of xdist, as the name of a database may have it."""
    return re.sub(r"[^a-z0-9]", "", worker.lower())[:12]


_session: Session | None = None


def begin(session: Session | None) -> None:
    """From now on this is the session; None ends it."""
    global _session  # noqa: PLW0603 - one session a process
    _session = session


def present() -> Session:
    """The session; only where the plugin is on."""
    assert _session is not None, "the plugin is not on"
    return _session


def settings() -> Settings | None:
    """The session's settings; None where the plugin is not on."""
    return None if _session is None else _session.settings


def source(mode: str) -> StoreSource | None:
    """Where a store for ``mode`` comes from; None where the plugin is not on."""
    return None if _session is None else _session.source(mode)
