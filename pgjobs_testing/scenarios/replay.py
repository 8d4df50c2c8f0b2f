"""What became of a scenario on a store, and whether two stores, or a store and a record, tell the same."""

from __future__ import annotations

from dataclasses import dataclass

from pgjobs.adapters.local import LocalStore
from pgjobs.ports import Rng
from pgjobs_testing.nodes.watching import Alarm
from pgjobs_testing.scenarios import failure
from pgjobs_testing.scenarios.failure import Failure, Row
from pgjobs_testing.scenarios.mistakes import Place
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.play import Play, Progress, end_of
from pgjobs_testing.scenarios.source import Source
from pgjobs_testing.trace import Trace, elapsed


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a scenario on one store. ``endless``: it was stopped, for it had no end.

    ``alarm`` is the invariant that broke, and ``marks`` counts what ``sometimes`` happens, where the
    scenario has its ``invariants`` watched.
    """

    scenario: Scenario
    store: str
    trace: Trace
    failures: tuple[Failure, ...]
    endless: bool = False
    alarm: Alarm | None = None
    marks: tuple[tuple[str, int], ...] = ()

    @property
    def held(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures

    @property
    def duration(self) -> str:
        """Virtual time from the start to the last event, or to ``until``."""
        return elapsed(end_of(self.scenario, self.trace) - self.scenario.start)


def replay(
    scenario: Scenario,
    source: Source,
    store: LocalStore,
    *,
    store_name: str = "memory",
    seed: int | None = None,
    compare_trace: bool = True,
    progress: Progress | None = None,
    bounded: bool = True,
    rng: Rng | None = None,
) -> Replay:
    """Play ``scenario`` on an empty store.

    ``seed`` takes the place of the file's. The file's ``trace`` is compared unless
    ``compare_trace`` is False, or another seed than the file's is used. Nothing is raised for what
    the scenario does: a step that cannot be done, a store that fails, a broken invariant and a scenario
    without an end are failures. ``rng`` takes the place of that of the seed. ``bounded=False`` plays one
    that has an end to it, however long it is.
    """
    played_seed = scenario.seed if seed is None else seed
    play = Play(scenario, source, store, played_seed, progress, bounded=bounded, rng=rng)
    play.run()
    trace = play.recorder.trace()
    failures = [*play.failures]
    compared = compare_trace and played_seed == scenario.seed and not play.broken
    if compared and scenario.trace is not None:
        failures += trace_failures(scenario.trace, trace, source)
    marks = () if play.overseer is None else play.overseer.marks
    made = Replay(scenario, store_name, trace, tuple(failures), play.endless, play.alarm, marks)
    play.dissolve()
    return made


def store_difference(one: Replay, other: Replay, source: Source) -> Failure | None:
    """The failure that two stores gave different traces, with the first line that differs."""
    differing = _first_difference(one.trace.text(), other.trace.text())
    if differing is None:
        return None
    number, left, right = differing
    what = f"the traces of {one.store} and {other.store} differ from line {number} on"
    rows = (Row(f"line {number}", left, right, holds=False),)
    timeline: tuple[str, ...] = ()
    if number <= len(one.trace):
        timeline = failure.around(one.trace, one.trace.moments[number - 1].at)
    return Failure(source.place(("name",)), what, rows, timeline, (one.store, other.store))


def trace_failures(recorded: str, trace: Trace, source: Source) -> list[Failure]:
    """The failure that a trace is not the one recorded in the file."""
    differing = _first_difference(recorded, trace.text())
    if differing is None:
        return []
    number, left, right = differing
    place = source.place(("trace",))
    block = source.lines[place.line - 1][place.column - 1 :].startswith("|")
    if block:
        place = Place(place.line + number, 1)
    rows = (Row(f"line {number}", left, right, holds=False),)
    remedy = "replay --record writes the new one, where that is meant"
    what = f"the trace differs from the recorded one in line {number} ({remedy})"
    timeline: tuple[str, ...] = ()
    if number <= len(trace):
        timeline = failure.around(trace, trace.moments[number - 1].at)
    return [Failure(place, what, rows, timeline)]


def _first_difference(one: str, other: str) -> tuple[int, str, str] | None:
    """Number and texts of the first line in which two traces differ, their indentation apart."""
    left = [line.strip() for line in one.strip("\n").split("\n")]
    right = [line.strip() for line in other.strip("\n").split("\n")]
    for number in range(max(len(left), len(right))):
        mine = left[number] if number < len(left) else "(no such line)"
        theirs = right[number] if number < len(right) else "(no such line)"
        if mine != theirs:
            return number + 1, mine, theirs
    return None
