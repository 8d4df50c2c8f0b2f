"""How a test takes the place of production: one clock, and an engine for each database in use.

A ``Capture`` lives for one test (or one ``with harness():``). While it is on top, every ``PgJobs``
that would open a database works on its engines instead, whenever and in whichever thread it was
made. Outside every test a capture of its own serves what runs at import or in wider fixtures.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pgjobs import guard, runtime
from pgjobs.app import PgJobs
from pgjobs.ports import Clock
from pgjobs.rules.errors import CapturedStoreError, ConfigurationError, nearest
from pgjobs.runtime import Runtime
from pgjobs_testing.conditions import Conditions, applications
from pgjobs_testing.engine import Engine
from pgjobs_testing.forgotten import Forgotten
from pgjobs_testing.freezing import freeze
from pgjobs_testing.settings import Settings, shown_start
from pgjobs_testing.stores import StoreSource, own_databases

ON_A_SERVER = (
    'in mode="postgres" the test\'s own database alone is open: connect to jobs.store.postgres.dsn, or '
    f"{guard.LIVE}"
)


class Capture:
    """What stands in for production during one test."""

    def __init__(self, settings: Settings, source: StoreSource) -> None:
        self.conditions = Conditions(settings)
        self.settings, self.clock = settings, self.conditions.clock
        self._lock = threading.RLock()
        self.process = os.getpid()
        self._source = source
        self._began = self.clock.now()
        self._unfreeze: Callable[[], None] | None = None
        self._engines: dict[object, Engine] = {}
        self._numbers: list[int] = []
        self._used: dict[object, str] = {}
        self._first = runtime.next_number()
        self._runtimes: dict[Engine, Runtime] = {}
        self._found: dict[str | None, tuple[int, Engine]] = {}
        self._stands_for: dict[str | None, Engine] = {}  # whatever becomes of the instance
        self.around = _stack[-1] if _stack else None
        self.forgotten: list[Forgotten] | None = []
        """Calls that nobody awaited; None where nobody asks for them."""

    @property
    def mode(self) -> str:
        """The mode of the block that was entered last, in whichever thread; else the test's."""
        return self.conditions.mode

    @property
    def remedy(self) -> str:
        """What is told to who opens a database."""
        return ON_A_SERVER if self.conditions.settings.mode == "postgres" else guard.REMEDY

    @property
    def repeated_by(self) -> str:
        """The options of pytest under which this test does the same again."""
        return f"--pgjobs-seed {self.settings.seed} --pgjobs-start {shown_start(self._began)}"

    def runtime_of(self, app: PgJobs) -> Runtime | None:
        """The runtime of an application's instance; None in live mode, where nothing is captured."""
        if self.conditions.mode == "live":
            return None
        self.refuse_fork()
        database = app.database
        with self._lock:
            self._used.setdefault(database, app.name)
        return self.runtime(self._engine(database))

    def runtime(self, engine: Engine) -> Runtime:
        """What an instance on an engine of this capture runs against; kept here, as it holds the engine."""
        found = self._runtimes.get(engine)
        if found is None:
            found = self._runtimes[engine] = engine.runtime()
        return found

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
        found = self._found.get(name)
        if found is not None and found[0] == len(self._used):  # what is used is never left again
            return found[1]
        wanted = "default" if name is None else name
        with self._lock:
            for database, used_by in reversed(self._used.items()):
                if used_by == wanted:
                    many, engine = len(self._used), self._engine(database)
                    self._found[name] = many, engine
                    return engine
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

    @property
    def several(self) -> bool:
        """Whether more than one engine was used."""
        return len(self._engines) > 1

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
        try:
            self.conditions.close()
        finally:
            if self._unfreeze is not None:
                self._unfreeze()

    def _engine(self, database: object) -> Engine:
        with self._lock:
            found = self._engines.get(database)
            if found is None and database is not None and None in self._engines:
                found = self._engines[database] = self._engines.pop(None)
                found.database = database
            if found is None:
                found = Engine(self.conditions, self._source.store(self._number()), database)
                if self._engines:  # the times of all databases have one beginning
                    found.recorder.start = self.engines()[0].recorder.start
                self._engines[database] = found
            return found

    def _number(self) -> int:
        """Of a database that neither this capture uses nor one around it."""
        used = [*self._numbers]
        for each in _stack:
            if each._source is self._source:
                used += each._numbers
        number = 0
        while number in used:
            number += 1
        self._numbers.append(number)
        return number


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


def _runtime_of(app: PgJobs) -> Runtime | None:
    return _stack[-1].runtime_of(app) if _stack else None


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
