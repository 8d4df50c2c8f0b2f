"""The values of an assertion, compiled: what each accepts, and how what it does not accept differs.

A pattern answers ``accepts`` quickly, for every job; only when an assertion fails is it asked for its
``differences``, which are none exactly where it accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any, Protocol

from pgjobs.rules.jsonb import equal
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

    leaves: int = 1

    def accepts(self, value: Any) -> Answer:
        return True

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        yield from ()

    def seen(self, value: Any) -> str:
        return cut(value)

    def __str__(self) -> str:
        return "ANY"


@dataclass(frozen=True, slots=True)
class Exactly:
    """One JSON value, equal as jsonb has it: 1 is 1.0, and true is not 1."""

    wanted: Any
    leaves: int = 1

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
    leaves: int = 1

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
    leaves: int = 1

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


@dataclass(frozen=True, slots=True)
class Containing:
    """An object that has these keys, each with a value that matches; others do not matter."""

    parts: Mapping[str, Pattern]
    leaves: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaves", max(1, sum(part.leaves for part in self.parts.values())))

    def accepts(self, value: Any) -> Answer:
        if not isinstance(value, dict):
            return False
        answer: Answer = True
        for key, part in self.parts.items():
            one = part.accepts(value[key]) if key in value else False
            if one is False:
                return False
            answer = answer and one
        return answer

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        if not isinstance(value, dict):
            hint = partial(told, {}, value)
            yield Difference(path, self.__str__, partial(cut, value), hint, self.leaves)
            return
        for key, part in self.parts.items():
            if key in value:
                yield from part.differences(value[key], path + _step(key))
            else:
                hint = partial(_key_hint, key, part, value)
                yield Difference(path + _step(key), part.__str__, "missing", hint, part.leaves)

    def seen(self, value: Any) -> str:
        parts = (f"{cut(key)}: {part.seen(value[key])}" for key, part in self.parts.items())
        return "{" + ", ".join(parts) + "}"

    def __str__(self) -> str:
        return "{" + ", ".join(f"{cut(key)}: {part}" for key, part in self.parts.items()) + "}"


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of just these elements, in this order; each may be given in part."""

    parts: tuple[Pattern, ...]
    leaves: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaves", max(1, sum(part.leaves for part in self.parts)))

    def accepts(self, value: Any) -> Answer:
        if not isinstance(value, list) or len(value) != len(self.parts):
            return False
        answers = [part.accepts(item) for part, item in zip(self.parts, value, strict=True)]
        return False if False in answers else None if None in answers else True

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        if not isinstance(value, list):
            hint = partial(told, [], value)
            yield Difference(path, self.__str__, partial(cut, value), hint, self.leaves)
            return
        if len(value) != len(self.parts):
            counted = f"expected {_elements(len(self.parts))}, has {len(value)}"
            share = max(1.0, 0.8 * self.leaves)
            yield Difference(path, self.__str__, partial(cut, value), counted, share)
            return
        if self.accepts(value) is False and self._in_another_order(value):
            order = "the same elements in another order"
            yield Difference(path, self.__str__, partial(cut, value), order, 0.5 * self.leaves)
            return
        for n, (part, item) in enumerate(zip(self.parts, value, strict=True)):
            yield from part.differences(item, f"{path}[{n}]")

    def _in_another_order(self, value: list[Any]) -> bool:
        """Whether each part accepts an element of its own; long lists are not tried."""
        rest = list(value)
        if len(rest) > 50:
            return False
        for part in self.parts:
            found = next((n for n, item in enumerate(rest) if part.accepts(item)), None)
            if found is None:
                return False
            del rest[found]
        return True

    def seen(self, value: Any) -> str:
        parts = (part.seen(item) for part, item in zip(self.parts, value, strict=True))
        return "[" + ", ".join(parts) + "]"

    def __str__(self) -> str:
        return "[" + ", ".join(map(str, self.parts)) + "]"


def _made(text: Text) -> str:
    return text if isinstance(text, str) else text()


def _step(key: str) -> str:
    """A key as a part of a path."""
    plain = key.isprintable() and 0 < len(key) <= 40 and not set(key) & set(". []'")
    return f".{key}" if plain else f"[{cut(key, longest=40)}]"


def _key_hint(key: str, part: Pattern, value: Mapping[str, Any]) -> str:
    close = get_close_matches(key, list(value)[:100], n=1, cutoff=0.6)
    if not close:
        folded = [each for each in value if each.casefold() == key.casefold()]
        close = folded[:1]
    if close:
        also = " It matches." if part.accepts(value[close[0]]) else ""
        return f"did you mean {close[0]!r}?{also}"
    return (
        f"its keys: {cut(', '.join(list(value)[:20]), plain=True)}"
        if value
        else "the object is empty"
    )


def _elements(count: int) -> str:
    return "1 element" if count == 1 else f"{count} elements"


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return ""
