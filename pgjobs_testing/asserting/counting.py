"""How many an assertion asks for: one or more, ``count`` of them, or ``at_least`` so many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pgjobs.rules import options
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.swift import swift

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """What is counted, in the words of a failure: one, several, and that none matches."""

    one: str
    many: str
    none: str


@swift
@dataclass(frozen=True, slots=True)
class Asked:
    """``least`` to ``most`` (None: any number) of what ``noun`` names."""

    least: int
    most: int | None
    noun: Noun

    def holds(self, found: int, undecided: int) -> bool:
        """Whether so many are as many as asked for, whatever becomes of the undecided."""
        return found >= self.least and (self.most is None or found + undecided <= self.most)

    def too_many(self, found: int) -> bool:
        return self.most is not None and found > self.most

    def short(self, found: int) -> str:
        """That there are too few."""
        if found == 0 and (self.least, self.most) == (1, None):
            return self.noun.none
        return f"expected {self}, found {found or 'none'}"

    def __str__(self) -> str:
        noun = self.noun.one if self.least == 1 else self.noun.many
        return f"{self.least or 'no'}{'' if self.most is not None else ' or more'} {noun}"


def asked(
    count: object, at_least: object, noun: Noun, *, zero: str = "", name: str = "count"
) -> Asked:
    """What ``count`` and ``at_least`` ask for. ``zero`` names what asserts that there are none."""
    if count is not None and at_least is not None:
        raise ConfigurationError(f"give {name} or at_least, not both")
    if count is not None:
        exactly = options.whole(count, name, 0, _MOST)
        if exactly == 0 and zero:
            raise ConfigurationError(f"{name}=0 is what {zero} asserts: use that")
        return Asked(exactly, exactly, noun)
    if at_least is not None:
        return Asked(options.whole(at_least, "at_least", 1, _MOST), None, noun)
    return _some(noun)


@lru_cache(maxsize=32)
def _some(noun: Noun) -> Asked:
    """What nearly every assertion asks for."""
    return Asked(1, None, noun)
