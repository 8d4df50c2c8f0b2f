"""An instance whose clock stands still, on a store in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pgjobs import MemoryStore, PgJobs, telemetry
from pgjobs_testing.clock import SeededRng, VirtualClock

START = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


def still(**given: Any) -> tuple[PgJobs, VirtualClock]:
    """An instance and its clock."""
    clock = VirtualClock(START)
    options: dict[str, Any] = {"store": MemoryStore(), "clock": clock, "rng": SeededRng(1)}
    return PgJobs(**{**options, **given}), clock


class Heard:
    """Every event of the process from now on; the plugin detaches it after the test."""

    def __init__(self, *events: str) -> None:
        self.all: list[tuple[str, Mapping[str, float], Mapping[str, Any]]] = []
        telemetry.attach("heard", events or telemetry.EVENTS, self)

    def __call__(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]
    ) -> None:
        self.all.append((event, measurements, metadata))

    @property
    def names(self) -> list[str]:
        return [event.removeprefix("pgjobs.") for event, _, _ in self.all]
