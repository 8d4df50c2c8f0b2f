"""The fixture ``campaign``: seeds of a simulated world as one test, which fails with their alarms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.system import SystemClock
from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.schedule import duration
from pgjobs.rules.signatures import checks_method
from pgjobs_testing.session import Session, worker_name
from pgjobs_testing.simulation.asked import check_processes, options_of, seed_of
from pgjobs_testing.simulation.campaign import Campaign, Summary, expected_marks
from pgjobs_testing.simulation.playing import (
    STANDARD,
    Player,
    Setup,
    World,
    check_world,
    imported,
    named,
)
from pgjobs_testing.simulation.processes import Alone, Crew, Processes
from pgjobs_testing.simulation.showing import alarm_of, sum_of
from pgjobs_testing.stores import StoreSource

APART = 1_000
"""The databases of a test's own instances have lower numbers."""

MOST_ALARMS = 10


@dataclass(frozen=True, slots=True, repr=False)
class Campaigns:
    """Plays campaigns for one test. ``first`` is its first seed, ``seeds`` how many it has by default."""

    session: Session
    first: int
    seeds: int
    store: str
    directory: Callable[[], Path]

    def __repr__(self) -> str:
        return f"<campaign of {self.seeds} seeds from {self.first} on>"

    @checks_method("campaign")
    def __call__(
        self,
        seeds: int | Iterable[int] | None = None,
        *,
        nodes: int = 3,
        jobs: int = 200,
        hours: float = 1,
        faults: str | Iterable[str] = "all",
        store: str | None = None,
        world: World | str = STANDARD,
        processes: int = 0,
        time: float | timedelta | None = None,
    ) -> Summary:
        """Play ``seeds`` (a number of them, from that of the test on, or the seeds themselves) of ``world``.

        ``nodes``, ``jobs``, virtual ``hours``, ``faults`` and ``store`` are as the options of
        ``pgjobs-testing simulate``; a test in mode ``postgres`` plays there. With ``time``, in seconds,
        seeds are played upward for so long. ``processes`` above 0 are started; there ``world`` must be
        importable.
        Returns the sum of what was seen. ``AssertionError`` with every alarm, at most ``MOST_ALARMS``, or
        where a large campaign never saw a mark that it must; the smallest scenario of each alarm is in the
        test's ``tmp_path``.
        """
        __tracebackhide__ = True
        options = options_of(nodes, jobs, hours, faults, store or self.store)
        check_processes(processes)
        if not isinstance(world, str) and not callable(world):
            raise ConfigurationError(
                f"found the world {shown(world)}; expected a function, or its name as module:function"
            )
        if isinstance(world, str):
            imported(world)
        else:
            check_world(world, _name(world))
        setup = Setup(options, _name(world), self.session.option, self.session.image)
        clock = SystemClock()
        until = None if time is None else clock.monotonic() + _lasting(time)
        with self._crew(setup, world, processes) as crew:
            campaign = Campaign(
                self._chosen(seeds, endless=until is not None),
                crew,
                lambda: until is not None and clock.monotonic() >= until,
                MOST_ALARMS,
            )
            for _ in campaign.told():
                pass
        summary = campaign.summary
        summary.judge_marks(options, _expected(world))
        if not summary.held:
            told = [alarm_of(verdict, setup, self.directory()) for verdict in summary.alarms]
            raise AssertionError("\n".join([*told, *sum_of(summary, setup)]))
        return summary

    def _chosen(self, seeds: int | Iterable[int] | None, *, endless: bool) -> Iterable[int]:
        if seeds is None:
            return count(self.first) if endless else range(self.first, self.first + self.seeds)
        if isinstance(seeds, int):
            if isinstance(seeds, bool) or seeds < 1:
                raise ConfigurationError(f"found {seeds!r} seeds; expected one, at least")
            return range(self.first, self.first + seeds)
        if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
            raise ConfigurationError(
                f"found the seeds {shown(seeds)}; expected a number of them, or the seeds"
            )
        return _some(map(seed_of, seeds))

    @contextmanager
    def _crew(self, setup: Setup, world: World | str, processes: int) -> Iterator[Crew]:
        crew: Crew
        if processes == 0:
            postgres = None if setup.options.store == "memory" else _Apart(self.session)
            own = None if isinstance(world, str) else world
            crew = Alone(Player(setup, "unused", world=own, postgres=postgres))
        else:
            from dataclasses import replace

            named(world)
            desk = None
            if setup.options.store != "memory":
                desk = self.session.desk_address or self.session.address()
            prefix = "" if self.session.worker is None else worker_name(self.session.worker)
            crew = Processes(
                replace(setup, desk=desk), processes, SystemClock(), prefix=f"{prefix}s"
            )
        try:
            yield crew
        finally:
            crew.close()


def _lasting(time: float | timedelta) -> float:
    """The seconds that seeds are played for."""
    seconds = duration(time, "time").total_seconds()
    if not seconds:
        raise ConfigurationError(f"time is {shown(time)}; expected more than 0 s")
    return seconds


def _some(seeds: Iterator[int]) -> Iterator[int]:
    """The seeds; ``ConfigurationError`` where there are none: a test that plays nothing shows nothing."""
    first = next(seeds, None)
    if first is None:
        raise ConfigurationError("found no seeds; expected one, at least")
    yield first
    yield from seeds


class _Apart:
    """The session's server, with a database that no test's own instance has."""

    def __init__(self, session: Session) -> None:
        self._source: StoreSource = session.source("postgres")

    def store(self, n: int) -> LocalStore:
        return self._source.store(APART + n)


def _name(world: World | str) -> str:
    """As an alarm names it; whether other processes can import it is asked when there are any."""
    if isinstance(world, str):
        return world
    return f"{world.__module__}:{getattr(world, '__qualname__', repr(world))}"


def _expected(world: World | str) -> Iterable[str]:
    if isinstance(world, str):
        return expected_marks(world)
    return tuple(getattr(sys.modules.get(world.__module__), "EXPECTED_MARKS", ()))
