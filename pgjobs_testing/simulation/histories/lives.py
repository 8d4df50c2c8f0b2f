"""The life of each job, as the journal has it: its changes in order, and what each of its claims came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from pgjobs_testing.simulation.histories.model import Anomaly, Ended, Entry, History

EXECUTING = "executing"
FINAL = ("completed", "discarded", "cancelled")

MOVES: dict[tuple[str | None, str | None], tuple[int, ...]] = {
    (None, "available"): (0,),
    (None, "scheduled"): (0,),
    ("scheduled", "available"): (0,),
    ("retryable", "available"): (0,),
    ("available", "executing"): (1,),
    ("executing", "completed"): (0,),
    ("executing", "retryable"): (0,),
    ("executing", "discarded"): (0,),
    ("executing", "scheduled"): (-1,),
    ("executing", "available"): (0, -1),
    ("executing", "cancelled"): (0,),
    ("available", "cancelled"): (0,),
    ("scheduled", "cancelled"): (0,),
    ("retryable", "cancelled"): (0,),
    ("completed", "available"): (0,),
    ("discarded", "available"): (0,),
    ("cancelled", "available"): (0,),
}
"""From which state to which a job may go, and what that may add to its attempt. Any may be deleted.

Written down here once more, not taken from the engine, whose table may be wrong.
"""

POSTPONED = ("available", "scheduled")
"""Where an insert that meets a job may move it, beside changing it where it is."""


@dataclass(frozen=True, slots=True)
class Claim:
    """From the change that made a job execute to the one that ended it; None while it still does."""

    begin: Entry
    end: Entry | None

    @property
    def token(self) -> str:
        return self.begin.token

    @property
    def rescued(self) -> bool:
        """Whether it was taken from its node, the attempt counted."""
        end = self.end
        return end is not None and end.after == "available" and end.attempt == self.begin.attempt

    @property
    def released(self) -> bool:
        """Whether its node gave it back, the attempt not counted."""
        end = self.end
        return end is not None and end.after == "available" and end.attempt < self.begin.attempt

    @property
    def settled(self) -> bool:
        """Whether only its own outcome can have ended it."""
        return self.end is not None and self.end.after in ("completed", "retryable", "scheduled")


@dataclass(frozen=True, slots=True)
class Life:
    """One job's changes, in order, and its claims."""

    job: int
    entries: tuple[Entry, ...]

    @property
    def birth(self) -> Entry:
        return self.entries[0]

    def claims(self) -> Iterator[Claim]:
        """Each claim with what ended it: the next change of its state, whatever that is."""
        for at, entry in enumerate(self.entries):
            if entry.after == EXECUTING and entry.before != EXECUTING:
                ends = (each for each in self.entries[at + 1 :] if each.after != EXECUTING)
                yield Claim(entry, next(ends, None))

    @property
    def replaced(self) -> list[Entry]:
        """The changes that only an insert can have made that met the job."""
        return [entry for entry in self.entries if _by_an_insert(entry)]


def lives(journal: Iterable[Entry]) -> dict[int, Life]:
    """The life of every job, by id."""
    entries: dict[int, list[Entry]] = {}
    for entry in sorted(journal, key=lambda each: each.n):
        entries.setdefault(entry.job, []).append(entry)
    return {job: Life(job, tuple(found)) for job, found in sorted(entries.items())}


def moves(history: History, known: dict[int, Life]) -> Iterator[Anomaly]:
    """No job moves but as ``MOVES`` has it, each change begins where the last one ended, tokens are new."""
    replacing = _replacing(history, known)
    for life in known.values():
        if len(life.replaced) > replacing[life.job]:
            yield _illegal(life.replaced[-1], "was made by nobody")
        if life.birth.before is not None:
            yield _illegal(life.birth, "is its first change")
        for entry in life.entries:
            legal = entry.after is None or (entry.before, entry.after) in MOVES
            if not legal and not _by_an_insert(entry):
                yield _illegal(entry, "is not allowed")
        for last, entry in pairwise(life.entries):
            if entry.before != last.after:
                yield _illegal(entry, f"follows one to {last.after}")
            risen = entry.attempt - last.attempt
            if risen not in MOVES.get((entry.before, entry.after), (0,)):
                seen = (
                    f"job {life.job}: {_move(entry)} took its attempt from {last.attempt} to "
                    f"{entry.attempt}"
                )
                yield Anomaly("attempt-jump", seen, (life.job,))
        tokens = [claim.token for claim in life.claims()]
        for token in dict.fromkeys(each for each in tokens if tokens.count(each) > 1):
            yield Anomaly(
                "token-reused", f"job {life.job} was claimed twice as {token}", (life.job,)
            )


def _by_an_insert(entry: Entry) -> bool:
    return entry.before == entry.after or (entry.before, entry.after) == POSTPONED


def _replacing(history: History, known: dict[int, Life]) -> Counter[int]:
    """How many inserts have changed each job, or may have: those whose end is unknown."""
    found: Counter[int] = Counter()
    groups: dict[str, list[int]] = {}
    for life in known.values():
        if life.birth.group is not None:
            groups.setdefault(life.birth.group, []).append(life.job)
    for insert in history.inserts:
        found.update(answer.job for answer in insert.answers if answer.replaced)
        if insert.call.ended is Ended.UNKNOWN:
            for new in insert.new:
                found.update(groups.get(new.group or "", ()))
    return found


def _illegal(entry: Entry, why: str) -> Anomaly:
    return Anomaly("illegal-move", f"job {entry.job}: {_move(entry)} {why}", (entry.job,))


def _move(entry: Entry) -> str:
    return f"the change from {entry.before or 'nothing'} to {entry.after or 'nothing'}"
