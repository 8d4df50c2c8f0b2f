"""Plays one seed: draws its world, plays it on a store, and says what became of it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing.scenarios.flowing import flow
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.parts import MANY
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import Replay, replay
from pgjobs_testing.scenarios.steps import StepSpec
from pgjobs_testing.simulation.drawing.world import drawn
from pgjobs_testing.simulation.nowhere import NOWHERE
from pgjobs_testing.simulation.reporting import report as report_of
from pgjobs_testing.simulation.shrinking import Shrunk, shrink
from pgjobs_testing.simulation.spelling import spelt
from pgjobs_testing.simulation.twice import Draws
from pgjobs_testing.simulation.verdict import Options, Verdict
from pgjobs_testing.stores import LocalPostgres
from pgjobs_testing.trace import elapsed


class Drawn(Scenario):
    """A world that need not stand in a file: of as many steps as its time, jobs and faults make, or none."""

    steps: list[StepSpec] = Field(default_factory=list)


def play_seed(seed: int, options: Options, store: LocalStore) -> Verdict:
    """What becomes of ``seed`` on ``store``, which is empty."""
    with _no_log(), _no_collections():
        return _played(seed, options, store)


def _played(seed: int, options: Options, store: LocalStore) -> Verdict:
    data = drawn(seed, options)
    world = Drawn.model_validate(data)
    draws = Draws(seed) if options.twice else None
    played = replay(world, NOWHERE, store, bounded=False, rng=draws)
    if draws is not None and played.held:
        empty = _emptied(store) if isinstance(store, LocalPostgres) else MemoryStore()
        played = replay(world, NOWHERE, empty, bounded=False, rng=draws.again())
    alarm = None if played.held else played.failures[0].what
    scenario, report = (
        (None, None)
        if alarm is None
        else _told(seed, _shortened(data, played), alarm, options, store)
    )
    moments, start = played.trace.moments, played.scenario.start
    return Verdict(
        seed,
        played.trace.digest(),
        len(moments),
        (moments[-1].at - start).total_seconds() if moments else 0.0,
        _said_of(data),
        played.marks,
        alarm,
        scenario,
        report,
        played.trace.text() if options.traced else None,
    )


def _told(
    seed: int, data: dict[str, Any], alarm: str, options: Options, store: LocalStore
) -> tuple[str, str | None]:
    """The smallest scenario that fails alike, and the report of it; in memory where it fails there, too."""
    found: Shrunk | None = None
    if options.tries and len(data["steps"]) <= MANY:  # what is tried is read as a file is
        found = shrink(data, MemoryStore, options.tries)
        if found is None and isinstance(store, LocalPostgres):
            found = shrink(data, lambda: _emptied(store), options.tries)
    if found is None:
        return _written(data, f"seed {seed}: {alarm}"), None
    smallest = found.failing.failures[0].what
    return spelt(found.data, [f"seed {seed}, made smaller: {smallest}"]), report_of(found)


def _shortened(data: dict[str, Any], played: Replay) -> dict[str, Any]:
    """The world up to its alarm, where all of it is more than a file may have."""
    alarm, world = played.alarm, played.scenario
    if len(world.steps) <= MANY or alarm is None or alarm.at is None:
        return data
    kept = [
        step
        for step, spec in zip(data["steps"], world.steps, strict=True)
        if world.instant(spec.at) <= alarm.at
    ]
    return {**data, "steps": kept, "until": elapsed(alarm.at - world.start)}


def _written(data: dict[str, Any], note: str) -> str:
    """The file of a world as it was drawn, which says where it is larger than one that can be read."""
    text = spelt(data, [note])
    try:
        if len(data["steps"]) <= MANY:
            read_text(text)
            return text
        why = f"it has {len(data['steps']):,} steps, and may have {MANY:,}"
    except InvalidScenarioError as error:
        why = error.mistakes[0].message
    return spelt(data, [note, f"No replay reads this file: {why}. Play its seed."])


def _emptied(store: LocalPostgres) -> LocalStore:
    store.clear()
    return store


def _said_of(data: dict[str, Any]) -> str:
    """What was drawn, in a line."""
    steps = data["steps"]
    faults = sum(1 for step in steps if not step.keys() & {"insert", "insert_all"})
    parts = [
        f"nodes {' '.join(data['nodes'])}",
        f"queues {flow(data['queues'])}",
        f"plugins {flow(data['plugins'])}",
        f"jitter {flow(data['jitter'])}",
        f"{len(data['workers'])} workers",
        f"{len(steps) - faults} inserts",
        f"{faults} faults and acts",
    ]
    return ", ".join(parts)


@contextmanager
def _no_collections() -> Iterator[None]:
    """A play makes much, and little of it in circles: that is swept up once, when all else is let go of."""
    if not gc.isenabled() or gc.get_freeze_count():  # whoever calls has it otherwise
        yield
        return
    gc.disable()
    gc.freeze()  # what was there before is not looked at
    try:
        yield
        gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()


@contextmanager
def _no_log() -> Iterator[None]:
    """Faults are meant here, and the trace tells of them."""
    log = logging.getLogger("pgjobs")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
