"""What is wrong with a file, said so that it can be put right: place, found, accepted, nearest name."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pgjobs.rules.errors import PgJobsError

SHOWN_CHARACTERS = 60
SHOWN_NAMES = 20
LONGEST_NAME = 127
COMPARED_NAMES = 100


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a file: line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake of a file, where it is, and what to do about it."""

    place: Place
    message: str

    def text(self, file: str) -> str:
        """The mistake as compilers print theirs, so that editors can jump there."""
        return f"{file}:{self.place.line}:{self.place.column}: {self.message}"


class InvalidScenarioError(PgJobsError, ValueError):
    """A file that is no scenario; ``mistakes`` are all that was found, in the file's order."""

    def __init__(self, file: str, mistakes: Iterable[Mistake]) -> None:
        self.file = file
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("\n".join(mistake.text(file) for mistake in self.mistakes))


def found(value: Any) -> str:
    """A value of a file as a message shows it: texts in quotes, the rest as YAML writes it."""
    if isinstance(value, str):
        return repr(shortened(value))
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return shortened(repr(value))


def shortened(text: str) -> str:
    """``text``, or its beginning where it is long."""
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return text[: SHOWN_CHARACTERS - 3] + "..."


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``"; did you mean 'queue'?"``, or nothing where no known name is near.

    Of many names the ``COMPARED_NAMES`` nearest in length are compared, and a name longer than any
    may be is near to none: a file cannot make this cost more than a moment.
    """
    text = str(name)
    if len(text) > LONGEST_NAME:
        return ""
    names = sorted(set(known))
    if len(names) > COMPARED_NAMES:
        names.sort(key=lambda each: abs(len(each) - len(text)))
        del names[COMPARED_NAMES:]
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def listed(names: Collection[str]) -> str:
    """Names as a message shows them: all of them, or the first where there are many."""
    shown = [shortened(name) for name in itertools.islice(names, SHOWN_NAMES)]
    if len(names) > SHOWN_NAMES:
        shown.append(f"and {len(names) - SHOWN_NAMES} more")
    return ", ".join(shown) or "none"


def at_path(path: Iterable[str | int]) -> str:
    """A path as a message shows it: ``steps[2].insert.priority``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
