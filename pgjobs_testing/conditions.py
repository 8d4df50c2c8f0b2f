"""Decides what all databases of one test have in common: clock, chance, mode and loops, and which of the
application's instances are on which of them.

The engines of a test know its conditions, and these know no engine. So nothing of a small test holds
itself, and it is gone with its last user, without work for the garbage collector.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta

from pgjobs import runtime
from pgjobs.adapters.system import SystemClock
from pgjobs.app import PgJobs
from pgjobs.plugins import ONCE, Plugin
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.options import Queue
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.executor import Loops
from pgjobs_testing.frozen import SharedClock
from pgjobs_testing.settings import Settings, check_mode


class Conditions:
    """Under which conditions the engines of one test work."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock: VirtualClock = SharedClock(settings.start or _next_second())
        self.rng = SeededRng(settings.seed)
        self.loops = Loops(self.clock)
        self._loops_of_threads: dict[int, Loops] = {}
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._blocks: list[list[str]] = []
        self.mode = settings.mode
        """The mode of the block that was entered last, in whichever thread; else the test's."""

    @contextmanager
    def switched(self, mode: str) -> Iterator[None]:
        """Another mode inside a block: who runs jobs, not where they are stored."""
        check_mode(mode)
        before = self.mode
        if before != mode and (
            "live" in (before, mode) or mode == "postgres" != self.settings.mode
        ):
            raise ConfigurationError(
                f"mode {before!r} cannot become {mode!r} within a test: a block can be manual or "
                "inline; for another store use the marker @pytest.mark.pgjobs(mode=...)"
            )
        block = [mode]  # a list of its own: threads may leave their blocks in any order
        with self._lock:
            self._blocks.append(block)
            self.mode = mode
        try:
            yield
        finally:
            with self._lock:
                self._blocks = [each for each in self._blocks if each is not block]
                self.mode = self._blocks[-1][0] if self._blocks else self.settings.mode

    def loops_here(self) -> Loops:
        """Where this thread runs async workers by hand: the test's loop in its own thread."""
        here = threading.get_ident()
        if here == self._thread:
            return self.loops
        return self._loops_of_threads.setdefault(here, Loops(self.clock))

    def served(self, database: object) -> Mapping[str, Queue] | None:
        """The queues that the application's instances on ``database`` serve; None where none is named."""
        if self.settings.queues is not None:
            return self.settings.queues
        served: dict[str, Queue] = {}
        for app in applications():
            if app.database == database:
                served |= app.queues
        return served or None

    def plugins(self, database: object) -> tuple[Plugin, ...]:
        """What the leaders of these instances do: each plugin once, in order."""
        if self.settings.plugins is not None:
            return self.settings.plugins
        found: list[Plugin] = []
        for app in applications():
            if app.database == database:
                kinds = [type(plugin) for plugin in found]
                found += [p for p in app.plugins if not (type(p) in ONCE and type(p) in kinds)]
        return tuple(found)

    def close(self) -> None:
        """End what still runs on the loops: all of it, whatever fails."""
        if not self._loops_of_threads:
            self.loops.close()
            return
        with ExitStack() as ending:
            for loops in (*self._loops_of_threads.values(), self.loops):
                ending.callback(loops.close)


def applications(first: int = 0) -> list[PgJobs]:
    """The application's instances (from the one numbered ``first`` on): all that would open a database."""
    return [app for app in runtime.instances(first) if app.opens_database]


_REAL_TIME = SystemClock()


def _next_second() -> datetime:
    """Real time, rounded up to the next second."""
    now = _REAL_TIME.now()
    return now + timedelta(microseconds=1_000_000 - now.microsecond) if now.microsecond else now
