"""What the words of a command or a test mean for a campaign: seeds, faults, and the size of the world."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import count

from pgjobs.rules.errors import ConfigurationError, reject_unknown, shown
from pgjobs_testing.settings import MOST_SEED
from pgjobs_testing.simulation.verdict import FAULTS, Options

SEEDS = re.compile(r"(\d+)\.\.(\d*)")
DEFAULT_SEEDS = range(100)

MOST_NODES = 100
MOST_PROCESSES = 1_024
MOST_JOBS = 1_000_000
MOST_HOURS = 876_600.0
"""A century."""

STORES = ("memory", "postgres", "both")


def seeds_of(text: str) -> range | count[int]:
    """``N..M``, both included, or ``N..``, which never ends; ``ConfigurationError`` for another text."""
    found = SEEDS.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"found the seeds {text!r}; expected N..M, as in 0..999, or N..")
    first = seed_of(int(found[1]))
    if not found[2]:
        return count(first)
    last = seed_of(int(found[2]))
    if last < first:
        raise ConfigurationError(
            f"found the seeds {text}, which are none; expected the smaller first: {last}..{first}"
        )
    return range(first, last + 1)


def seed_of(given: object) -> int:
    """A seed; ``ConfigurationError`` for what is none."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MOST_SEED:
        raise ConfigurationError(
            f"found the seed {shown(given)}; expected a whole number from 0 to {MOST_SEED}"
        )
    return given


def faults_of(given: str | Iterable[str]) -> tuple[str, ...]:
    """``all``, ``none``, or names separated by commas: ordered as in ``FAULTS``, for seeds to draw alike."""
    if not isinstance(given, Iterable):
        raise ConfigurationError(f"found the faults {shown(given)}; expected all, none or names")
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
    if names == ["all"]:
        return FAULTS
    if names in (["none"], []):
        return ()
    alone = [name for name in names if name in ("all", "none")]
    if alone:
        raise ConfigurationError(f"found {alone[0]!r} beside other faults; expected it alone")
    reject_unknown(names, FAULTS, "fault")
    return tuple(fault for fault in FAULTS if fault in names)


TRIES = 300
"""Plays that are spent on making a world smaller that raises an alarm."""


def options_of(
    nodes: int,
    jobs: int,
    hours: float,
    faults: str | Iterable[str],
    store: str,
    *,
    shrink: bool = True,
    twice: bool = False,
) -> Options:
    """The world that is asked for; ``ConfigurationError`` for one that cannot be."""
    _check_whole("nodes", nodes, 1, MOST_NODES)
    _check_whole("jobs", jobs, 0, MOST_JOBS)
    number = isinstance(hours, (int, float)) and not isinstance(hours, bool)
    if not number or not math.isfinite(hours) or not 0 < hours <= MOST_HOURS:
        raise ConfigurationError(
            f"found {shown(hours)} hours; expected a number above 0 and at most {MOST_HOURS:g}"
        )
    reject_unknown([store], STORES, "store")
    return Options(
        nodes, jobs, float(hours), faults_of(faults), store, TRIES if shrink else 0, twice
    )


def check_processes(processes: object) -> None:
    """``ConfigurationError`` for a number that no campaign can have."""
    _check_whole("processes", processes, 0, MOST_PROCESSES)


def words(seed: int, options: Options, world: str | None) -> str:
    """The command that plays this seed again."""
    standard = Options()
    given = [f"pgjobs-testing simulate --seed {seed}"]
    for name in ("nodes", "jobs", "hours"):
        value = getattr(options, name)
        if value != getattr(standard, name):
            given.append(f"--{name} {repr(value).removesuffix('.0')}")
    if options.faults != standard.faults:
        given.append(f"--faults {','.join(options.faults) or 'none'}")
    if options.store != standard.store:
        given.append(f"--store {options.store}")
    if options.twice:
        given.append("--twice")
    if world is not None:
        given.append(f"--world {world}")
    return " ".join(given)


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(
            f"found {shown(value)} {name}; expected a whole number from {least} to {most}"
        )
