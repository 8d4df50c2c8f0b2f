"""What the duties of a leader have in common: they act under its fence, and give way when it is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from pgjobs.effects import Effect
from pgjobs.engine.duty import Duty, Patience
from pgjobs.engine.leader import Leader
from pgjobs.engine.report import Reporter
from pgjobs.rules.errors import LeaseLostError
from pgjobs.rules.schedule import later


class LedDuty(Duty, Protocol):
    """A duty that only the leader has."""

    def elected(self, now: datetime) -> None:
        """This node leads from now on."""
        ...


@dataclass(frozen=True, slots=True)
class LedPorts:
    """What a leader's duty uses of its node; ``submit`` says whose effect it is, and so does ``renew`` for
    one to which an expected answer makes no difference.

    ``judges_from`` says from when on the silence of other nodes tells something, if it does.
    """

    leader: Leader
    report: Reporter
    patience: Patience
    submit: Callable[[Effect[Any]], None]
    renew: Callable[[Effect[Any], Callable[[Any], bool], datetime], None]
    judges_from: Callable[[datetime], datetime | None]


class Sweep:
    """A duty that does one thing every so often, and again at once while there is more.

    ``judging``: it goes by the silence of other nodes. ``every``: its interval, for ``wake``.

    ``effect`` makes the effect under a fence, ``found`` takes its answer and says when the next one
    is due: a later instant than the next mark where there is provably nothing to do before it. ``nothing``
    says whether an answer is that there was nothing to do.
    """

    def __init__(
        self,
        ports: LedPorts,
        effect: Callable[[Any], Effect[Any]],
        found: Callable[[Any, datetime, datetime], datetime],
        nothing: Callable[[Any], bool],
        *,
        judging: bool = False,
        every: timedelta | None = None,
    ) -> None:
        self._ports, self._effect, self._found, self._nothing = ports, effect, found, nothing
        self._judging, self._every = judging, every
        self._marked: datetime | None = None
        self._due: datetime | None = None
        self._asked: datetime | None = None

    def elected(self, now: datetime) -> None:
        self._due, self._asked = now, None

    def wake(self, now: datetime) -> None:
        """Things may have changed unseen: be due at the next mark of ``every``, if not before."""
        if self._due is not None and self._marked is not None and self._every is not None:
            marks = max(1, -((self._marked - now) // self._every))
            self._due = min(self._due, later(self._marked, marks * self._every))

    def next_due(self, now: datetime) -> datetime | None:
        if self._due is None or self._asked is not None:
            return None
        due = self._due
        if self._judging:
            begins = self._ports.judges_from(now)
            if begins is None:
                return None
            due = max(due, begins)
        return self._ports.leader.when(self._ports.patience.not_before(due), now)

    def step(self, now: datetime) -> None:
        if self._due is None or self._due > now:
            return
        due = self.next_due(now)
        if due is None or due > now:
            return
        fence = self._ports.leader.fence(now)
        if fence is None:
            self._ports.leader.want(now)
            return
        self._asked = self._marked = now
        self._ports.renew(self._effect(fence), self._nothing, now)

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        if self._asked is None:
            return  # of an earlier term
        asked, self._asked = self._asked, None
        self._ports.patience.regain()
        self._due = self._found(answer, asked, now)

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        self._asked = None
        if isinstance(error, LeaseLostError):
            self._due = None
            self._ports.leader.lost(now)
        else:
            self._ports.patience.lose(now)
