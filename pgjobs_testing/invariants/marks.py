"""Where marks are seen: in effects, their answers and their failures, as these pass by."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import Any

from pgjobs.effects import Claim, ClaimWithin, Delete, Effect
from pgjobs.rules.errors import LeaseLostError
from pgjobs.rules.job import WAITING, JobState
from pgjobs.rules.lifecycle import Event
from pgjobs.rules.schedule import EPOCH
from pgjobs.rules.selection import HasAll
from pgjobs_testing.invariants.expected import Marks
from pgjobs_testing.invariants.passages import Passage
from pgjobs_testing.invariants.serving import Serving
from pgjobs_testing.invariants.sight import Sight

LATE = timedelta(seconds=1)
UNDER_WAY = 16
"""Effects of one node that may be under way at a time, as far as marks go."""

BY_EVENT = {
    "claim": "claimed",
    "conflict": "conflict",
    "snooze": "snoozed",
    "release": "released",
    "retry": "retried by hand",
    "prune": "pruned",
    "stage": "staged",
    "discard": "discarded",
}


class Marking:
    """Sees marks in effects, their answers, and their failures."""

    def __init__(self, marks: Marks, serving: Serving) -> None:
        self._marks, self._serving = marks, serving
        self._last: dict[str, deque[Effect[Any]]] = {}
        self._doubted: dict[str, None] = {}
        self._given_up: dict[str, None] = {}
        self._settled: dict[tuple[int, str], object] = {}
        self._new_args: dict[int, None] = {}

    def passed(self, passage: Passage) -> None:
        """One row."""
        if passage.event == "replace":
            before, after = passage.before, passage.after
            if before is not None and after is not None and before.args != after.args:
                self._new_args[passage.id] = None
        elif self._new_args and passage.event == "claim" and passage.id in self._new_args:
            del self._new_args[passage.id]
            self._marks.saw("ran with new args")
        name = BY_EVENT.get(passage.event)
        if name is not None:
            self._marks.saw(name)
            return
        special = _BY_PASSAGE.get(passage.event)
        if special is not None:
            self._marks.saw(special(passage))

    def of_few(self, sight: Sight) -> None:
        """Whose queue it is."""
        if not sight.took or sight.queue is None:
            return
        if self._serving.by_few(sight.queue):
            self._marks.saw("left to some nodes", len(sight.took))
        if self._serving.changed(sight.node, [sight.queue]):
            self._marks.saw("served anew", len(sight.took))

    def of_claim(self, sight: Sight) -> None:
        """What the limits of a queue kept from a claim."""
        effect, answer = sight.effect, sight.answer
        if len(answer.jobs) >= effect.demand:
            return
        if answer.opens_at is not None:
            self._marks.saw("window full")
        if effect.limits.concurrency is not None and answer.running >= effect.limits.concurrency:
            self._marks.saw("global limit full")

    def of_poll(self, sight: Sight) -> None:
        if sight.answer.lost:
            self._marks.saw("claim found lost", len(sight.answer.lost))

    def of_settle(self, sight: Sight) -> None:
        for settlement, counted in zip(sight.effect.settlements, sight.answer, strict=True):
            claim = settlement.id, settlement.token
            if counted:
                self._settled[claim] = settlement
                error = settlement.change.error
                if error is not None and "JobTimeoutError" in error:
                    self._marks.saw("timed out")
                if sight.late and settlement.group is not None:
                    self._marks.saw("group ended late")
            elif self._settled.get(claim) == settlement:
                self._marks.saw("outcome sent again")
            else:
                self._marks.saw("late outcome")

    def of_order(self, sight: Sight) -> None:
        """An order for all that filters mean, where that is more than one."""
        if len(sight.answer) > 1:
            effect = sight.effect
            self._marks.saw(
                "many deleted" if isinstance(effect, Delete) else _MANY[effect.change.event]
            )

    def of_find(self, sight: Sight) -> None:
        """A claim in doubt is looked for by its token; where it was not there, by its node's name."""
        for condition in sight.effect.selection.conditions:
            if not isinstance(condition, HasAll) or condition.field != "attempted_by":
                continue
            token = condition.values[0]
            if token in self._doubted:
                del self._doubted[token]
                if sight.answer:
                    self._marks.saw("claim found")
                else:
                    self._given_up[token] = None
            elif token == sight.node:
                for found in dict.fromkeys(job.token for job in sight.answer):
                    if found in self._given_up:
                        del self._given_up[found]
                        self._marks.saw("stray claim found")

    def of_tick(self, sight: Sight) -> None:
        if not sight.effect.jobs:
            return  # a function's, of which its calls tell
        if sight.answer is None:
            self._marks.saw("cron fired before")
            return
        self._marks.saw("cron fired")
        entry, ticks = sight.facts.entries.get(sight.effect.key), sight.ledger.ticks
        if entry is not None and entry.crontab.reboot:
            again = ticks.get(sight.effect.key, EPOCH) > EPOCH
            self._marks.saw("rebooted again" if again else "rebooted")
            return
        if sight.effect.fence.now - sight.effect.at >= LATE:
            self._marks.saw("cron caught up")

    def of_lead(self, sight: Sight) -> None:
        old = sight.ledger.leases.get(sight.effect.name)
        if old is not None and old.node != sight.answer.node:
            self._marks.saw("lease taken over")

    def of_control(self, sight: Sight) -> None:
        if sight.effect.control.paused:
            self._marks.saw("paused")
        if sight.effect.control.concurrency is not None:
            self._marks.saw("scaled")

    def of_reset(self, _: Sight) -> None:
        self._marks.saw("controls reset")

    def joined(self, node: str) -> None:
        """A process that serves some queues alone."""
        if self._serving.changed(node, self._serving.known):
            self._marks.saw("restarted with other queues")

    def committed(self, node: str, effect: Effect[Any]) -> None:
        """The last effects of a node that took place: those that may still be told to have failed."""
        last = self._last.get(node)
        if last is None:
            last = self._last[node] = deque(maxlen=UNDER_WAY)
        last.append(effect)

    def failed(self, node: str, effect: Effect[Any], error: Exception) -> None:
        """One failure."""
        if isinstance(error, LeaseLostError):
            self._marks.saw("lease lost")
            return
        after = id(effect) in map(id, self._last.get(node, ()))
        self._marks.saw("failed after commit" if after else "failed before")
        if isinstance(effect, Claim | ClaimWithin):
            assert effect.change.attempted_by is not None
            self._doubted[effect.change.attempted_by[1]] = None


