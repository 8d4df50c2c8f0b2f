"""Which signal abandons what still runs, and how what is left is told."""

from __future__ import annotations

import pytest

from pgjobs.cli.stopping import AGAIN_AFTER_S, Signals, left_behind
from pgjobs.engine.farewell import Remains
from pgjobs.rules.errors import StoreUnavailableError

EXECUTING = "these jobs stay executing until they are cancelled, or rescued and run again"


def told_of(*at: float) -> list[bool]:
    """What each of the signals does that come at these seconds."""
    ahead = iter(at)
    signals = Signals(lambda: next(ahead))
    return [signals.abandons() for _ in at]


def test_signals_that_come_as_one_are_one():
    assert [False, False, False, False] == told_of(100, 100, 100.2, 100 + AGAIN_AFTER_S - 0.01)


def test_the_first_signal_begins_the_stop():
    signals = Signals(lambda: 0)
    before, _ = signals.stopping, signals.abandons()
    assert (False, True) == (before, signals.stopping)


def test_a_second_signal_counts_a_second_after_the_first_whatever_came_between():
    assert [False, True] == told_of(0, AGAIN_AFTER_S)
    assert [False, False, False, True] == told_of(5, 5.5, 5.9, 5 + AGAIN_AFTER_S)
    assert [False, True] == told_of(5, 3600)


@pytest.mark.parametrize(
    "given, line",
    [
        ((1, 0, 0, None, False), f"1 job still runs; {EXECUTING}"),
        ((2, 0, 0, None, True), f"2 jobs still run; a leader task still runs; {EXECUTING}"),
        ((0, 1, 0, None, False), "1 job still runs whose outcome is decided"),
        (
            (0, 0, 3, StoreUnavailableError("refused\nIs it running?"), False),
            f"3 outcomes of ended jobs could not be saved (refused); {EXECUTING}",
        ),
        (
            (4, 0, 1, None, False),
            f"4 jobs still run; 1 outcome of ended jobs could not be saved; {EXECUTING}",
        ),
        ((0, 0, 0, None, False), "the store has not answered"),
    ],
)
def test_what_is_left_is_told_in_one_line(given, line):
    assert line == left_behind(Remains(*given))


def test_before_a_node_begins_nothing_is_left():
    assert "no node was started" == left_behind(None)
