"""What an assertion looks for, held against one job after the other.

``judge`` answers for every job, and stops at the first field that differs. ``compare`` is for a
failure: every field, each difference, and how far off the job is on the whole.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from pgjobs_testing.asserting.fields import Wanted
from pgjobs_testing.patterns import Answer, Difference

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Field:
    """One field held against one job; no differences where it matches.

    ``implied``: the assertion itself asks for it, not the test.
    """

    wanted: Wanted
    differences: tuple[Difference, ...]
    implied: bool = False

    @property
    def matched(self) -> bool:
        return not self.differences

    @property
    def distance(self) -> float:
        """The field's weight, times the share of what was asked for that is not there."""
        share = sum(each.share for each in self.differences) / max(1, self.wanted.pattern.leaves)
        return self.wanted.weight * min(1.0, share)


@dataclass(frozen=True, slots=True)
class Compared(Generic[T]):
    """One subject (a job, a run, an event) held against an expectation."""

    subject: T
    fields: tuple[Field, ...]

    @property
    def missed(self) -> tuple[Field, ...]:
        return tuple(field for field in self.fields if not field.matched)

    @property
    def distance(self) -> float:
        """How far off: 0 is a match."""
        return sum(field.distance for field in self.fields)

    @property
    def but_for_what_is_implied(self) -> bool:
        """Whether it matched in all that the test asked for, and still is none that is meant."""
        return bool(self.missed) and all(field.implied for field in self.missed)


class Expectation(Generic[T]):
    """The fields that are asked for. ``implied`` are those that the assertion itself adds."""

    def __init__(self, wanted: Iterable[Wanted], implied: Iterable[Wanted] = ()) -> None:
        self.wanted = tuple(wanted)
        self._implied = tuple(implied)
        self._all = (*self._implied, *self.wanted)

    def judge(self, subject: T) -> Answer:
        """Whether this is one that is meant; None where a function raised."""
        answer: Answer = True
        for each in self._all:
            one = each.pattern.accepts(each.of(subject))
            if one is False:
                return False
            answer = answer and one
        return answer

    def compare(self, subject: T) -> Compared[T]:
        """Each field of one subject, those that are implied last."""
        fields = [self._field(each, subject) for each in self.wanted]
        fields += [self._field(each, subject, implied=True) for each in self._implied]
        return Compared(subject, tuple(fields))

    def sort(self, subjects: Iterable[T]) -> Sorted[T]:
        """Which subjects match, and of which nobody can say."""
        matched: list[T] = []
        undecided: list[T] = []
        for each in subjects:
            answer = self.judge(each)
            if answer:
                matched.append(each)
            elif answer is None:
                undecided.append(each)
        return Sorted(matched, undecided)

    def nearest(self, subjects: Sequence[T], most: int) -> list[Compared[T]]:
        """The nearest first; of those that are equally near, the one that comes first."""
        compared = (self.compare(each) for each in subjects)
        ranked = ((each.distance, place, each) for place, each in enumerate(compared))
        return [each for _, _, each in heapq.nsmallest(most, ranked)]

    def _field(self, wanted: Wanted, subject: T, implied: bool = False) -> Field:
        found = wanted.pattern.differences(wanted.of(subject), wanted.name)
        return Field(wanted, tuple(found), implied)


class Sorted(NamedTuple, Generic[T]):
    """The subjects that match, and those that a function could not judge."""

    matched: list[T]
    undecided: list[T]
