"""How production runs a node: one thread that steps it, and waits between two steps.

The wait is the only blocking call of the engine. A completion, a notification, the end of a run or
a stop ends it early.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from pgjobs.engine.exiting import EXIT
from pgjobs.engine.farewell import Remains
from pgjobs.engine.node import Node
from pgjobs.ports import Clock, Executor, Session

AFTER_A_BUG_S = 1.0
"""Pause after an error that the engine did not expect, so that it cannot spin."""
RETRY_AFTER_S = 1.0
"""Pause between two attempts to read the store's clock before the node begins."""
TELL_EVERY_S = 60.0
LONGEST_WAIT_S = 86_400.0
"""A wait ends after a day at most: the operating system's own bound is 24 days in places."""

log = logging.getLogger("pgjobs")


class Runner:
    """A node in a thread of its own. ``start`` once, ``stop`` as often as you like.

    It begins when ``settle`` raises nothing any more, which sees that the clock shows the store's time: what
    a node decides by another one (who is silent, what is due, who leads) is wrong for all nodes.
    """

    def __init__(
        self,
        node: Node,
        session: Session,
        executor: Executor,
        clock: Clock,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._node, self._session, self._executor, self._clock = node, session, executor, clock
        self._settle = settle
        self._grace: timedelta | None = None
        self._thread = threading.Thread(target=self._serve, name=f"pgjobs-{node.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        EXIT.watch(self)

    def stop(self, grace: timedelta) -> None:
        """Begin to stop, and wait until nothing runs any more. A second stop only waits."""
        self.begin_to_stop(grace)
        self.join(None)

    def begin_to_stop(self, grace: timedelta) -> None:
        """Do that, and do not wait."""
        if self._grace is None:
            self._grace = grace
            self._session.wake()

    def join(self, patience_s: float | None) -> None:
        """Wait until nothing runs any more, or for so long."""
        self._thread.join(patience_s)

    @property
    def name(self) -> str:
        return self._node.name

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def remains(self) -> Remains:
        """What is left to be done, as it looks from any thread at this moment."""
        return self._node.farewell.remains

    def _serve(self) -> None:
        if begun := self._settled():
            self._node.start(self._clock.now())
        while begun and not self._node.stopped:
            try:
                self._turn()
            except Exception:
                log.exception("node %s: an error in the engine; it goes on", self._node.name)
                self._session.wait(AFTER_A_BUG_S)
        self._executor.close()
        self._session.close()
        if begun:
            self._node.ended()

    def _settled(self) -> bool:
        """Wait for the clock; False where the node is told to stop meanwhile."""
        told: float | None = None
        while self._grace is None:
            try:
                self._settle()
            except Exception as error:
                at = self._clock.monotonic()
                if told is None or at - told >= TELL_EVERY_S:
                    told = at
                    log.warning("node %s waits for its store to begin: %s", self._node.name, error)
                self._session.wait(RETRY_AFTER_S)
            else:
                return True
        return False

    def _turn(self) -> None:
        now = self._clock.now()
        if self._grace is not None:
            self._node.stop(now, self._grace)
        if self._node.step(now) or self._node.stopped:
            return
        due = self._node.next_due(now)
        seconds = LONGEST_WAIT_S if due is None else max(0.0, (due - now).total_seconds())
        self._session.wait(min(seconds, LONGEST_WAIT_S))
