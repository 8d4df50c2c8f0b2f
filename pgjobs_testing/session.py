"""What holds for a whole test session: its settings, and where its stores come from."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pgjobs_testing.settings import Settings

if TYPE_CHECKING:
    import pytest

    from pgjobs_testing.arrival import Arrival
    from pgjobs_testing.capture import Capture
    from pgjobs_testing.servers import Choice
    from pgjobs_testing.servers.supply import Desk, Supply
    from pgjobs_testing.stores import MemorySource, PostgresSource, StoreSource

MARK = "PGJOBS_CAPTURED_BY"
"""``pgjobs.guard.ENVIRONMENT_MARK``, for which pgjobs need not be imported."""


@dataclass
class Session:
    """One run of pytest with the plugin on. ``outside`` serves what runs outside of every test.

    ``worker`` and ``desk_address`` are set in a worker of xdist: its id, and where its controller
    answers. Nothing of pgjobs is imported here before the project does so, which ``arrival`` tells.
    """

    settings: Settings
    option: str
    image: str | None
    postgres: PostgresSource | None = None
    outside: Capture | None = None
    worker: str | None = None
    desk_address: str | None = None
    arrival: Arrival | None = None
    block: Capture | None = None
    """Of the ``harness()`` that ended last in this test, and in which something happened."""
    _noted: bool = False
    _desk: Desk | None = None
    _item: pytest.Item | None = None
    _ending: ExitStack = field(default_factory=ExitStack)
    _wider: list[ExitStack] = field(default_factory=list)

    def awake(self) -> None:
        """pgjobs is there: capture it, for the test that runs and the wider fixtures that begin."""
        from pgjobs_testing import isolation

        self.outside = isolation.begin(self.settings, self.memory)
        if self._item is not None:
            self._ending = isolation.isolate(self._item, self.settings, self.source)
        for ending in self._wider:
            self._beneath(ending)

    @contextmanager
    def test(self, item: pytest.Item) -> Iterator[None]:
        """Within the block this test runs."""
        before = self._item, self._ending
        self._item, self._ending, self.block = item, ExitStack(), None
        if self.outside is not None:
            from pgjobs_testing import forgotten, isolation

            self._note_threads(None)
            self._ending = isolation.isolate(item, self.settings, self.source)
            self._ending.enter_context(forgotten.lines_known())
        try:
            yield
        finally:
            ending = self._ending
            self._item, self._ending = before
            self.block = None
            try:
                ending.close()
            finally:
                if self.outside is not None:
                    self._note_threads(item.nodeid)

    def _note_threads(self, nodeid: str | None) -> None:
        """Those that are new at its end are this test's; those of before the first are nobody's."""
        from pgjobs_testing import births

        if nodeid is None and self._noted:
            return
        births.note(nodeid if self._noted else None)
        self._noted = True

    def beneath_tests(self, ending: ExitStack) -> Callable[[], int]:
        """Let what happens until ``ending`` be no test's; what is returned counts what happened outside."""
        self._wider.append(ending)
        ending.callback(self._wider.remove, ending)
        if self.outside is not None:
            self._beneath(ending)
        return lambda: 0 if self.outside is None else self.outside.told()

    def _beneath(self, ending: ExitStack) -> None:
        from pgjobs_testing import capture as captures

        top = captures.current()
        if self.outside is not None and top is not None and top.mode != "live":
            ending.enter_context(captures.beneath(self.outside))

    @cached_property
    def memory(self) -> MemorySource:
        """New memory stores."""
        from pgjobs_testing.stores import MemorySource

        return MemorySource()

    def source(self, mode: str) -> StoreSource:
        """Where a test in ``mode`` gets its store."""
        return self.on_server if mode == "postgres" else self.memory

    @property
    def on_server(self) -> PostgresSource:
        """The databases of this process, on the session's server."""
        if self.postgres is None:
            import pgjobs  # noqa: F401 - it arrives, and is captured, before the stores are imported
            from pgjobs_testing.stores import PostgresSource

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
        """Capture nothing any more, and stop the server, if one was started."""
        if self.arrival is not None:
            self.arrival.close()
        if self.outside is not None:
            from pgjobs_testing import capture as captures

            captures.pop(self.outside)
            self.outside = None
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


def block_ended(capture: Capture) -> None:
    """Remember a block of ``harness()`` for the report of the test, should it fail."""
    if _session is not None and capture.told():
        _session.block = capture
