"""What an ablation is: one deliberate fault of the engine, as a change of its source text.

The text that it changes must occur exactly once. So when the engine changes there, the ablation
fails loudly instead of breaking nothing, and whoever changed the engine says what the fault is now.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "pgjobs"


class StaleAblationError(Exception):
    """The source no longer has the text that an ablation changes, or has it more than once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In ``file``, a path within the package, ``old`` becomes ``new``."""

    file: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """``text`` with the fault in it; ``StaleAblationError`` unless it has ``old`` exactly once."""
        found = text.count(self.old)
        if found != 1:
            raise StaleAblationError(
                f"{PACKAGE}/{self.file} has this text {found} times and not once:\n{self.old}\n"
                "Say what the fault is in the source as it stands now"
            )
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Ablation:
    """One fault. ``bug`` is its number among the bugs that other job queues shipped; None: ours.

    ``breaks`` says in a sentence what goes wrong. ``tests`` (functions, and scenario files) and the
    simulation's ``invariants`` are those of which one must say so: any other alarm is no kill.
    ``hangs``: the test may say so by not ending. ``races``: it may have to be run several times.
    """

    name: str
    bug: int | None
    breaks: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()
    hangs: bool = False
    races: bool = False

    @property
    def stores(self) -> tuple[str, ...]:
        """The stores that the fault can show on."""
        touched = [edit.file for edit in self.edits]
        if all(file.startswith("adapters/memory/") for file in touched):
            return ("memory",)
        if all(file.startswith("adapters/postgres/") for file in touched):
            return ("postgres",)
        return ("memory", "postgres")

    def sources(self, package: Path) -> dict[str, str]:
        """The files that change, as they become; the source is read from ``package``."""
        changed: dict[str, str] = {}
        for edit in self.edits:
            text = changed.get(edit.file)
            changed[edit.file] = edit.apply(
                (package / edit.file).read_text() if text is None else text
            )
        return changed


def copied(into: Path, sources: Mapping[str, str]) -> None:
    """A copy of the package below ``into``, in which the files ``sources`` have another text.

    Compiled files come along, and stay valid: times are copied too. Those of changed files do not.
    """
    package = ROOT / PACKAGE
    target = into / PACKAGE
    shutil.copytree(package, target)
    for file, text in sources.items():
        changed = target / file
        for compiled in changed.parent.glob(f"__pycache__/{changed.stem}.*"):
            compiled.unlink()
        changed.write_text(text)
