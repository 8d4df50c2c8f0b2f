"""What is asked of a simulated world, and what is said of it afterwards: values that cross processes."""

from __future__ import annotations

from dataclasses import dataclass

FAULTS: tuple[str, ...] = (
    "crash",
    "restart",
    "stop",
    "suspend",
    "partition",
    "slow",
    "fail",
    "conflict",
    "outage",
    "notifications",
    "skew",
    "drift",
    "depose",
    "operator",
    "control",
    "workers",
    "poison",
    "rolling",
)
"""The faults that a seed draws from, each of which can be left out."""


@dataclass(frozen=True, slots=True)
class Options:
    """The world that each seed of a campaign draws; ``faults`` are some of ``FAULTS``.

    ``tries``: plays that may be spent on making a world smaller that raises an alarm; 0 leaves it as drawn.
    ``twice``: each is played a second time, and stopped at the first draw that differs. Only the standard
    world sees it: another is itself called twice, without it.
    ``traced``: the verdict has the whole trace, where its world gives it.
    """

    nodes: int = 3
    jobs: int = 200
    hours: float = 1.0
    faults: tuple[str, ...] = FAULTS
    store: str = "memory"
    tries: int = 0
    twice: bool = False
    traced: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one seed. ``digest`` is of its whole trace; ``drawn`` are the options that it drew.

    ``marks`` counts what ``sometimes`` must see in a campaign; ``alarm`` is None where nothing is wrong;
    ``scenario`` is the world as a scenario file, where there is an alarm, and ``report`` tells of that file.
    ``trace`` is its text, where that is asked for.
    """

    seed: int
    digest: str
    events: int
    virtual_s: float
    drawn: str
    marks: tuple[tuple[str, int], ...] = ()
    alarm: str | None = None
    scenario: str | None = None
    report: str | None = None
    trace: str | None = None

    @property
    def held(self) -> bool:
        """Whether no invariant was broken."""
        return self.alarm is None
