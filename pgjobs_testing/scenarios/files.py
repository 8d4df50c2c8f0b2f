"""Plays scenario files on the stores that were asked for, and says of each in one line how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pgjobs.adapters.local import LocalStore
from pgjobs_testing.scenarios.failure import Failure
from pgjobs_testing.scenarios.play import Progress
from pgjobs_testing.scenarios.read import read
from pgjobs_testing.scenarios.real import Imports
from pgjobs_testing.scenarios.recording import record
from pgjobs_testing.scenarios.replay import Replay, replay, store_difference
from pgjobs_testing.scenarios.source import Source
from pgjobs_testing.telling import counted

Stores = dict[str, Callable[[], LocalStore]]
"""For each store by name, what gives an empty one."""


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one file. ``note`` says what recording did, or why it did nothing."""

    source: Source
    replays: tuple[Replay, ...]
    failures: tuple[tuple[str, Failure], ...]
    note: str = ""

    @property
    def held(self) -> bool:
        """Whether everything was as expected, on every store."""
        return not self.failures

    def summary(self) -> str:
        """One line: steps, events, virtual time and the digest of the trace."""
        first = self.replays[0]
        steps, events = len(first.scenario.steps), len(first.trace)
        size = f"{counted(steps, 'step')}, {counted(events, 'event')}"
        stores = " = ".join(each.store for each in self.replays) if self.held else "FAILED"
        line = f"{self.source.file}: {size}, {first.duration}, {first.trace.digest()}, {stores}"
        return f"{line}, {self.note}" if self.note else line

    def problems(self) -> str:
        """Every failure, each with the stores that it was seen on."""
        told: dict[str, list[str]] = {}
        for store, failure in self.failures:
            told.setdefault(failure.text(self.source), []).append(store)
        return "\n\n".join(f"{text}\n    on {' and '.join(on)}" for text, on in told.items())


def play(
    path: Path,
    stores: Stores,
    *,
    seed: int | None = None,
    recording: bool = False,
    progress: Progress | None = None,
    imports: Imports | None = None,
) -> Played:
    """Play one file on each store, and compare; ``InvalidScenarioError`` when it is no scenario.

    ``recording`` writes the trace into the file, where everything else holds; a file whose form
    does not allow it is an ``InvalidScenarioError``, too.
    """
    scenario, source = read(path, imports)
    replays: list[Replay] = []
    for name, make in stores.items():
        played = replay(
            scenario,
            source,
            make(),
            store_name=name,
            seed=seed,
            compare_trace=not recording,
            progress=progress,
        )
        replays.append(played)
        if played.endless:  # on the other store it has no end either, only more slowly
            break
    failures = [(each.store, failure) for each in replays for failure in each.failures]
    for other in replays[1:]:
        different = store_difference(replays[0], other, source)
        if different is not None:
            failures.append((other.store, different))
    note = ""
    if recording:
        note = "not recorded" if failures else _recorded(source, replays[0])
    return Played(source, tuple(replays), tuple(failures), note)


def found(paths: Iterable[Path]) -> Iterator[Path]:
    """The scenario files that are meant: those named, and every ``*.yaml`` and ``*.yml`` below directories.

    ``FileNotFoundError`` says which path is no file, or holds none.
    """
    for path in paths:
        if path.is_dir():
            below = sorted(
                each for end in ("yaml", "yml") for each in path.rglob(f"*.{end}") if each.is_file()
            )
            if not below:
                raise FileNotFoundError(f"{path}: no *.yaml or *.yml in this directory or below")
            yield from below
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"{path}: no such file or directory")


def _recorded(source: Source, played: Replay) -> str:
    return "recorded" if record(source, played.trace) else "recorded already"
