"""How a node's line to the store fails: cut off, deaf, or together with the store itself.

Every failure here comes before the effect: nothing has happened. It is a ``CutOffError``, so that a
failure that was asked for is told from a store that really failed.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.effects import Effect
from pgjobs.ports import Done, Signal
from pgjobs.rules.errors import StoreUnavailableError

T = TypeVar("T")


class CutOffError(StoreUnavailableError):
    """The store cannot be reached, for the simulation has it so."""


class Exchange(LocalStore):
    """A store that can be down, and whose signals can be dropped; the one ``inside`` does the work."""

    def __init__(self, inside: LocalStore) -> None:
        super().__init__()
        self.inside = inside
        self.down = self.mute = False

    def carry_out(self, effect: Effect[T]) -> T:
        if self.down:
            raise CutOffError("the database is down")
        return self.inside.carry_out(effect)


class Line(LocalSession):
    """One node's session; while ``cut``, each of its effects fails and it hears no signal."""

    def __init__(self, exchange: Exchange, node: str) -> None:
        super().__init__(exchange)
        self._exchange, self._node = exchange, node
        self.cut = False

    def submit(self, effect: Effect[Any]) -> None:
        if self.cut:
            self._inbox.append(Done(effect, error=self._cut_off()))
        else:
            super().submit(effect)

    def check(self) -> None:
        """``CutOffError`` where a run on this node could not reach the store now."""
        if self.cut:
            raise self._cut_off()

    def _cut_off(self) -> CutOffError:
        return CutOffError(f"node {self._node} is cut off from the database")

    def _hear(self, signal: Signal) -> None:
        if not (self.cut or self._exchange.mute):
            super()._hear(signal)
