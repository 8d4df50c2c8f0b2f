"""Who plays the seeds of a campaign on this machine: this process itself, or processes of its own.

A process that dies, killed for its memory or by a signal, costs no seed: another takes its place and
plays the seed again. A seed whose process dies ``TRIES`` times, or that takes longer than the limit, is
named in an alarm, and the others go on.

    controller  a seed                              or the end of the line: there is none left
    process     READY, then a Verdict for each seed, or Refused
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Protocol

from pgjobs.ports import Clock
from pgjobs.rules.errors import PgJobsError
from pgjobs_testing.simulation.interrupts import HEARD
from pgjobs_testing.simulation.playing import CampaignError, Player, Setup, hush, unplayed
from pgjobs_testing.simulation.verdict import Verdict

TRIES = 2
"""How often a seed is played whose process dies."""

STARTS = 3
"""How often in a row a process may die before it is ready, until the campaign is given up."""

LIMIT_S = 600.0
"""How long one seed may be played, in real time, before its process is killed and the seed is named."""

END_S = 5.0
"""How long an idle process has to close its connections at the end."""


class Crew(Protocol):
    """Who plays seeds."""

    @property
    def size(self) -> int:
        """How many seeds are played at the same time."""
        ...

    @property
    def room(self) -> int:
        """How many seeds could be taken now without waiting for others."""
        ...

    def take(self, seed: int) -> None:
        """Play this seed; only where there is room."""
        ...

    def ended(self, timeout_s: float) -> list[Verdict]:
        """Wait until a seed has ended, or for so long, and say what became of those that have.

        ``CampaignError`` where none can be played at all.
        """
        ...

    def close(self) -> None:
        """Stop, whatever is under way."""
        ...


class Alone:
    """This process plays every seed: nothing is started, and a debugger stops in the world."""

    size = 1

    def __init__(self, player: Player) -> None:
        self._player = player
        self._taken: int | None = None

    @property
    def room(self) -> int:
        return 1 if self._taken is None else 0

    def take(self, seed: int) -> None:
        self._taken = seed

    def ended(self, timeout_s: float) -> list[Verdict]:
        """Play the seed, however long it takes."""
        seed, self._taken = self._taken, None
        return [] if seed is None else [self._player.play(seed)]

    def close(self) -> None:
        self._player.close()


class Processes:
    """``count`` processes of this machine; ``prefix`` tells their databases from those of others."""

    def __init__(
        self, setup: Setup, count: int, clock: Clock, *, prefix: str = "s", limit_s: float = LIMIT_S
    ) -> None:
        self.size = count
        self._setup, self._clock, self._limit_s = setup, clock, limit_s
        self._waiting: deque[int] = deque()
        self._deaths: dict[int, int] = {}
        self._early_deaths = 0
        self._places = [_Place(f"{prefix}{n}") for n in range(count)]

    @property
    def room(self) -> int:
        busy = sum(place.seed is not None for place in self._places)
        return self.size - busy - len(self._waiting)

    def take(self, seed: int) -> None:
        self._waiting.append(seed)

    def ended(self, timeout_s: float) -> list[Verdict]:
        self._hand_out()
        by_end = {place.end: place for place in self._places if place.end is not None}
        heard = wait(list(by_end), timeout_s)
        told: list[Verdict] = []
        for end, place in by_end.items():
            if end in heard:
                told += self._hear(place, end)
            elif place.seed is not None and self._clock.monotonic() > place.until:
                told.append(self._overdue(place, place.seed))
        self._hand_out()
        return told

    def close(self) -> None:
        for place in self._places:
            if place.end is not None:
                place.end.close()
                if place.seed is not None or not place.ready:
                    place.process.kill()
        for place in self._places:
            if place.end is not None:
                place.end = None
                place.process.join(END_S)
                place.process.kill()
                place.process.join()

    def _hand_out(self) -> None:
        """Give waiting seeds to who is ready, and start processes while there are more seeds than these."""
        starting = 0
        for place in self._places:
            if not self._waiting:
                return
            if place.ready and place.seed is None:
                self._hand(place)
            elif not place.ready and starting < len(self._waiting):
                starting += 1
                if place.end is None:
                    place.start(self._setup)

    def _hand(self, place: _Place) -> None:
        assert place.end is not None
        seed = self._waiting.popleft()
        try:
            place.end.send(seed)
        except OSError:  # it died idle, and is heard of as dead
            self._waiting.appendleft(seed)
            place.ready = False
            return
        place.seed, place.until = seed, self._clock.monotonic() + self._limit_s

    def _hear(self, place: _Place, end: Connection) -> Iterable[Verdict]:
        try:
            told = end.recv()
        except (EOFError, OSError):
            return self._died(place)
        if isinstance(told, Refused):
            raise CampaignError(told.why)
        if isinstance(told, Verdict):
            place.seed = None
            self._deaths.pop(told.seed, None)
            return [told]
        place.ready, self._early_deaths = True, 0
        return []

    def _died(self, place: _Place) -> list[Verdict]:
        seed, ready = place.seed, place.ready
        how = place.bury()
        if seed is None:
            if not ready:
                self._early_deaths += 1
                if self._early_deaths >= STARTS:
                    raise CampaignError(
                        f"{STARTS} processes in a row ended before they could play a seed; the last "
                        f"one {how}. Look what is different in a process: --processes 0 plays in this one"
                    )
            return []
        self._deaths[seed] = self._deaths.get(seed, 0) + 1
        if self._deaths[seed] < TRIES:
            self._waiting.appendleft(seed)
            return []
        del self._deaths[seed]
        return [unplayed(seed, f"its process {how}, {TRIES} times out of {TRIES}")]

    def _overdue(self, place: _Place, seed: int) -> Verdict:
        place.process.kill()
        place.bury()
        return unplayed(seed, f"it was still played after {self._limit_s:g} s of real time")


@dataclass(slots=True)
class Refused:
    """A process says that it can play nothing, and why."""

    why: str


READY = "ready"


class _Place:
    """Where one process after another plays: each takes over its name, and so its database's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.end: Connection | None = None
        self.ready = False
        self.seed: int | None = None
        self.until = 0.0

    def start(self, setup: Setup) -> None:
        spawn = get_context("spawn")  # a fork would copy the threads' locks of a controller
        self.end, there = spawn.Pipe()
        self.process = spawn.Process(
            target=serve, args=(there, setup, self.name), name=f"pgjobs-{self.name}", daemon=True
        )
        resource_tracker.ensure_running()  # its start would let the signal through again
        with _uninterrupted():  # inherited: Ctrl-C and SIGTERM are the controller's to hear
            self.process.start()
        there.close()  # so that its death ends the line

    def bury(self) -> str:
        """Forget a process that has died; say how it did."""
        assert self.end is not None
        self.end.close()
        self.end, self.ready, self.seed = None, False, None
        self.process.join()
        code = self.process.exitcode or 0
        return f"exited with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def serve(line: Connection, setup: Setup, name: str) -> None:
    """What a process does: play what it is given, till the line ends."""
    from pgjobs_testing.closed import databases_closed

    threading.Thread(target=_end_with_the_controller, daemon=True).start()
    hush()
    with databases_closed():
        try:
            player = Player(setup, name)
        except Exception as error:
            line.send(Refused(str(error) if _speaks(error) else f"{type(error).__name__}: {error}"))
            return
        line.send(READY)
        try:
            while True:
                line.send(player.play(line.recv()))
        except (EOFError, OSError):  # the controller has closed the line
            player.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """This thread hears of an interrupt after the block; a process that it starts in it never does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_the_controller() -> None:
    """A seed that never ends does not outlive a controller that was killed."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _speaks(error: Exception) -> bool:
    from pgjobs_testing.servers import ServerError

    return isinstance(error, (PgJobsError, ServerError))
