"""Tells of an alarm: what broke, the smallest world that breaks it, its last moments in lanes, and where a
world that holds parts from it."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs_testing.simulation.shrinking import Shrunk
from pgjobs_testing.telling import counted
from pgjobs_testing.trace import CLIENT, Moment, Trace, elapsed

LAST = 24
"""Moments that are shown before an alarm."""
WIDTH = 34
"""Characters of a lane."""
AROUND = 3
"""Lines that are shown before the first one that differs."""


def report(shrunk: Shrunk) -> str:
    """The whole report."""
    failing = shrunk.failing
    steps, nodes = len(failing.scenario.steps), len(failing.scenario.nodes)
    size = f"{counted(steps, 'step')}, {counted(nodes, 'node')}, {elapsed_of(failing.trace)}"
    lines = [
        failing.failures[0].what,
        f"the smallest world that was found, in {counted(shrunk.tries, 'play')}: {size}",
        "",
        "the last moments:",
        *lanes(failing.trace, failing.scenario.nodes),
    ]
    if shrunk.passing is not None:
        lines += ["", *parting(failing.trace, shrunk.passing.trace)]
    return "\n".join(lines)


def elapsed_of(trace: Trace) -> str:
    """Virtual time up to the last moment."""
    return elapsed(trace.moments[-1].at - trace.start) if trace.moments else "0s"


def lanes(trace: Trace, nodes: list[str], last: int = LAST) -> Iterator[str]:
    """The last moments, a lane for each node and one for clients."""
    columns = [CLIENT, *nodes]
    shown = trace.moments[-last:]
    yield _row("", ["clients and faults", *nodes])
    for moment in shown:
        cells = [""] * len(columns)
        place = columns.index(moment.node) if moment.node in columns else 0
        cells[place] = _cell(moment)
        yield _row(elapsed(moment.at - trace.start), cells)


def parting(failing: Trace, passing: Trace) -> Iterator[str]:
    """Where the nearest world that holds first goes another way."""
    bad, good = failing.text().split("\n"), passing.text().split("\n")
    n = next(
        (n for n, (one, other) in enumerate(zip(bad, good, strict=False)) if one != other), None
    )
    if n is None:
        n = min(len(bad), len(good))
    yield f"the nearest world that holds goes another way from line {n + 1} on:"
    yield from (f"    {line}" for line in bad[max(0, n - AROUND) : n])
    yield from (f"  ! {line}" for line in bad[n : n + 2])
    yield from (f"  = {line}" for line in good[n : n + 2])


def _cell(moment: Moment) -> str:
    job = f" #{moment.ordinal}" if moment.ordinal else ""
    told = f"{moment.event}{job}"
    return f"{told} {moment.detail}"[: WIDTH - 1]


def _row(at: str, cells: list[str]) -> str:
    return f"{at:>14}  " + "".join(f"{cell:<{WIDTH}}" for cell in cells).rstrip()
