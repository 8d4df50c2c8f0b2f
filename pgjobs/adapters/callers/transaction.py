"""The parts of one transaction of a caller's, kept or undone as it ends, wholly or to a savepoint."""

from __future__ import annotations

from typing import Protocol


class Part(Protocol):
    """Something that was done within a transaction."""

    def undo(self) -> None:
        """It was rolled back."""
        ...

    def free(self) -> None:
        """Nobody waits for its end any more: told of each part that is kept before any is."""
        ...

    def keep(self) -> None:
        """It was committed, as far as the caller can see; an outer transaction may still undo it."""
        ...


class Transaction:
    """The parts of one transaction, by the savepoint in which they were done.

    A savepoint that is not known was begun before the first part, and holds them all.
    """

    def __init__(self) -> None:
        self._frames: list[tuple[object, list[Part]]] = [(None, [])]
        self._kept: list[Part] = []

    def add(self, part: Part) -> None:
        """Done within the innermost savepoint."""
        self._frames[-1][1].append(part)

    def savepoint(self, name: object) -> None:
        """A savepoint was begun."""
        self._frames.append((name, []))

    def release(self, name: object) -> None:
        """A savepoint has ended well: what it holds is the outer one's."""
        place = self._place(name)
        if place:
            inner, self._frames = self._frames[place:], self._frames[:place]
            self._frames[-1][1].extend(part for _, parts in inner for part in parts)

    def back_to(self, name: object) -> None:
        """A savepoint was rolled back; it stands, with nothing in it."""
        place = self._place(name)
        undone, self._frames = self._frames[place:], self._frames[:place]
        self._frames.append((name if place else None, []))
        self._undo([part for _, parts in undone for part in parts])

    def rollback(self) -> None:
        """All is undone."""
        self.back_to(None)

    def commit(self) -> None:
        """All stays; ``tell`` says so to the parts."""
        frames, self._frames = self._frames, [(None, [])]
        kept = [part for _, parts in frames for part in parts]
        self._kept += kept
        for part in kept:
            part.free()

    def tell(self, *, with_open: bool = False) -> None:
        """Tell what was committed; ``with_open`` also what only an outer transaction may still undo."""
        kept, self._kept = self._kept, []
        if with_open:
            kept += [part for _, parts in self._frames for part in parts]
            for part in kept:
                part.free()
        for part in kept:
            part.keep()

    def _place(self, name: object) -> int:
        return next((n for n, (known, _) in enumerate(self._frames) if known == name), 0)

    @staticmethod
    def _undo(parts: list[Part]) -> None:
        for part in reversed(parts):
            part.undo()
