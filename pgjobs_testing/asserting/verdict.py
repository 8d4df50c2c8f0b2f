"""Whether what there is is what was expected; and if not, the failure that says why.

The same for jobs that wait, for runs and for events; ``Words`` is how each kind is spoken of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pgjobs_testing.asserting import failing
from pgjobs_testing.asserting.counting import Asked
from pgjobs_testing.asserting.describing import listed, more
from pgjobs_testing.asserting.expectation import Compared, Expectation, Sorted
from pgjobs_testing.asserting.failing import NEAREST, Failure, first_difference

T = TypeVar("T")

SHOWN = 8
"""So many that match are named."""


@dataclass(frozen=True, slots=True)
class Words(Generic[T]):
    """How one kind of subject is spoken of.

    ``nothing`` says that there is none at all, ``refused`` that none may match. ``aside`` says of one
    what the assertion itself, not the test, does not accept in it. ``overview`` is a title
    and lines for the whole set, ``clues`` what may explain that one is missing.
    """

    nothing: str
    refused: str
    called: Callable[[T], str]
    line: Callable[[T], str]
    overview: Callable[[Sequence[T], Sequence[T]], list[tuple[str, list[str]]]]
    legend: str
    clues: Callable[[], list[str]] = list
    aside: Callable[[Compared[T]], str] = field(default=lambda _: "")


def found(
    expected: Expectation[T], subjects: Sequence[T], asked: Asked, words: Callable[[], Words[T]]
) -> list[T]:
    """Those that match, in order, where they are as many as asked for."""
    __tracebackhide__ = True
    result = expected.sort(subjects)
    if not asked.holds(len(result.matched), len(result.undecided)):
        raise AssertionError(_Verdict(expected, subjects, result, words()).unmet(asked).text())
    return result.matched


def none(expected: Expectation[T], subjects: Sequence[T], words: Callable[[], Words[T]]) -> None:
    """None matches, and there is none of which a function could not say."""
    __tracebackhide__ = True
    result = expected.sort(subjects)
    if result.matched or result.undecided:
        raise AssertionError(_Verdict(expected, subjects, result, words()).refuted().text())


def every(
    expected: Expectation[T], subjects: Sequence[T], words: Callable[[], Words[T]]
) -> list[T]:
    """All that match, in order; one of which a function could not say is a failure."""
    __tracebackhide__ = True
    result = expected.sort(subjects)
    if result.undecided:
        raise AssertionError(_Verdict(expected, subjects, result, words()).undecidable().text())
    return result.matched


class _Verdict(Generic[T]):
    """Why the subjects are not as expected."""

    def __init__(
        self, expected: Expectation[T], subjects: Sequence[T], result: Sorted[T], words: Words[T]
    ) -> None:
        self._expected, self._subjects, self._result = expected, subjects, result
        self._words = words

    def unmet(self, asked: Asked) -> Failure:
        """Too few, or too many."""
        matched = self._result.matched
        if asked.too_many(len(matched)):
            told = self._failure(
                f"expected {asked}, found {len(matched):,}: {self._names(matched)}"
            )
            return self._finished(told, "those that match", self._shown(matched))
        if len(matched) >= asked.least:
            return self.undecidable()
        why = f": {self._names(matched)}" if matched else self._why_none()
        told = self._failure(f"{asked.short(len(matched))}{why}")
        told.notes += self._words.clues()
        heading = "nearest of the others" if matched else "nearest"
        return self._finished(told, heading, self._nearest())

    def refuted(self) -> Failure:
        """There are some that may not be."""
        matched = self._result.matched
        if not matched:
            return self.undecidable()
        does = "does" if len(matched) == 1 else "do"
        told = self._failure(f"{self._words.refused}, and {self._names(matched)} {does}")
        return self._finished(told, "those that match", self._shown(matched))

    def undecidable(self) -> Failure:
        """A function raised, so that nobody can say whether these match."""
        undecided = self._result.undecided
        does = "matches" if len(undecided) == 1 else "match"
        told = self._failure(
            f"nobody can say whether {self._names(undecided)} {does}: a function raised"
        )
        told.notes.append(
            "a function gets the values of every job that matches otherwise: let it, or ask for more"
        )
        return self._finished(told, "undecided", self._shown(undecided))

    def _failure(self, headline: str) -> Failure:
        return Failure(headline, failing.wanted(self._expected))

    def _finished(self, told: Failure, heading: str, lines: list[str]) -> Failure:
        if lines:
            told.sections.append((heading, lines))
        told.sections += self._words.overview(self._subjects, self._result.matched)
        told.legend = self._words.legend
        return told

    def _why_none(self) -> str:
        if not self._subjects:
            return f": {self._words.nothing}"
        (near,) = self._expected.nearest(self._subjects, 1)
        name = self._words.called(near.subject)
        aside = self._words.aside(near)
        if near.but_for_what_is_implied:
            return f"; {name} does, but is {aside}"
        return f"; nearest is {name}{f', {aside}' if aside else ''}: {first_difference(near)}"

    def _shown(self, subjects: Sequence[T]) -> list[str]:
        compared = [self._expected.compare(each) for each in subjects[:NEAREST]]
        rest = [self._words.line(each) for each in subjects[NEAREST:SHOWN]]
        lines = [line for each in compared for line in self._by_field(each)]
        return [*lines, *rest, *more(len(subjects) - SHOWN)]

    def _nearest(self) -> list[str]:
        matched = {id(each) for each in self._result.matched}
        others = [each for each in self._subjects if id(each) not in matched]
        compared = self._expected.nearest(others, NEAREST)
        near = failing.of_the_same_worker(compared, alone=bool(matched))
        return [line for each in near for line in self._by_field(each)]

    def _by_field(self, compared: Compared[T]) -> list[str]:
        first = self._words.line(compared.subject)
        if compared.but_for_what_is_implied:
            name = self._words.called(compared.subject)
            first = f"{name} matched, but is {self._words.aside(compared)}"
        return [first, *(f"  {line}" for line in failing.by_field(compared))]

    def _names(self, subjects: Sequence[T]) -> str:
        return listed([self._words.called(each) for each in subjects])
