"""The values of an assertion, compiled: what each accepts, and how what it does not accept differs.

A pattern answers ``accepts`` quickly, for every job; only when an assertion fails is it asked for its
``differences``, which are none exactly where it accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

from pgjobs.rules.jsonb import equal
from pgjobs.rules.swift import swift
from pgjobs_testing.telling import cut, nearness, number_kind, told

Answer = bool | None
"""Whether a value matches; None where a function raised, so that nobody can say."""


Text = str | Callable[[], str]
"""A text, or what makes it once it is to be shown: thousands of jobs are ranked, and few are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a value is not what was asked for: its path, both sides, and what tells them apart.

    ``share`` is how many of the pattern's leaves it costs. ``raised`` where a function did not answer.
    """

    path: str
    wanted: Text
    found: Text
    said: Text = ""
    share: float = 1.0
    raised: bool = False

    @property
    def expected(self) -> str:
        return _made(self.wanted)

    @property
    def actual(self) -> str:
        return _made(self.found)

    @property
    def hint(self) -> str:
        return _made(self.said)


class Pattern(Protocol):
    """A value of an assertion, compiled. ``leaves`` counts the single values that it asks for."""

    @property
    def leaves(self) -> int: ...

    def accepts(self, value: Any) -> Answer: ...

    def differences(self, value: Any, path: str) -> Iterator[Difference]: ...

    def seen(self, value: Any) -> str:
        """As much of a value that is accepted as was asked for."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Anything:
    """Accepts every value."""

    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        return True

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        yield from ()

    def seen(self, value: Any) -> str:
        return cut(value)

    def __str__(self) -> str:
        return "ANY"


@swift
@dataclass(frozen=True, slots=True)
class Exactly:
    """One JSON value, equal as jsonb has it: 1 is 1.0, and true is not 1."""

    wanted: Any
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        return equal(self.wanted, value)

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        if not equal(self.wanted, value):
            hint = partial(told, self.wanted, value)
            share = nearness(self.wanted, value)
            yield Difference(path, self.__str__, partial(cut, value), hint, share)

    def seen(self, value: Any) -> str:
        return cut(value)

    def __str__(self) -> str:
        return cut(self.wanted)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type: what is an instance of it. As in JSON, true is no number, and 1 is a float too."""

    kind: type
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        if number_kind(self.kind) and isinstance(value, bool):
            return False
        return isinstance(value, (int, float) if self.kind is float else self.kind)

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        if not self.accepts(value):
            hint = f"which is of type {type(value).__name__}"
            yield Difference(path, self.__str__, partial(cut, value), hint)

    def seen(self, value: Any) -> str:
        return cut(value)

    def __str__(self) -> str:
        return f"any {self.kind.__name__}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a function answers with something true, or an object of the caller's calls equal to it."""

    judge: Any
    called: bool
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        try:
            return self._answer(value)[0]
        except Exception:
            return None

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        try:
            accepted, answer = self._answer(value)
        except Exception as error:
            said = " ".join(_text(error).split())
            hint = f"the function raised {type(error).__name__}{f': {cut(said, plain=True)}' if said else ''}"
            yield Difference(path, self.__str__, partial(cut, value), hint, raised=True)
            return
        if not accepted:
            hint = "the function returned None, not True" if self.called and answer is None else ""
            yield Difference(path, self.__str__, partial(cut, value), hint)

    def _answer(self, value: Any) -> tuple[bool, object]:
        answer = self.judge(value) if self.called else self.judge == value
        return bool(answer), answer

    def seen(self, value: Any) -> str:
        return cut(value)

    def __str__(self) -> str:
        if not self.called:
            return cut(self.judge)
        return f"what {getattr(self.judge, '__name__', None) or cut(self.judge)} accepts"


def _made(text: Text) -> str:
    return text if isinstance(text, str) else text()


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return ""
