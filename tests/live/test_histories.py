"""Processes work and call at once; one is killed, one stands still, one leaves: their history is right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pgjobs_testing.simulation.histories import check
from tests.live.histories import campaign, figures

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.pgjobs(mode="live")]

PROCESSES = 3
CALLS = 40
"""Of each of a process' clients."""
SEED = 1


def test_what_processes_and_threads_recorded_can_have_been(database: str, tmp_path: Path) -> None:
    with campaign(database, tmp_path, SEED, CALLS) as made:
        made.begin(PROCESSES)
        made.freeze()
        made.cut()
        made.kill()
        made.cut()
        made.leave()
        history = made.end()
    seen = figures(history)
    sys.stdout.write(f"{history.size} operations: {seen}\n")
    assert [] == [str(anomaly) for anomaly in check(history)]
    # the history is of what it was to be
    calls = seen.calls
    assert all(calls[f"{what} ok"] for what in ("insert", "cancel", "retry", "delete"))
    assert calls["insert failed"]
    assert 0 < seen.replaced < seen.conflicts
    assert seen.told["late"], "the process that stood still had outcomes that came late"
    assert seen.told["rescued"]
    assert seen.told["released"], "the process that stopped gave back what it ran"
    assert seen.unended, "the process that was killed had runs without an end"
