"""YAML as data: what a file holds, and where each value and key stands, read without any trust.

Only YAML's plain data is taken: no tags, one document, keys given once, and scalars by the core
schema of YAML 1.2, in which ``12:30``, ``no`` and a date are texts. Size, depth and the expansion of
aliases are bounded, so that no file can cost more than a moment.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pgjobs_testing.scenarios.mistakes import InvalidScenarioError, Mistake, Place, shortened
from pgjobs_testing.scenarios.real import Imports

SIZE_LIMIT = 2**20
"""Bytes of a file, and characters that its aliases may expand to."""
DEPTH_LIMIT = 50
VALUE_LIMIT = 100_000
"""Values of a file, those that its aliases stand for included."""
MISTAKE_LIMIT = 200
NUMBER_LIMIT = 400
"""Digits of a number; what is longer is no number that a scenario needs."""

TreePath = tuple[str | int, ...]

_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(slots=True)
class Source:
    """A file's text and data, and the places of its values and keys by path.

    ``mark`` is the byte order mark that the file began with, if it did; ``imports`` says what may be
    imported for it.
    """

    file: str
    text: str
    data: Any = None
    places: dict[TreePath, Place] = field(default_factory=dict)
    keys: dict[TreePath, Place] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    mark: bytes = b""
    imports: Imports = field(default_factory=Imports)
    _lines: list[str] | None = None

    @property
    def lines(self) -> list[str]:
        """The text's lines, as messages quote them."""
        if self._lines is None:
            self._lines = self.text.splitlines()
        return self._lines

    def place(self, path: TreePath, *, key: bool = False) -> Place:
        """Where the value (or the key) at ``path`` stands; for one that is not there, its parent."""
        for length in range(len(path), -1, -1):
            known = self.keys if key and length == len(path) else self.places
            if (place := known.get(path[:length])) is not None:
                return place
        return Place(1, 1)

    def report(self, path: TreePath, message: str, *, key: bool = False) -> None:
        """Note a mistake at ``path``; ``StopReadingError`` once there are more than anybody reads."""
        if len(self.mistakes) >= MISTAKE_LIMIT:
            last = (
                f"{MISTAKE_LIMIT} mistakes are told; the file has more, which are told after these"
            )
            self.mistakes.append(Mistake(Place(len(self.lines) + 1, 1), last))
            raise StopReadingError
        self.mistakes.append(Mistake(self.place(path, key=key), message))

    def value(self, path: TreePath) -> Any:
        """The value at ``path``, or None where there is none."""
        value = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def read_source(path: Path) -> Source:
    """The file's source; ``InvalidScenarioError`` where it cannot be opened or is no text."""
    file = str(path)
    try:
        with path.open("rb") as opened:
            content = opened.read(SIZE_LIMIT + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _refusal(file, f"the file cannot be read: {reason}") from None
    if len(content) > SIZE_LIMIT:
        raise _refusal(file, "the file is larger than 1 MiB; accepted: up to 1 MiB")
    try:
        text = content.decode("utf-8-sig")
        mark = BOM_UTF8 if content.startswith(BOM_UTF8) else b""
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Place(before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        wrong = f"found the byte 0x{content[error.start]:02x}; accepted: text in UTF-8"
        raise InvalidScenarioError(file, [Mistake(place, wrong)]) from None
    return parse(file, text, mark)


def parse(file: str, text: str, mark: bytes = b"") -> Source:
    """The source that ``text`` is; its mistakes are noted in it, for there may be more to say."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    source = Source(file, text, mark=mark)
    try:
        tree = _Builder(source).document(iter(YAML(typ="safe", pure=True).parse(text)))
    except StopReadingError:
        raise InvalidScenarioError(file, source.mistakes) from None
    except (YAMLError, ValueError, OverflowError) as error:  # ValueError: "\\UFFFFFFFF"
        source.mistakes.append(_yaml_mistake(error))
        raise InvalidScenarioError(file, source.mistakes) from None
    if tree is None:
        raise _refusal(file, "the file is empty; accepted: a mapping with name, workers and steps")
    source.data = _unfolded(tree, (), source)
    return source


class StopReadingError(Exception):
    """What follows cannot be made sense of, or is too much."""


@dataclass(slots=True)
class _Tree:
    """A node: a scalar's value, a list of trees, or a mapping of keys to (key's place, tree).

    ``size``, ``count`` and ``height`` are those of what it expands to: characters, values, and levels
    below it.
    """

    place: Place
    value: Any
    size: int
    count: int = 1
    height: int = 0
    open: bool = False


class _Builder:
    """Makes trees of ruamel's events, without recursion."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._anchors: dict[str, _Tree] = {}

    def document(self, events: Iterator[Any]) -> _Tree | None:
        """The one document's tree."""
        root: _Tree | None = None
        stack: list[_Tree] = []
        keys: list[tuple[str, Place] | None] = []
        documents = 0
        for event in events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    self._stop(_mark(event.start_mark), "found a second document; accepted: one")
                continue
            if kind in ("MappingEndEvent", "SequenceEndEvent"):
                tree = stack.pop()
                keys.pop()
                tree.open = False
                if stack:
                    self._weigh(stack[-1], tree, tree.place)
                continue
            if kind not in (
                "ScalarEvent",
                "AliasEvent",
                "MappingStartEvent",
                "SequenceStartEvent",
            ):
                continue
            tree = self._node(kind, event)
            if not stack:
                root = tree
            elif isinstance(stack[-1].value, list):
                stack[-1].value.append(tree)
            elif keys[-1] is None:
                keys[-1] = self._key(stack[-1], kind, event, tree)
                continue
            else:
                name, place = keys[-1]
                keys[-1] = None
                stack[-1].value.setdefault(name, (place, tree))
            if tree.open and kind != "AliasEvent":
                stack.append(tree)
                keys.append(None)
                if len(stack) > DEPTH_LIMIT:
                    self._stop(tree.place, f"nested deeper than {DEPTH_LIMIT} levels")
            elif stack:
                self._weigh(stack[-1], tree, _mark(event.start_mark))
        return root

    def _node(self, kind: str, event: Any) -> _Tree:
        place = _mark(event.start_mark)
        if kind == "AliasEvent":
            anchored = self._anchors.get(event.anchor)
            if anchored is None:
                self._stop(place, f"found *{event.anchor}, and no &{event.anchor} before it")
            if anchored.open:
                self._stop(place, f"found *{event.anchor} within &{event.anchor}: it has no end")
            return anchored
        if event.tag is not None:
            wrong = f"found the tag {shortened(str(event.tag))}; accepted: plain data without tags"
            self._source.mistakes.append(Mistake(place, wrong))
        if kind == "ScalarEvent":
            plain = event.style in (None, "")
            value = self._scalar(event.value, place) if plain else event.value
            if isinstance(value, str) and not _storable(value):
                wrong = "found a NUL character or a lone surrogate; accepted: text for a database"
                self._source.mistakes.append(Mistake(place, wrong))
                value = value.replace("\0", "").encode("utf-8", "replace").decode()
            tree = _Tree(place, value, len(event.value) + 1)
        else:
            tree = _Tree(place, {} if kind == "MappingStartEvent" else [], 2, open=True)
        if event.anchor is not None:
            self._anchors[event.anchor] = tree
        return tree

    def _key(self, mapping: _Tree, kind: str, event: Any, tree: _Tree) -> tuple[str, Place]:
        place = _mark(event.start_mark)
        if kind != "ScalarEvent":
            self._stop(place, "found a key that is no plain text; accepted: a text")
        name = event.value if isinstance(event.value, str) else str(event.value)
        if isinstance(tree.value, str):
            name = tree.value
        if name in mapping.value:
            first = mapping.value[name][0]
            wrong = f"found the key {shortened(name)!r} again, given first in line {first.line}"
            self._source.mistakes.append(Mistake(place, f"{wrong}; accepted: each key once"))
        mapping.size += len(name) + 1
        return name, place

    def _weigh(self, parent: _Tree, child: _Tree, place: Place) -> None:
        parent.height = max(parent.height, child.height + 1)
        if parent.height > DEPTH_LIMIT:
            self._stop(place, f"nested deeper than {DEPTH_LIMIT} levels")
        parent.size += child.size
        parent.count += child.count
        if parent.count > VALUE_LIMIT:
            self._stop(place, f"found more than {VALUE_LIMIT:,} values; accepted: up to that")
        if parent.size > SIZE_LIMIT:
            self._stop(place, "found aliases that expand to more than 1 MiB; accepted: up to 1 MiB")

    def _scalar(self, text: str, place: Place) -> Any:
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        if len(text) > NUMBER_LIMIT:
            return text
        if _INTEGER.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _SPECIAL.fullmatch(text):
            return float(text.lower().replace(".", ""))
        return text

    def _stop(self, place: Place, message: str) -> NoReturn:
        self._source.mistakes.append(Mistake(place, message))
        raise StopReadingError


def _unfolded(tree: _Tree, path: TreePath, source: Source) -> Any:
    """The tree's data, aliases expanded, with every place noted."""
    source.places[path] = tree.place
    if isinstance(tree.value, list):
        return [_unfolded(item, (*path, n), source) for n, item in enumerate(tree.value)]
    if isinstance(tree.value, dict):
        unfolded: dict[str, Any] = {}
        for name, (place, item) in tree.value.items():
            source.keys[(*path, name)] = place
            unfolded[name] = _unfolded(item, (*path, name), source)
        return unfolded
    return tree.value


def _mark(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _yaml_mistake(error: Any) -> Mistake:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
    context = getattr(error, "context", None)
    said = f"{problem} ({context})" if context else problem
    return Mistake(Place(1, 1) if mark is None else _mark(mark), f"not YAML: {said}")


def _storable(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _refusal(file: str, message: str) -> InvalidScenarioError:
    return InvalidScenarioError(file, [Mistake(Place(1, 1), message)])
