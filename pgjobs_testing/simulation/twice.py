"""Playing a seed twice: every draw of the second time is held against that of the first.

A world that is not decided by its seed alone (by a hash, a clock, an id, the order of a set) shows it at the
first draw that another one takes, long before its trace does.
"""

from __future__ import annotations

from pgjobs_testing.clock import SeededRng
from pgjobs_testing.nodes.watching import Alarm, AlarmError


class Draws(SeededRng):
    """Chance from a seed that remembers its draws; made by ``again``, it compares them with the first time's.

    ``AlarmError`` at the first draw of another stream or another value.
    """

    def __init__(self, seed: int, expected: list[tuple[str, float | str]] | None = None) -> None:
        super().__init__(seed)
        self.made: list[tuple[str, float | str]] = []
        self._expected = expected

    def again(self) -> Draws:
        """The same seed from its beginning, compared with what was drawn here."""
        return Draws(self.seed, self.made)

    def random(self, label: str) -> float:
        value = super().random(label)
        self._drew(label, value)
        return value

    def token(self, label: str) -> str:
        value = super().token(label)
        self._drew(label, value)
        return value

    def _drew(self, label: str, value: float | str) -> None:
        n = len(self.made)
        self.made.append((label, value))
        if self._expected is None:
            return
        first = self._expected[n] if n < len(self._expected) else None
        if first != (label, value):
            was = "nothing" if first is None else f"{first[1]} of {first[0]!r}"
            seen = f"draw {n + 1} is {value} of {label!r}, and was {was} the first time"
            raise AlarmError(Alarm("determined", seen))
