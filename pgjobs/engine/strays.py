"""Claims that come true after they were given up: looked for, and given back.

A claim whose answer was lost is looked up by its token. Where the look-up finds nothing, the server
may still be busy with the statement, and commit it a moment later: its jobs would execute in
the name of a node that beats and does not know them. So for a while the node looks again, and
releases what it finds. Looks come at one pace, however many claims break: what comes true within
``FOR`` of its look-up is found within ``EVERY``, or when the store answers again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pgjobs.effects import Effect, Find
from pgjobs.engine.duty import Patience
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.schedule import later
from pgjobs.rules.selection import HasAll, OneOf, Selection

EVERY = timedelta(seconds=10)
FOR = timedelta(minutes=2)
"""A statement whose client is gone ends within it: the server notices a dead line in 35 s, and where it
cannot, as behind a balancer, the node has its process ended (``adapters.postgres.silence``)."""
MOST = 1_000
"""Tokens in doubt; the oldest is forgotten beyond that, and left to rescue when the node has gone."""


class Strays:
    """The duty that looks for claims in doubt."""

    def __init__(
        self,
        node: str,
        submit: Callable[[Effect[Any]], None],
        release: Callable[[Job, datetime], None],
        patience: Patience,
    ) -> None:
        self._node = node
        self._submit, self._release, self._patience = submit, release, patience
        self._until: dict[str, datetime] = {}
        self._due: datetime | None = None
        self._asked: datetime | None = None

    @property
    def doubtful(self) -> bool:
        """Whether a claim may come true yet."""
        return bool(self._until)

    def doubt(self, token: str, now: datetime) -> None:
        """The claim under ``token`` was not there when it was looked for."""
        if len(self._until) >= MOST:
            del self._until[next(iter(self._until))]
        self._until[token] = later(now, FOR)
        if self._due is None:
            self._due = later(now, EVERY)

    def next_due(self, now: datetime) -> datetime | None:
        if self._due is None or self._asked is not None:
            return None
        return self._patience.not_before(self._due)

    def step(self, now: datetime) -> None:
        if self._due is None or self._due > now:
            return
        due = self.next_due(now)
        if due is None or due > now:
            return
        self._asked = now
        mine = (OneOf("state", (JobState.EXECUTING,)), HasAll("attempted_by", (self._node,)))
        self._submit(Find(Selection(mine)))

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        assert self._asked is not None
        asked, self._asked = self._asked, None
        self._patience.regain()
        found = [job for job in answer if job.token in self._until]
        for job in found:
            self._release(job, now)
        seen = {job.token for job in found}  # a claim comes true as a whole
        self._until = {
            token: until
            for token, until in self._until.items()
            if until > asked and token not in seen
        }
        self._due = later(now, EVERY) if self._until else None

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        self._asked = None
        self._patience.lose(now)
