"""How a test takes the place of production: one clock, and an engine for each database in use.

A ``Capture`` lives for one test (or one ``with harness():``). While it is on top, every ``PgJobs``
that would open a database works on its engines instead, whenever and in whichever thread it was
made. Outside every test a capture of its own serves what runs at import or in wider fixtures.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta

from pgjobs import guard, runtime
from pgjobs.adapters.system import SystemClock
from pgjobs.app import PgJobs
from pgjobs.plugins import ONCE, Plugin
from pgjobs.ports import Clock
from pgjobs.rules.errors import CapturedStoreError, ConfigurationError, nearest
from pgjobs.rules.options import Queue
from pgjobs.runtime import Runtime
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.engine import Engine
from pgjobs_testing.executor import Loops
from pgjobs_testing.freezing import freeze
from pgjobs_testing.frozen import SharedClock
from pgjobs_testing.settings import Settings, check_mode, shown_start
from pgjobs_testing.stores import StoreSource, own_databases


class Capture:
    """What stands in for production during one test. ``remedy`` is told to who opens a database."""

    remedy = guard.REMEDY

    def __init__(self, settings: Settings, source: StoreSource) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._blocks: list[list[str]] = []
        self.process = os.getpid()
        self._source = source
        self.clock: VirtualClock = SharedClock(settings.start or _next_second())
        self._began = self.clock.now()
        self.rng = SeededRng(settings.seed)
        self.loops = Loops(self.clock)
        self._unfreeze: Callable[[], None] | None = None
        self._thread = threading.get_ident()
        self._loops_of_threads: dict[int, Loops] = {}
        self._engines: dict[object, Engine] = {}
        self._numbers: list[int] = []
        self._used: dict[object, str] = {}
        self._first = runtime.next_number()
        self._stands_for: dict[str | None, Engine] = {}  # whatever becomes of the instance

    @property
    def mode(self) -> str:
        """The mode of the block that was entered last, in whichever thread; else the test's."""
        blocks = self._blocks
        return blocks[-1][0] if blocks else self.settings.mode

    @property
    def repeated_by(self) -> str:
        """The options of pytest under which this test does the same again."""
        return f"--pgjobs-seed {self.settings.seed} --pgjobs-start {shown_start(self._began)}"

    def loops_here(self) -> Loops:
        """Where this thread runs async workers by hand: the test's loop in its own thread."""
        here = threading.get_ident()
        if here == self._thread:
            return self.loops
        return self._loops_of_threads.setdefault(here, Loops(self.clock))

    def runtime_of(self, app: PgJobs) -> Runtime | None:
        """The runtime of an application's instance; None in live mode, where nothing is captured."""
        if self.mode == "live":
            return None
        self.refuse_fork()
        with self._lock:
            self._used.setdefault(app.database, app.name)
        return self._engine(app.database).runtime()

    def refuse_fork(self) -> None:
        """``CapturedStoreError`` in a process that was forked from the test's."""
        if os.getpid() != self.process:
            raise CapturedStoreError(
                f"this process was forked from a test (process {self.process}), which would never "
                "see what happens to jobs here, so the call is refused: insert from the test's own "
                'process, or mark the test with @pytest.mark.pgjobs(mode="live")'
            )

    def engine(self, name: str | None) -> Engine:
        """The engine of the application's instance of that name.

        Without a name: of the only instance, of the one named "default", else one of its own.
        """
        wanted = "default" if name is None else name
        with self._lock:
            for database, used_by in reversed(self._used.items()):
                if used_by == wanted:
                    return self._engine(database)
            used = {name: database for database, name in self._used.items()}
        if name not in self._stands_for:
            self._stands_for[name] = self._meant(name, used)
        return self._stands_for[name]

    def _meant(self, name: str | None, used: dict[str, object]) -> Engine:
        found: dict[str, object] = {}
        for since in (0, *(each._first for each in _stack)):  # the test's own come last, and win
            found |= {app.name: app.database for app in reversed(applications(since))}
        found |= used
        if name is not None:
            if name not in found:
                raise ConfigurationError(
                    f"no PgJobs is named {name!r}{nearest(name, found) if found else ''}"
                )
            return self._engine(found[name])
        if "default" in found:
            return self._engine(found["default"])
        if len(found) == 1:
            return self._engine(next(iter(found.values())))
        return self._engine(None)

    def engines(self) -> list[Engine]:
        """The engines that were used, in order."""
        return list(self._engines.values())

    def told(self) -> int:
        """How many events there were so far."""
        return sum(len(engine.recorder) for engine in self.engines())

    def named_engines(self) -> list[tuple[str | None, Engine]]:
        """The engines, each with the name of the instance that it stands for, if there is one."""
        return [(self._used.get(database), each) for database, each in self._engines.items()]

    def open(self) -> None:
        """Begin: hold the application's time where the test asks for it."""
        if self.settings.freeze:
            self._unfreeze = freeze(self.settings.start or self.clock.now())

    def close(self) -> None:
        """End what still runs, and let the application's time go: all of it, whatever fails."""
        with ExitStack() as ending:
            if self._unfreeze is not None:
                ending.callback(self._unfreeze)
            for loops in (*self._loops_of_threads.values(), self.loops):
                ending.callback(loops.close)

    @contextmanager
    def switched(self, mode: str) -> Iterator[None]:
        """Another mode inside a block."""
        check_mode(mode)
        before = self.mode
        if before != mode and {before, mode} - {"manual", "inline"}:
            raise ConfigurationError(
                f"mode {before!r} cannot become {mode!r} within a test: a block can be manual or "
                "inline; for another store use the marker @pytest.mark.pgjobs(mode=...)"
            )
        block = [mode]  # a list of its own: threads may leave their blocks in any order
        with self._lock:
            self._blocks.append(block)
        try:
            yield
        finally:
            with self._lock:
                self._blocks = [each for each in self._blocks if each is not block]

    def _engine(self, database: object) -> Engine:
        with self._lock:
            found = self._engines.get(database)
            if found is None and database is not None and None in self._engines:
                found = self._engines[database] = self._engines.pop(None)
            if found is None:
                store = self._source.store(self._number())
                found = Engine(
                    self, store, lambda: self._served(found), lambda: self._plugins(found)
                )
                for first in self.engines()[:1]:  # the times of all databases have one beginning
                    found.recorder.start = first.recorder.start
                self._engines[database] = found
            return found

    def _number(self) -> int:
        """Of a database that neither this capture uses nor one around it."""
        used = [n for each in _stack if each._source is self._source for n in each._numbers]
        used += self._numbers
        number = 0
        while number in used:
            number += 1
        self._numbers.append(number)
        return number

    def _served(self, engine: Engine | None) -> Mapping[str, Queue] | None:
        if self.settings.queues is not None:
            return self.settings.queues
        served: dict[str, Queue] = {}
        for app in applications():
            if self._engines.get(app.database) is engine:
                served |= app.queues
        return served or None

    def _plugins(self, engine: Engine | None) -> tuple[Plugin, ...]:
        """What the leaders of the application's instances do: each plugin once, in order."""
        if self.settings.plugins is not None:
            return self.settings.plugins
        found: list[Plugin] = []
        for app in applications():
            if self._engines.get(app.database) is engine:
                kinds = [type(plugin) for plugin in found]
                found += [p for p in app.plugins if not (type(p) in ONCE and type(p) in kinds)]
        return tuple(found)


