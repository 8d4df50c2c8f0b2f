"""Plays one seed: draws its world, plays it on a store, and says what became of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pgjobs.adapters.local import LocalStore
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.replay import Replay, replay
from pgjobs_testing.simulation.drawing.world import drawn
from pgjobs_testing.simulation.nowhere import NOWHERE
from pgjobs_testing.simulation.verdict import Options, Verdict


def play_seed(seed: int, options: Options, store: LocalStore) -> Verdict:
    """What becomes of ``seed`` on ``store``, which is empty."""
    with _no_log():
        played = replay(
            Scenario.model_validate(drawn(seed, options)), NOWHERE, store, bounded=False
        )
    return verdict(seed, played)


def verdict(seed: int, played: Replay) -> Verdict:
    """What is said of a play."""
    return Verdict(
        seed,
        played.trace.digest(),
        len(played.trace),
        (played.trace.moments[-1].at - played.scenario.start).total_seconds(),
        "",
        played.marks,
        None if played.held else played.failures[0].what,
    )


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
