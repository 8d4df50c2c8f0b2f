"""What a node has asked of the store, for which of its duties, and who hears of each end.

An effect ends with an answer or with an error, and its duty hears of either. An error is logged once in a
while, however often an outage makes effects fail; a recurring duty that breaks over an answer breaks alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgjobs.effects import Effect
from pgjobs.engine.duty import Duty
from pgjobs.engine.heart import Heart
from pgjobs.engine.queue import QueueDuty
from pgjobs.engine.report import Reporter
from pgjobs.engine.settler import Settler
from pgjobs.engine.stager import Stager
from pgjobs.engine.strays import Strays
from pgjobs.ports import Done, Insight, Session
from pgjobs.rules.errors import LeaseLostError, StoreError
from pgjobs.rules.schedule import later

log = logging.getLogger("pgjobs")

LOG_OUTAGE_EVERY = timedelta(minutes=1)
_PLAIN = frozenset((QueueDuty, Settler, Stager, Strays, Heart))
"""The duties whose effects are no concern of the recurring ones, or which tell when they are."""


@dataclass(frozen=True, slots=True)
class ErrandPorts:
    """Who else hears of an end. ``stirred``: a duty of its own time will; ``broke``: one raised, and says
    whether it takes that upon itself; ``wake``: a queue has something to do again."""

    stirred: Callable[[], None]
    broke: Callable[[Duty, Exception, datetime], bool]
    wake: Callable[[QueueDuty], None]


class Errands:
    """The effects of the node ``name`` that are under way."""

    def __init__(
        self,
        name: str,
        session: Session,
        insight: Insight | None,
        report: Reporter,
        ports: ErrandPorts,
    ) -> None:
        self._name, self._session, self._insight = name, session, insight
        self._report, self._ports = report, ports
        self._owners: dict[int, tuple[Effect[Any], Duty]] = {}
        self._outage_logged: datetime | None = None

    def submit(self, effect: Effect[Any], owner: Duty) -> None:
        """Ask something for ``owner``."""
        self._owners[id(effect)] = (effect, owner)
        try:
            self._session.submit(effect)
        except BaseException:
            del self._owners[id(effect)]
            raise

    def renew(
        self, effect: Effect[Any], expected: Callable[[Any], bool], owner: Duty, now: datetime
    ) -> None:
        """Submit what changes nothing for this node if it is answered as expected.

        Such an answer need not wait for the next step.
        """
        if self._insight is None:
            self.submit(effect, owner)
            return
        done = self._insight.at_once(effect, expected)
        if done is None:
            self._owners[id(effect)] = (effect, owner)
        else:
            self._answer(owner, done, now)

    def ended(self, done: Done, now: datetime) -> None:
        """One of them has."""
        _, owner = self._owners.pop(id(done.effect))
        self._answer(owner, done, now)

    def _answer(self, owner: Duty, done: Done, now: datetime) -> None:
        if type(owner) not in _PLAIN:
            self._ports.stirred()
        try:
            if done.error is None:
                owner.answered(done.effect, done.answer, now)
            else:
                self._fail(owner, done, done.error, now)
        except Exception as error:
            if not self._ports.broke(owner, error, now):
                raise
        finally:
            if isinstance(owner, QueueDuty):
                self._ports.wake(owner)

    def _fail(self, owner: Duty, done: Done, error: Exception, now: datetime) -> None:
        if not isinstance(error, StoreError):
            log.error("node %s: an error in its store", self._name, exc_info=error)
            error = StoreError(f"{type(error).__name__}: {error}")
        if not isinstance(error, LeaseLostError):
            self._log_outage(done.effect, error, now)
        owner.failed(done.effect, error, now)

    def _log_outage(self, effect: Effect[Any], error: StoreError, now: datetime) -> None:
        kind = type(effect).__name__
        self._report.failed_store(kind, error)
        if self._outage_logged is None or now >= later(self._outage_logged, LOG_OUTAGE_EVERY):
            self._outage_logged = now
            log.warning(
                "node %s: the store failed at %s and will be asked again; running jobs go on: %s",
                self._name,
                kind,
                error,
            )
