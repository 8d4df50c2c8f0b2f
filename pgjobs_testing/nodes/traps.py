"""What befalls an effect on its way to the store, and which effects are meant: the named points of a node.

An effect is one transaction. It may fail before it begins, be rolled back by the server, be refused, take
place and lose its answer, or take place long after its node gave it up; and the node's process may be gone
right before it, or right after its commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pgjobs.effects import Claim, ClaimWithin, Effect, Find, Poll, Settle
from pgjobs.leading import Beat, Lead, Leave, Prune, Rescue, Resign, Tick, Watermarks
from pgjobs.rules.errors import StoreError, StoreUnavailableError
from pgjobs_testing.trace import elapsed

EFFECTS: dict[str, tuple[type[Effect[Any]], ...]] = {
    "claim": (Claim, ClaimWithin),
    "settle": (Settle,),
    "poll": (Poll,),
    "find": (Find,),
    "beat": (Beat,),
    "leave": (Leave,),
    "lead": (Lead,),
    "resign": (Resign,),
    "rescue": (Rescue,),
    "prune": (Prune,),
    "watermarks": (Watermarks,),
    "tick": (Tick,),
}
"""The effects of a node by the words of a scenario; ``lead`` is the election and the renewal."""

ANY = "any"
NAMES = {kind: name for name, kinds in EFFECTS.items() for kind in kinds}

CRASH_AFTER = "crash after"
CRASHES = ("crash before", CRASH_AFTER)
LATE = "late"
FAILURES = ("before", "after", LATE, "conflict", "deadlock", "refused")
"""How an effect fails: before it begins; after its commit; it commits when its node has long given it up;
rolled back by the server for a serialization failure or a deadlock; refused for what it says."""


class Asked:
    """Marks errors that the simulation asked for, to tell them from those of a store that really fails."""


class CutOffError(StoreUnavailableError, Asked):
    """The store cannot be reached, or its answer is lost, for the simulation has it so."""


class RefusedError(StoreError, Asked):
    """The store refuses what an effect says, for the simulation has it so."""


@dataclass(slots=True)
class Trap:
    """What befalls the next ``times`` effects of one name (``ANY``: of any). ``by``: how late it commits.

    ``sprung``: it has befallen one.
    """

    effect: str
    how: str
    times: int = 1
    by: timedelta = timedelta(0)
    sprung: bool = False

    def takes(self, effect: Effect[Any]) -> bool:
        """Whether this effect is meant."""
        return self.times > 0 and (self.effect == ANY or self.effect == NAMES.get(type(effect)))

    @property
    def told(self) -> str:
        """It in the words of a timeline: ``crash after claim``, ``fail settle late by 5s 3 times``."""
        if self.how in CRASHES:
            return f"{self.how} {self.effect}"
        late = f" by {elapsed(self.by)}" if self.how == LATE else ""
        return (
            f"fail {self.effect} {self.how}{late}{f' {self.times} times' if self.times > 1 else ''}"
        )


def name_of(effect: Effect[Any]) -> str:
    """The effect in the words of a scenario."""
    return NAMES.get(type(effect), type(effect).__name__)


def error_of(how: str, effect: Effect[Any]) -> StoreError:
    """The error that the node gets."""
    name = name_of(effect)
    if how == "refused":
        return RefusedError(f"the simulation refuses the {name}")
    why = {
        "before": "the connection broke before it began",
        "after": "the answer was lost",
        "late": "no answer came",
        "conflict": "could not serialize access due to concurrent update",
        "deadlock": "deadlock detected",
    }[how]
    return CutOffError(f"{name}: {why}")
