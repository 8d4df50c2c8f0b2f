"""How ``pgjobs run`` ends: which signal abandons what still runs, and what is told of it then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pgjobs.cli.common import counted
from pgjobs.telemetry_log import first_line

if TYPE_CHECKING:
    from pgjobs.engine.farewell import Remains

AGAIN_AFTER_S = 1.0
"""How long after the first signal another one counts. Shells and process managers send one stop as two:
to the process, and at once to its whole group."""


class Signals:
    """The signals that stop a node. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._first: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether one has come."""
        return self._first is not None

    def abandons(self) -> bool:
        """One comes now: whether it is a second one that counts."""
        now = self._monotonic()
        if self._first is None:
            self._first = now
        return now - self._first >= AGAIN_AFTER_S


def left_behind(remains: Remains | None) -> str:
    """What a process leaves that waits for its node no longer, in one line."""
    if remains is None:
        return "no node was started"
    told = []
    if remains.running:
        told.append(_still_run(remains.running))
    if remains.settled:
        told.append(f"{_still_run(remains.settled)} whose outcome is decided")
    if remains.unsaved:
        outcomes = counted(remains.unsaved, "outcome")
        why = "" if remains.trouble is None else f" ({first_line(remains.trouble)})"
        told.append(f"{outcomes} of ended jobs could not be saved{why}")
    if remains.tasks:
        told.append("a leader task still runs")
    if remains.running or remains.unsaved:
        told.append("these jobs stay executing until they are cancelled, or rescued and run again")
    return "; ".join(told) or "the store has not answered"


def _still_run(number: int) -> str:
    return f"{counted(number, 'job')} still {'runs' if number == 1 else 'run'}"
