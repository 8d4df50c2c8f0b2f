"""Who runs jobs now: one caller at a time, who also runs what others leave to it meanwhile.

In mode inline any thread may insert at any moment, also one that a running worker started and waits
for, so nobody may wait for a turn. Who finds it taken leaves its jobs to the holder, which ends its
turn only when nothing was left.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager


class Turn:
    """The turn to run jobs of one engine. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = self._asked = False

    @property
    def taken(self) -> bool:
        """Whether somebody runs jobs."""
        return self._taken

    def take(self) -> bool:
        """Take the turn if it is free; whether it was."""
        with self._lock:
            was_free, self._taken = not self._taken, True
        return was_free

    def take_or_ask(self) -> bool:
        """Take the turn if it is free, else ask the holder to run what there is; whether it was."""
        with self._lock:
            was_free, self._taken = not self._taken, True
            self._asked = self._asked or not was_free
        return was_free

    def end_unless_asked(self) -> bool:
        """End the holder's turn, but go on with it where somebody asked; whether it ended."""
        with self._lock:
            ended = not self._asked
            self._taken, self._asked = not ended, False
        return ended

    def held(self) -> AbstractContextManager[None]:
        """Nobody else runs jobs inside the block, nor at its end what was asked for meanwhile."""
        return _Held(self)

    def end(self) -> None:
        """End the holder's turn, whatever was asked: what was left stays."""
        with self._lock:
            self._taken = self._asked = False


class _Held:
    """A block that has the turn, or leaves it to who has it: a class, since it is entered at every run."""

    __slots__ = ("_mine", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def __enter__(self) -> None:
        self._mine = self._turn.take()

    def __exit__(self, *_: object) -> None:
        if self._mine:
            self._turn.end()
