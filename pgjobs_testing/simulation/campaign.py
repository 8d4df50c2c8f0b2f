"""Which seeds a campaign plays, in which order it tells of them, and what it says of them all.

Seeds are handed out in their order and may end in any; they are told in their order, so that the
digest, the alarms and where a campaign stops are the same however many processes played it. How far
the fastest may be ahead of the slowest is bounded, by ``AHEAD`` seeds for each process.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from pgjobs_testing.simulation.playing import STANDARD
from pgjobs_testing.simulation.processes import Crew
from pgjobs_testing.simulation.verdict import FAULTS, Options, Verdict

AHEAD = 32
"""Seeds that are handed out and not yet told, for each that is played at the same time."""

BEAT_S = 0.5
"""How often whoever shows the progress hears of it, in seconds of real time."""

ENOUGH = 300
"""Seeds of the standard world in which every expected mark must have fired."""

INVARIANTS = "pgjobs_testing.invariants"
"""Where the marks of the standard world are named."""


class Campaign:
    """Seeds that a crew plays: till they are all played, ``over()``, or there are ``most`` alarms."""

    def __init__(
        self,
        seeds: Iterable[int],
        crew: Crew,
        over: Callable[[], bool] = lambda: False,
        most: int | None = None,
    ) -> None:
        self._upcoming, self._crew, self._over, self._most = iter(seeds), crew, over, most
        self._out: dict[int, Verdict | None] = {}
        self.summary = Summary()

    def told(self) -> Iterator[list[Verdict]]:
        """Verdicts in the order of their seeds, as they come; an empty list where ``BEAT_S`` passed.

        ``summary`` has them when they are told. ``CampaignError`` where no seed can be played.
        """
        while True:
            self._hand_out()
            if not self._out:
                return
            for verdict in self._crew.ended(BEAT_S):
                self._out[verdict.seed] = verdict
            yield list(self._next())
            if self.full:
                return

    @property
    def full(self) -> bool:
        """Whether there are as many alarms as there may be."""
        return self._most is not None and len(self.summary.alarms) >= self._most

    @property
    def ahead(self) -> list[Verdict]:
        """What has ended and is not told, since a seed before it has not ended."""
        return [verdict for verdict in self._out.values() if verdict is not None]

    def _hand_out(self) -> None:
        while self._crew.room > 0 and len(self._out) < AHEAD * self._crew.size and not self._over():
            seed = next(self._upcoming, None)
            if seed is None:
                return
            self._out[seed] = None
            self._crew.take(seed)

    def _next(self) -> Iterator[Verdict]:
        while self._out and not self.full:
            seed, verdict = next(iter(self._out.items()))
            if verdict is None:
                return
            del self._out[seed]
            self.summary.add(verdict)
            yield verdict


@dataclass(slots=True)
class Summary:
    """What is said of the seeds that were told: how many, how long, which marks, and the digest of all."""

    played: int = 0
    first: int | None = None
    last: int | None = None
    events: int = 0
    virtual_s: float = 0.0
    marks: Counter[str] = field(default_factory=Counter)
    alarms: list[Verdict] = field(default_factory=list)
    silent: tuple[str, ...] = ()
    _hash: Any = field(default_factory=lambda: blake2b(digest_size=16), repr=False)

    def add(self, verdict: Verdict) -> None:
        """The next seed's."""
        self.played += 1
        self.first = verdict.seed if self.first is None else self.first
        self.last = verdict.seed
        self.events += verdict.events
        self.virtual_s += verdict.virtual_s
        for mark, count in verdict.marks:
            self.marks[mark] += count
        if not verdict.held:
            self.alarms.append(verdict)
        self._hash.update(f"{verdict.seed} {verdict.digest}\n".encode())

    @property
    def digest(self) -> str:
        """Of the traces of all seeds told, in their order."""
        digest: str = self._hash.hexdigest()
        return digest

    @property
    def held(self) -> bool:
        """Whether there was no alarm, and no expected mark was silent."""
        return not self.alarms and not self.silent

    def judge_marks(self, options: Options, expected: Iterable[str]) -> None:
        """Name the marks that must have fired in so large a campaign, and have not."""
        if large(options, self.played):
            self.silent = tuple(mark for mark in expected if mark not in self.marks)


def large(options: Options, played: int) -> bool:
    """Whether a campaign must have seen every mark.

    At least ``ENOUGH`` seeds, every fault, and no fewer nodes, jobs and hours than the standard world has.
    """
    standard = Options()
    return (
        played >= ENOUGH
        and set(options.faults) >= set(FAULTS)
        and options.nodes >= standard.nodes
        and options.jobs >= standard.jobs
        and options.hours >= standard.hours
    )


def expected_marks(world: str) -> tuple[str, ...]:
    """The marks of a world: ``EXPECTED_MARKS`` of its module, none where it has none."""
    module = INVARIANTS if world == STANDARD else world.partition(":")[0]
    return tuple(getattr(importlib.import_module(module), "EXPECTED_MARKS", ()))
