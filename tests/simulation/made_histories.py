"""Right histories, made by taking one step after another and then forgetting when exactly each was taken.

A step is one moment of a tick. Calls get windows around theirs, so that they overlap as those of processes
do; a period is judged by the instant that a call read at its beginning, as the engine does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from pgjobs_testing.simulation.histories.model import (
    Answer,
    Call,
    Ended,
    Entry,
    Execution,
    History,
    Insert,
    Limit,
    New,
    Order,
    Row,
    Rule,
    Told,
)

UNFINISHED = ("scheduled", "available", "executing", "retryable")
RULES = {
    "ever.0": Rule(None, (*UNFINISHED, "completed")),
    "ever.1": Rule(None, (*UNFINISHED, "completed")),
    "waiting.0": Rule(None, UNFINISHED),
    "brief.0": Rule(6_000, (*UNFINISHED, "completed")),
}
GROUPS = (*RULES, None, None, None)
LIMIT = Limit(allowed=3, period_us=9_000, most=2)
TICK_US = 1_000
ENDS = ("completed", "retryable", "scheduled", "discarded", "cancelled")


@dataclass(slots=True)
class Stored:
    """A job as it stands; ``runs`` are places in the list of executions, by token."""

    last: Entry
    runs: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str | None:
        return self.last.after


class Maker:
    """Takes steps; each is skipped where it cannot be taken."""

    def __init__(self) -> None:
        self.t = 10.0
        self.jobs: dict[int, Stored] = {}
        self.inserts: list[Insert] = []
        self.orders: list[Order] = []
        self.executions: list[Execution] = []
        self.told: list[Told] = []
        self.journal: list[Entry] = []
        self.starts: list[int] = []

    def take(self, verb: str, pick: int, early: int, late: int) -> None:
        self.t += 1
        getattr(self, verb)(pick, early / 10, late / 10)

    def history(self) -> History:
        rows = {
            job: Row(each.last.key, each.state, each.last.attempt)
            for job, each in self.jobs.items()
            if each.state is not None
        }
        return History(
            tuple(self.inserts),
            tuple(self.orders),
            tuple(self.executions),
            tuple(self.told),
            tuple(self.journal),
            rows,
            {"limited": LIMIT},
        )

    # Calls

    def insert(self, pick: int, early: float, late: float) -> None:
        """One to three jobs; a tenth of the calls fails, a tenth has no known end."""
        ended = {0: Ended.FAILED, 1: Ended.UNKNOWN}.get(pick % 10, Ended.OK)
        self._insert(pick, early, late, ended, stored=ended is Ended.OK or pick % 20 == 1)

    def insert_plain(self, pick: int, early: float, late: float) -> None:
        self._insert(4, early, late, Ended.OK, stored=True)

    def insert_unknown(self, pick: int, early: float, late: float) -> None:
        self._insert(4, early, late, Ended.UNKNOWN, stored=True)

    def insert_limited(self, pick: int, early: float, late: float) -> None:
        self._insert(5, early, late, Ended.OK, stored=True)

    def insert_unique(self, pick: int, early: float, late: float) -> None:
        self._insert(0, early, late, Ended.OK, stored=True)

    def cancel(self, pick: int, early: float, late: float) -> None:
        self._order("cancel", pick, early, late, (*UNFINISHED,), "cancelled")

    def retry(self, pick: int, early: float, late: float) -> None:
        left = ("scheduled", "retryable", "completed", "discarded", "cancelled")
        self._order("retry", pick, early, late, left, "available")

    def delete(self, pick: int, early: float, late: float) -> None:
        self._order("delete", pick, early, late, (*UNFINISHED, *ENDS), None)

    def _insert(self, pick: int, early: float, late: float, ended: Ended, stored: bool) -> None:
        call = self._call(early, late, ended)
        count = 2 if ended is Ended.UNKNOWN else 1 + pick // 10 % 3
        new: list[New] = []
        answers: list[Answer] = []
        for place in range(count):
            group = GROUPS[(pick + place) % len(GROUPS)]
            key = f"k{len(self.inserts)}.{place}"
            new.append(New(key, group, RULES.get(group or "")))
            if stored:
                answers.append(self._store(new[-1], call, pick + place))
        known = answers if ended is Ended.OK else ()
        self.inserts.append(Insert(call, tuple(new), tuple(known)))

    def _store(self, new: New, call: Call, pick: int) -> Answer:
        if new.rule is not None:
            for job, each in self.jobs.items():
                born = each.last.inserted_at
                period = new.rule.period_us
                counts = each.last.group == new.group and each.state in new.rule.states
                if counts and (period is None or call.now - born < period):
                    return Answer(job, conflict=True, replaced=self._replaced(job, pick))
        job = len(self.jobs) + 1
        queue = "limited" if new.group is None and pick % 2 else "default"
        state = "scheduled" if pick % 7 == 3 else "available"
        known = (None, state, 0, "", queue, new.key, new.group, call.now, call.now)
        self.jobs[job] = Stored(Entry(0, 0, job, *known))
        self._note(job)
        return Answer(job)

    def _replaced(self, job: int, pick: int) -> bool:
        """A third of the inserts that meet a job change it."""
        state = self.jobs[job].state
        if pick % 3 == 0:
            self._change(job, "scheduled" if state == "available" and pick % 2 else state)
        return pick % 3 == 0

    def _order(
        self, what: str, pick: int, early: float, late: float, left: tuple[str, ...], to: str | None
    ) -> None:
        if not self.jobs:
            return
        job = 1 + pick % len(self.jobs)
        call = self._call(early, late, Ended.UNKNOWN if pick % 17 == 5 else Ended.OK)
        state = self.jobs[job].state
        if state is None:
            self.orders.append(Order(replace(call, ended=Ended.FAILED), what, job))
            return
        if state in left:
            stamp = {"scheduled_at": call.now} if what == "retry" else {"ended_at": call.now}
            self._change(job, to, **stamp)
        self.orders.append(Order(call, what, job, self.jobs[job].state))

    def _call(self, early: float, late: float, ended: Ended) -> Call:
        invoked, returned = self.t - early, self.t + late
        return Call(f"c{self.t}", invoked, returned, ended, _us(invoked), _us(returned))

    # What nodes do

    def stage(self, pick: int, early: float, late: float) -> None:
        if job := self._in(("scheduled", "retryable"), pick):
            self._change(job, "available")

    def claim(self, pick: int, early: float, late: float) -> None:
        """Within the limits; one claim in eight comes to no run."""
        self._claim(self._in(("available",), pick), pick)

    def claim_limited(self, pick: int, early: float, late: float) -> None:
        self._claim(self._in(("available",), pick, ("limited",)), pick)

    def _claim(self, job: int | None, pick: int) -> None:
        if job is None:
            return
        queue = self.jobs[job].last.queue
        if queue == "limited":
            running = sum(
                each.state == "executing" and each.last.queue == queue
                for each in self.jobs.values()
            )
            recent = [at for at in self.starts if _us(self.t) - at < LIMIT.period_us]
            assert LIMIT.most is not None
            assert LIMIT.allowed is not None
            if running >= LIMIT.most or len(recent) >= LIMIT.allowed:
                return
            self.starts.append(_us(self.t))
        attempt, token = self.jobs[job].last.attempt + 1, f"t{len(self.journal)}"
        self._change(job, "executing", attempt=attempt, token=token, attempted_at=_us(self.t))
        if pick % 8:
            self.jobs[job].runs[token] = len(self.executions)
            self.executions.append(Execution("p", job, token, attempt, self.t + 0.3, None))

    def finish(self, pick: int, early: float, late: float) -> None:
        """An outcome counts; a tenth of the time its node never says so."""
        job = self._in(("executing",), pick)
        if job is None or self.jobs[job].last.token not in self.jobs[job].runs:
            return
        each = self.jobs[job]
        self._end(each.runs[each.last.token], self.t - 0.3)
        to = ENDS[pick % len(ENDS)]
        stamp: dict[str, Any] = {"attempt": each.last.attempt - 1} if to == "scheduled" else {}
        self._change(job, to, ended_at=_us(self.t), **stamp)
        if pick % 10 != 7 or to == "cancelled":
            told = Told("p", "settled", job, each.last.token, to, self.t + late)
            self.told.append(told)

    def rescue(self, pick: int, early: float, late: float) -> None:
        if job := self._in(("executing",), pick):
            self._change(job, "discarded" if pick % 3 == 0 else "available", ended_at=_us(self.t))
            state = str(self.jobs[job].state)
            token = self.jobs[job].last.token
            self.told.append(Told("p", "rescued", job, token, state, self.t + late))

    def release(self, pick: int, early: float, late: float) -> None:
        """A node gives a job back; a tenth of the time it never says so."""
        if job := self._in(("executing",), pick):
            token = self.jobs[job].last.token
            self._change(job, "available", attempt=self.jobs[job].last.attempt - 1)
            if pick % 10 != 7:
                self.told.append(Told("p", "released", job, token, "available", self.t + late))

    def straggle(self, pick: int, early: float, late: float) -> None:
        """A run whose claim was taken from it ends, and is told to be late."""
        for place, run in enumerate(self.executions):
            lost = self.jobs[run.job].last.token != run.token or (
                self.jobs[run.job].state != "executing"
            )
            if run.ended is None and lost:
                self._end(place, self.t)
                told = Told("p", "late", run.job, run.token, "executing", self.t + late)
                self.told.append(told)
                return

    def _end(self, place: int, at: float) -> None:
        self.executions[place] = replace(self.executions[place], ended=at)

    def _in(
        self, states: tuple[str, ...], pick: int, queues: tuple[str, ...] = ("default", "limited")
    ) -> int | None:
        found = [
            job
            for job, each in self.jobs.items()
            if each.state in states and each.last.queue in queues
        ]
        return found[pick % len(found)] if found else None

    def _change(self, job: int, to: str | None, **changed: Any) -> None:
        last = self.jobs[job].last
        self.jobs[job].last = replace(last, before=last.after, after=to, **changed)
        self._note(job)

    def _note(self, job: int) -> None:
        last = replace(self.jobs[job].last, n=len(self.journal) + 1, transaction=round(self.t))
        self.jobs[job].last = last
        self.journal.append(last)


def _us(t: float) -> int:
    return round(t * TICK_US)


VERBS = (
    *("insert", "insert", "insert", "claim", "claim", "claim", "finish", "finish", "stage"),
    *("cancel", "retry", "delete", "rescue", "release", "straggle"),
)
WIDTH = st.integers(0, 25)
STEP = st.tuples(st.sampled_from(VERBS), st.integers(0, 999), WIDTH, WIDTH)


def made(steps: list[tuple[str, int, int, int]]) -> History:
    """The history of these steps."""
    maker = Maker()
    for step in steps:
        maker.take(*step)
    return maker.history()
