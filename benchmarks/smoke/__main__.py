"""``make bench-smoke``: count what is stable on noisy machines, and hold it against the bounds.

    python -m benchmarks.smoke [PART ...] [--renew] [--bounds FILE]

prints what was found, measured before, and let pass at most; it ends with 1 where a count has grown. Parts:
statements live tests calls memory imports instructions (all of them where none is named).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path

from benchmarks.smoke import bounds, imports, in_memory
from benchmarks.smoke.bounds import Found
from benchmarks.smoke.instructions import Instructions

PARTS = ("statements", "live", "tests", "calls", "memory", "imports", "instructions")


def main(arguments: list[str]) -> int:
    given = _parsed(arguments)
    parts = given.parts or PARTS
    held = bounds.read(given.bounds)
    found, skipped = counted(parts)
    verdicts = bounds.judged(found, held)
    print(bounds.HEAD)
    for verdict in verdicts:
        print(verdict.line())
    for reason in skipped:
        print(f"skipped: {reason}")
    if given.renew:
        text = bounds.written(bounds.renewed(found, held), bounds.preface(given.bounds))
        given.bounds.write_text(text)
        print(f"wrote {given.bounds}")
        return 0
    for remedy in bounds.remedies(verdicts, given.bounds):
        print(f"\n{remedy}")
    return int(any(verdict.fails for verdict in verdicts))


def counted(parts: Collection[str]) -> tuple[list[Found], list[str]]:
    """What was counted of these parts, and what could not be, with the reason."""
    found: list[Found] = []
    skipped: list[str] = []
    slow = Instructions() if "instructions" in parts else None
    if slow is None:
        found += _quick(parts, skipped)
    else:
        with closing(slow):
            found += _quick(parts, skipped)
            found += slow.found()
        if slow.missing:
            skipped.append(f"instructions: {slow.missing}")
    return [each for each in found if each.part in parts], skipped


def _quick(parts: Collection[str], skipped: list[str]) -> list[Found]:
    """All but the instructions, which are counted meanwhile."""
    found: list[Found] = []
    for counts, name in (
        (imports.imports, "imports"),
        (in_memory.calls, "calls memory"),
        (in_memory.tests, "tests"),
    ):
        if _wanted(name, parts):
            found += counts()
    if _wanted("statements calls memory tests live", parts):
        found += _on_postgres(parts, skipped)
    return found


def _on_postgres(parts: Collection[str], skipped: list[str]) -> list[Found]:
    from benchmarks.smoke import on_postgres
    from pgjobs_testing.servers import ServerError

    if sys.platform != "linux":
        skipped.append("what is sent to PostgreSQL: libpq traces on Linux alone")
        return []
    every: tuple[tuple[Callable[[on_postgres.Wired], list[Found]], str], ...] = (
        (on_postgres.statements, "statements"),
        (on_postgres.calls, "calls memory"),
        (on_postgres.one_test, "tests"),
        (on_postgres.live, "live"),
    )
    found: list[Found] = []
    try:
        with on_postgres.wired() as here:
            for counts, name in every:
                if _wanted(name, parts):
                    found += counts(here)
    except ServerError as error:
        skipped.append(f"what is sent to PostgreSQL: {error}")
    return found


def _wanted(names: str, parts: Collection[str]) -> bool:
    return any(name in parts for name in names.split())


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smoke", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--renew", action="store_true", help="write what was found as the bounds")
    parser.add_argument("--bounds", type=Path, default=bounds.BOUNDS, metavar="FILE")
    given = parser.parse_args(arguments)
    if unknown := [part for part in given.parts if part not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r}: {' '.join(PARTS)}")
    return given


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