_REAL_TIME = SystemClock()
_stack: list[Capture] = []


def current() -> Capture | None:
    """The capture on top."""
    return _stack[-1] if _stack else None


def around(capture: Capture) -> list[Capture]:
    """The captures around this one: those of wider fixtures, and of what runs at import."""
    return _stack[: _stack.index(capture)] if capture in _stack else []


def push(capture: Capture) -> None:
    """Let ``capture`` stand in for production from now on."""
    capture.open()
    _stack.append(capture)
    runtime.capture(_runtime_of)
    runtime.capture_clock(_clock)
    guard.install(_guard)


def pop(capture: Capture) -> None:
    """Take a capture away, and close it."""
    _stack.remove(capture)
    if not _stack:
        runtime.capture(None)
        runtime.capture_clock(None)
        guard.install(None)
    capture.close()


@contextmanager
def beneath(capture: Capture) -> Iterator[None]:
    """Let ``capture`` stand in for what happens in the block, over the one that is on top."""
    entry = len(_stack)
    _stack.append(capture)
    try:
        yield
    finally:
        del _stack[entry]


def applications(first: int = 0) -> list[PgJobs]:
    """The application's instances (from the one numbered ``first`` on): all that would open a database."""
    return [app for app in runtime.instances(first) if app.opens_database]


def _runtime_of(app: PgJobs) -> Runtime | None:
    capture = current()
    return None if capture is None else capture.runtime_of(app)


def _guard(dsn: str) -> None:
    capture = current()
    if capture is not None and capture.mode != "live" and dsn not in own_databases:
        raise CapturedStoreError(
            "a test run keeps real databases closed, and this one was about to be opened past "
            f"PgJobs: {capture.remedy}"
        )


def _clock() -> Clock | None:
    capture = current()
    return None if capture is None or capture.mode == "live" else capture.clock


def _next_second() -> datetime:
    """Real time, rounded up to the next second."""
    now = _REAL_TIME.now()
    return now.replace(microsecond=0) + timedelta(seconds=1) if now.microsecond else now
