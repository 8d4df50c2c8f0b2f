"""What a seed decides: draws by label, so that a draw more in one place changes nothing in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pgjobs_testing.clock import SeededRng

T = TypeVar("T")


class Dice:
    """Draws from one seed; each ``label`` is a stream of its own, and so is each ``name`` of dice."""

    def __init__(self, seed: int, name: str = "") -> None:
        self._rng, self._name = SeededRng(seed), name

    def chance(self, label: str, share: float) -> bool:
        """True in ``share`` of all draws."""
        return self._random(label) < share

    def whole(self, label: str, least: int, most: int) -> int:
        """A whole number from ``least`` to ``most``, each as likely."""
        return least + int(self._random(label) * (most - least + 1))

    def one(self, label: str, among: Sequence[T]) -> T:
        """One of them, each as likely."""
        return among[int(self._random(label) * len(among))]

    def some(self, label: str, among: Sequence[T], least: int = 1) -> list[T]:
        """At least so many of them, in their order."""
        wanted = self.whole(label, least, len(among))
        left = list(range(len(among)))
        while len(left) > wanted:
            left.pop(int(self._random(label) * len(left)))
        return [among[n] for n in left]

    def shuffled(self, label: str, among: Sequence[T]) -> list[T]:
        """All of them, in any order."""
        left, order = list(among), list[T]()
        while left:
            order.append(left.pop(int(self._random(label) * len(left))))
        return order

    def long(self, label: str, least: float, most: float) -> float:
        """Seconds from ``least`` to ``most``, in tenths; each order of magnitude is as likely."""
        span: float = least * (most / least) ** self._random(label)
        return round(span, 1)

    def _random(self, label: str) -> float:
        return self._rng.random(self._name + label)
