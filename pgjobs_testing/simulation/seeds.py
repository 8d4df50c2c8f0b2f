"""Plays one seed: draws its world, plays it on a store, and says what became of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgjobs.adapters.local import LocalStore
from pgjobs_testing.scenarios.flowing import flow
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.simulation.drawing.world import drawn
from pgjobs_testing.simulation.nowhere import NOWHERE
from pgjobs_testing.simulation.spelling import spelt
from pgjobs_testing.simulation.verdict import Options, Verdict


def play_seed(seed: int, options: Options, store: LocalStore) -> Verdict:
    """What becomes of ``seed`` on ``store``, which is empty."""
    data = drawn(seed, options)
    with _no_log():
        played = replay(Scenario.model_validate(data), NOWHERE, store, bounded=False)
    moments, start = played.trace.moments, played.scenario.start
    alarm = None if played.held else played.failures[0].what
    return Verdict(
        seed,
        played.trace.digest(),
        len(moments),
        (moments[-1].at - start).total_seconds() if moments else 0.0,
        _said_of(data),
        played.marks,
        alarm,
        None if alarm is None else spelt(data, [f"seed {seed}: {alarm}"]),
    )


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
def _no_log() -> Iterator[None]:
    """Faults are meant here, and the trace tells of them."""
    log = logging.getLogger("pgjobs")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
