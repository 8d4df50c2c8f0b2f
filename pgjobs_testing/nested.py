"""Patterns of objects and lists: what each part accepts, and at which path a value differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

from pgjobs.rules.swift import swift
from pgjobs_testing.patterns import Answer, Difference, Pattern
from pgjobs_testing.telling import cut, told


@swift
@dataclass(frozen=True, slots=True)
class Containing:
    """An object that has these keys, each with a value that matches; others do not matter."""

    parts: Mapping[str, Pattern]

    @property
    def leaves(self) -> int:
        return max(1, sum(part.leaves for part in self.parts.values()))

    def accepts(self, value: Any) -> Answer:
        if not isinstance(value, dict):
            return False
        answer: Answer = True
        parts = self.parts
        for key in parts:
            one = parts[key].accepts(value[key]) if key in value else False
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

    @property
    def leaves(self) -> int:
        return max(1, sum(part.leaves for part in self.parts))

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
