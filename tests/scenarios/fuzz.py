"""Feeds mutated files to the reader, and plays those that read.

``python -m tests.scenarios.fuzz --files 10000 --seed N``. Nothing but ``InvalidScenarioError`` may come of
reading, nothing at all of playing; each file has a minute of processor time, and the process a bound on
its memory. Prints counts, the slowest file and the peak of memory; exit status 1, and the files named,
where anything else happened.
"""

from __future__ import annotations

import argparse
import logging
import resource
import signal
import sys
import tempfile
import time  # noqa: TID251 - real seconds are what is measured
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from types import FrameType

from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing.scenarios import files, play, read
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from tests.scenarios import mutating

SECONDS_A_FILE = 60
"""Of processor time."""
MEBIBYTE = 2**20
LARGE_EVERY = 500


class TooSlowError(BaseException):
    """A file that took longer than it may."""


@dataclass
class Found:
    """What came of all files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)


def fuzz(seed: int, numbers: range, *, playing: bool = True) -> Found:
    """Feed the files with these numbers."""
    found, originals = Found(), mutating.corpus()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "mutated.yaml"
        for number in numbers:
            path.write_bytes(content(originals, seed, number))
            began = time.process_time()
            try:
                with _within(SECONDS_A_FILE):
                    found.outcomes[_judged(path, playing)] += 1
            except TooSlowError:
                found.wrong.append(
                    f"{number}: took longer than {SECONDS_A_FILE} s of processor time"
                )
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                told = "".join(traceback.format_exception(error, limit=-6))
                found.wrong.append(f"{number}: {told}")
            found.slowest = max(found.slowest, (time.process_time() - began, number))
    return found


def content(originals: list[bytes], seed: int, number: int) -> bytes:
    """The file with this number."""
    if number % LARGE_EVERY == LARGE_EVERY - 1:
        return mutating.LARGE(Random(f"{seed}:{number}"))
    return mutating.mutated(originals, seed, number)


def _judged(path: Path, playing: bool) -> str:
    try:
        if not playing:
            read.read(path)
            return "read"
        played = files.play(path, {"memory": MemoryStore})
    except InvalidScenarioError as error:
        return _refused(error)
    played.summary().encode()
    played.problems().encode()
    if any(each.endless for each in played.replays):
        return "stopped as endless"
    return "held" if played.held else "failed"


def _refused(refusal: InvalidScenarioError) -> str:
    assert refusal.mistakes, "a refusal without a mistake"
    assert all(mistake.place.line >= 1 for mistake in refusal.mistakes)
    str(refusal).encode()
    return "refused"


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    def ring(_: int, __: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, default=1_024, help="MiB of address space")
    parser.add_argument("--events", type=int, default=play.EVENT_LIMIT, help="the replay's limit")
    parser.add_argument("--turns", type=int, default=play.TURN_LIMIT, help="the replay's limit")
    parser.add_argument("--read-only", action="store_true", help="play none")
    parser.add_argument("--show", type=int, help="write the file with this number to stdout")
    given = parser.parse_args()
    if given.show is not None:
        sys.stdout.buffer.write(content(mutating.corpus(), given.seed, given.show))
        return
    play.EVENT_LIMIT, play.TURN_LIMIT = given.events, given.turns
    limit = given.memory * MEBIBYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    logging.getLogger("pgjobs").addHandler(logging.NullHandler())
    logging.getLogger("pgjobs").propagate = False
    began = time.monotonic()
    numbers = range(given.first, given.first + given.files)
    found = fuzz(given.seed, numbers, playing=not given.read_only)
    took, peak = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = ", ".join(f"{count:,} {what}" for what, count in found.outcomes.most_common())
    seconds, number = found.slowest
    print(  # noqa: T201 - a command's answer
        f"{given.files:,} files of seed {given.seed} in {took:.0f} s: {counts}; the slowest took "
        f"{seconds:.1f} s (--show {number}); peak memory {peak / 1024:.0f} MiB",
        *found.wrong,
        sep="\n",
    )
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
