"""The page of a replay: every file's timeline, how it went, and what did not hold, in one HTML file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgjobs.cli.common import Refused
from pgjobs_testing.pictures import Chapter, page
from pgjobs_testing.scenarios.files import Played


@contextmanager
def written(file: Path | None) -> Iterator[list[Chapter]]:
    """What is appended in the block is written to ``file`` when it ends; nothing where that is None.

    That the file can be written is found out first, before hours of virtual time are played; then a
    page is left behind however the scenarios end, and also where nobody reads what is printed any more.
    ``Refused`` says why it cannot.
    """
    chapters: list[Chapter] = []
    if file is None:
        yield chapters
        return
    with _refusing(file), file.open("a", encoding="utf-8"):
        pass
    try:
        yield chapters
    except BrokenPipeError:
        _write(file, chapters)
        raise
    _write(file, chapters)


def _write(file: Path, chapters: list[Chapter]) -> None:
    with _refusing(file):
        file.write_text(page("Scenarios", chapters), encoding="utf-8")


@contextmanager
def _refusing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(
            f"--html {file} cannot be written: {error.strerror}; name a file in a directory that is there"
        ) from None


def chapter(played: Played) -> Chapter:
    """One file that was played; the timeline is that of the first store."""
    first = played.replays[0]
    problems = "" if played.held else played.problems()
    name = first.scenario.name
    return Chapter(name, first.trace, str(played.source.file), played.held, problems)


def unread(path: Path, mistakes: str) -> Chapter:
    """A file that is no scenario."""
    return Chapter(path.name, None, str(path), held=False, problems=mistakes)
