"""The life of each job, as the journal has it: its changes in order, and what each of its claims came to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from pgjobs_testing.simulation.histories.model import Anomaly, Entry

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
        """Each claim with what ended it: the next change, whatever that is."""
        for at, entry in enumerate(self.entries):
            if entry.after == EXECUTING and entry.before != EXECUTING:
                yield Claim(entry, self.entries[at + 1] if at + 1 < len(self.entries) else None)


def lives(journal: Iterable[Entry]) -> dict[int, Life]:
    """The life of every job, by id."""
    entries: dict[int, list[Entry]] = {}
    for entry in sorted(journal, key=lambda each: each.n):
        entries.setdefault(entry.job, []).append(entry)
    return {job: Life(job, tuple(found)) for job, found in sorted(entries.items())}


def moves(known: dict[int, Life]) -> Iterator[Anomaly]:
    """No job moves but as ``MOVES`` has it, each change begins where the last one ended, tokens are new."""
    for life in known.values():
        if life.birth.before is not None:
            yield _illegal(life.birth, "is its first change")
        for entry in life.entries:
            if entry.after == entry.before:
                yield _illegal(entry, "is none")
            elif entry.after is not None and (entry.before, entry.after) not in MOVES:
                yield _illegal(entry, "is not allowed")
        for last, entry in pairwise(life.entries):
            if entry.before != last.after:
                yield _illegal(entry, f"follows one to {last.after}")
            risen = entry.attempt - last.attempt
            legal = MOVES.get((entry.before, entry.after), (0,))
            if risen not in legal:
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


def _illegal(entry: Entry, why: str) -> Anomaly:
    return Anomaly("illegal-move", f"job {entry.job}: {_move(entry)} {why}", (entry.job,))


def _move(entry: Entry) -> str:
    return f"the change from {entry.before or 'nothing'} to {entry.after or 'nothing'}"
