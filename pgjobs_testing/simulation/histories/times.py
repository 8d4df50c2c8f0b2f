"""When each change of a job can have taken place, by all that is known; and whether that can be at all.

A change is tied to real time by who asked for it: not before the call was made, nor after it returned; a
claim before its run began; an outcome after its run ended, and before its node told of it. Between
them a job's changes keep their order, so that each is also bounded by its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pgjobs_testing.simulation.histories.lives import EXECUTING, FINAL, Life
from pgjobs_testing.simulation.histories.model import (
    NEVER,
    Anomaly,
    Call,
    Ended,
    Entry,
    Execution,
    History,
    Told,
)


@dataclass(frozen=True, slots=True)
class Window:
    """Not before ``after``, and not after ``before``."""

    after: float = 0.0
    before: float = NEVER


class Times:
    """The window of each change, by its number in the journal."""

    def __init__(self, history: History, known: dict[int, Life]) -> None:
        self._births = {new.key: insert.call for insert in history.inserts for new in insert.new}
        self._orders: dict[tuple[int, str], list[Call]] = {}
        for order in history.orders:
            if order.call.ended is not Ended.FAILED:
                self._orders.setdefault((order.job, order.what), []).append(order.call)
        self._runs: dict[tuple[int, str], Execution] = {
            (run.job, run.token): run for run in history.executions
        }
        self._told: dict[tuple[int, str, str], Told] = {
            (told.job, told.token, told.what): told for told in history.told
        }
        self._windows: dict[int, Window] = {}
        self._alarms: list[Anomaly] = []
        for life in known.values():
            self._bound(life)

    def __getitem__(self, entry: Entry) -> Window:
        return self._windows[entry.n]

    def alarms(self) -> Iterator[Anomaly]:
        """Every change that has no moment left."""
        yield from self._alarms

    def _bound(self, life: Life) -> None:
        alone = [self._alone(entry) for entry in life.entries]
        after = 0.0
        afters = [after := max(after, window.after) for window in alone]
        before = NEVER
        befores = [before := min(before, window.before) for window in reversed(alone)][::-1]
        windows = [*map(Window, afters, befores)]
        self._windows.update(zip((each.n for each in life.entries), windows, strict=True))
        for entry, window in zip(life.entries, windows, strict=True):
            if window.after > window.before:
                seen = (
                    f"job {life.job} became {entry.after or 'deleted'} not before "
                    f"{window.after:.6f}, and not after {window.before:.6f}"
                )
                self._alarms.append(Anomaly("out-of-time", seen, (life.job,)))
                return

    def _alone(self, entry: Entry) -> Window:
        """What is known of a change without its neighbours."""
        if entry.before is None:
            call = self._births.get(entry.key)
            return Window() if call is None else Window(call.invoked, call.until)
        if entry.after == entry.before:
            return Window()
        if entry.after is None:
            return self._ordered(entry, "delete", None)
        if entry.after == EXECUTING:
            run = self._runs.get((entry.job, entry.token))
            return Window() if run is None else Window(0.0, run.began)
        if entry.before == EXECUTING:
            return self._left(entry)
        if entry.after == "cancelled":
            return self._ordered(entry, "cancel", entry.ended_at)
        if entry.before in FINAL:
            return self._ordered(entry, "retry", entry.scheduled_at)
        return Window()

    def _left(self, entry: Entry) -> Window:
        """The end of a claim: by its own outcome, by hand, by its node that gave it back, or by rescue."""
        told = self._told.get((entry.job, entry.token, "settled"))
        if entry.after == "cancelled" and told is None:
            return self._ordered(entry, "cancel", entry.ended_at)
        run = self._runs.get((entry.job, entry.token))
        own = told is not None or entry.after in ("completed", "scheduled")
        after = run.ended if own and run is not None and run.ended is not None else 0.0
        for what in ("released", "rescued"):
            told = told or self._told.get((entry.job, entry.token, what))
        return Window(after, NEVER if told is None else told.at)

    def _ordered(self, entry: Entry, what: str, instant: int | None) -> Window:
        """A change by hand: in one of the calls that can have made it."""
        calls = self._orders.get((entry.job, what), [])
        if instant is not None:
            calls = [call for call in calls if call.covers(instant)]
        if not calls:
            return Window()
        return Window(min(call.invoked for call in calls), max(call.until for call in calls))
