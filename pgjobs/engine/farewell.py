"""How a node stops: it claims nothing more, gives back after its grace what still runs, and goes.

It goes when nothing is left to be done; where the store does not answer, without that, after a while.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pgjobs.engine.heart import Heart
from pgjobs.engine.recurring import Recurring
from pgjobs.engine.runs import Runs
from pgjobs.engine.settler import Settler
from pgjobs.engine.strays import Strays
from pgjobs.rules.schedule import later

log = logging.getLogger("pgjobs")

GIVE_UP_AFTER = timedelta(seconds=30)
"""How long after its grace a stopping node still waits for a store that does not answer."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What a node has not done yet.

    ``running`` jobs have no outcome; ``settled`` ones run on though theirs is decided (a thread past its
    time limit). ``unsaved`` outcomes the store is not known to have, ``trouble`` is how it failed last to
    take one. ``tasks``: whether a function of ``LeaderTasks`` runs.
    """

    running: int
    settled: int
    unsaved: int
    trouble: Exception | None
    tasks: bool


class Farewell:
    """The stop of the node ``name``. ``unheard``: whether a claim may yet be answered."""

    def __init__(
        self,
        name: str,
        heart: Heart,
        settler: Settler,
        runs: Runs,
        strays: Strays,
        recurring: Recurring,
        unheard: Callable[[], bool],
    ) -> None:
        self._name, self._heart, self._settler = name, heart, settler
        self._runs, self._strays, self._recurring = runs, strays, recurring
        self._unheard = unheard
        self.begun = False
        """Whether the node was told to stop."""
        self._grace_ends: datetime | None = None
        self._gave_back = self._gave_up = False

    @property
    def over(self) -> bool:
        """Whether nothing is left: no run, no outcome to save, no claim unheard."""
        if self._grace_ends is None or self._runs.any or self._recurring.running:
            return False
        return self._gave_up or (self._idle and self._heart.left)

    @property
    def remains(self) -> Remains:
        """What is left, whether or not the node stops; any thread may ask."""
        settled = [run.settled for run in self._runs.seen()]
        return Remains(
            running=settled.count(False),
            settled=settled.count(True),
            unsaved=self._settler.left,
            trouble=self._settler.trouble,
            tasks=self._recurring.running,
        )

    @property
    def _idle(self) -> bool:
        return not (self._runs.any or self._unheard() or self._settler.busy)

    def begin(self, now: datetime, grace: timedelta) -> None:
        """Runs may go on for ``grace``."""
        self.begun = True
        self._grace_ends = later(now, grace)
        self._recurring.close(now)
        self._leave()

    def next_due(self) -> datetime | None:
        """When the grace ends, and then when the store is given up."""
        if self._grace_ends is None or self._gave_up:
            return None
        return later(self._grace_ends, GIVE_UP_AFTER) if self._gave_back else self._grace_ends

    def step(self, now: datetime) -> None:
        """Go on with it."""
        if self._grace_ends is None:
            return
        if now >= self._grace_ends and not self._gave_back:
            self._gave_back = True
            self._runs.give_back(now)
            self._recurring.give_back()
        self._leave()
        if now >= later(self._grace_ends, GIVE_UP_AFTER) and not self._gave_up:
            self._give_up()

    def _leave(self) -> None:
        """Say farewell, once nothing is left to be done.

        Where a claim may come true yet, the heartbeat is left to grow old instead, so that what it takes
        is rescued: a node that nobody has heard of is thought to be of another kind, and waited for.
        """
        if self._idle and not self._heart.left:
            self._heart.leave(silently=self._strays.doubtful)

    def _give_up(self) -> None:
        """The store has not answered for long: stop without it."""
        self._gave_up = True
        if self._settler.unsaved:
            log.error(
                "node %s stops with %d outcome(s) that the store did not take; their jobs stay "
                "executing until they are rescued, or cancelled",
                self._name,
                self._settler.unsaved,
            )
