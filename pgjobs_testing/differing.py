"""Where two values differ: path by path, as people would point at it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pgjobs.rules.errors import shown

ABSENT: Final[Any] = type("_Absent", (), {"__repr__": lambda _: "nothing"})()
"""Stands for a value that one side does not have."""


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One place at which the values differ; ``ABSENT`` where a side has nothing there."""

    path: str
    old: Any
    new: Any

    def line(self, before: str, after: str) -> str:
        """``path: 1 before, 2 after``."""
        return f"{self.path}: {shown(self.old)} {before}, {shown(self.new)} {after}"


def differences(old: Any, new: Any, path: str) -> Iterator[Difference]:
    """The places at which ``new`` differs from ``old``: in mappings, sequences and dataclasses.

    Anything else is compared by ``==``, sets by what one has and the other has not. A value that
    cannot be compared counts as different.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (*old, *(key for key in new if key not in old)):
            place = f"{path}[{key!r}]"
            yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), place)
    elif _is_sequence(old) and _is_sequence(new):
        for index in range(max(len(old), len(new))):
            left, right = (each[index] if index < len(each) else ABSENT for each in (old, new))
            yield from differences(left, right, f"{path}[{index}]")
    elif isinstance(old, set | frozenset) and isinstance(new, set | frozenset):
        for item in sorted(old ^ new, key=repr):
            both = (item, ABSENT) if item in old else (ABSENT, item)
            yield Difference(f"{path}{{}}", *both)
    elif dataclasses.is_dataclass(old) and type(old) is type(new):
        for each in dataclasses.fields(old):
            if each.compare:
                left, right = getattr(old, each.name), getattr(new, each.name)
                yield from differences(left, right, f"{path}.{each.name}")
    elif not _equal(old, new):
        yield Difference(path, old, new)


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _equal(old: Any, new: Any) -> bool:
    try:
        return bool(old is new or old == new)
    except Exception:  # arrays and the like, whose == is no truth
        return False