def _cancelled(passage: Passage) -> str:
    if passage.settlement is not None:
        return "cancelled by its worker"
    if passage.told is None:
        return "group cancelled"
    before = passage.before
    in_flight = before is not None and before.state is JobState.EXECUTING
    return "cancelled in flight" if in_flight else "cancelled by hand"


def _failed(passage: Passage) -> str:
    last = passage.after is not None and passage.after.state is JobState.DISCARDED
    return "exhausted" if last else "failed"


def _deleted(passage: Passage) -> str:
    before = passage.before
    in_flight = before is not None and before.state is JobState.EXECUTING
    return "deleted in flight" if in_flight else "deleted"


def _replaced(passage: Passage) -> str:
    before = passage.before
    if before is None or before.state in WAITING:
        return "replaced"
    return "replaced in flight" if before.state is JobState.EXECUTING else "replaced when over"


def _rescued(passage: Passage) -> str:
    last = passage.after is not None and passage.after.state is JobState.DISCARDED
    return "rescued at its last attempt" if last else "rescued"


_MANY = {Event.CANCEL: "many cancelled", Event.RETRY: "many retried"}
_BY_PASSAGE = {
    "cancel": _cancelled,
    "fail": _failed,
    "delete": _deleted,
    "replace": _replaced,
    "rescue": _rescued,
}
