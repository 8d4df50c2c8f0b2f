"""Draws what befalls the nodes of a test's world while it lets time pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pgjobs.rules.schedule import later
from pgjobs_testing.simulation.dice import Dice
from pgjobs_testing.simulation.drawing.faults import Episodes


class Meanwhile:
    """Faults for one stretch of time after the other, each stretch with streams of its own."""

    def __init__(
        self, seed: int, nodes: Sequence[str], plugins: Sequence[str], faults: Sequence[str]
    ) -> None:
        self._seed, self._nodes, self._plugins, self._faults = seed, nodes, plugins, faults
        self._stretches = 0

    def drawn(self, now: datetime, target: datetime) -> list[tuple[datetime, dict[str, Any]]]:
        """The steps from ``now`` to ``target``, each with its instant, in order."""
        if not self._faults:
            return []
        self._stretches += 1
        dice = Dice(self._seed, f"advance {self._stretches}: ")
        span_s = (target - now).total_seconds()
        steps = Episodes(dice, self._nodes, self._plugins, span_s, self._faults).steps
        placed = [(later(now, step.pop("at")), step) for step in steps]
        placed.sort(key=lambda each: each[0])
        return placed
