"""When a leader's functions are called: once a tick at most, by the node that claimed it, while it leads.

A call has no row: what is known of it is the claim of its tick, an effect, and what its node tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from pgjobs.leading import Tick
from pgjobs_testing.invariants.expected import Marks
from pgjobs_testing.invariants.facts import Facts
from pgjobs_testing.invariants.ledger import Ledger
from pgjobs_testing.invariants.sight import Sight
from pgjobs_testing.nodes.watching import Alarm, AlarmError

TASKS = frozenset(f"pgjobs.task.{each}" for each in ("start", "stop", "exception", "skip"))
AT_ONCE = timedelta(seconds=1)

Claim = tuple[str, datetime]
"""An entry, by its key in the store, and one of its ticks."""


class Calls:
    """A function is called once a tick at most, by the node that claimed the tick, while that leads; where
    nothing of it runs it is called (edges 13, 14).

    What is known are the claims of ticks that no call has used yet, and the calls under way, by node.

    A claim whose answer is lost, or whose node is gone, is used by nobody: its tick is missed.
    Whose line is slow, or who stood still, calls late, or not at all.
    """

    def __init__(self, facts: Facts, ledger: Ledger, marks: Marks) -> None:
        self._facts, self._ledger, self._marks = facts, ledger, marks
        self._keys = frozenset(f"{facts.lease}:{key}" for key in facts.tasks)
        self._claims: dict[Claim, tuple[str, datetime]] = {}
        self._owed: dict[Claim, None] = {}
        self._running: dict[str, dict[str, datetime]] = {}
        self._leeway = 2 * (facts.delay + facts.skew) + AT_ONCE

    def fires(self, sight: Sight) -> None:
        """A tick is claimed; where its node gave the claim up before, it is called by nobody."""
        effect = sight.effect
        if effect.key in self._keys and sight.answer is not None and not sight.late:
            self._claims[effect.key, effect.at] = sight.node, sight.now
            self._owed[effect.key, effect.at] = None

    def failed(self, effect: Tick) -> None:
        """The answer to a claim is lost."""
        self._used((effect.key, effect.at))

    def heard(self, event: str, metadata: Mapping[str, Any], now: datetime) -> None:
        """A node tells of a call: it began, it was left out, it ended."""
        node, key, at = metadata["node"], metadata["task"], metadata["at"]
        if key not in self._keys:
            return
        running, told = self._running.setdefault(node, {}), f"{key} of the tick {at} on {node}"
        what = event.rpartition(".")[2]
        if what in ("stop", "exception"):
            if running.pop(key, None) != at:
                self._alarm("called", f"{told} ends, and did not run", now)
            self._marks.saw("task called" if what == "stop" else "task failed")
            if not self._leads(node, now):
                self._marks.saw("task outlived its lead")
            return
        claimed, _ = self._used((key, at)) or ("nobody", now)
        if claimed != node:
            self._alarm(
                "called", f"{told}: that tick was claimed by {claimed}, or its call is over", now
            )
        leads = self._leads(node, now)
        if what == "start":
            if key in running:
                self._alarm(
                    "called", f"{told} is called while that of {running[key]} still runs", now
                )
            if not leads:
                self._alarm("called", f"{told} is called, and {node} leads no more", now)
            running[key] = at
        elif key in running:
            self._marks.saw("task skipped")
        elif self._leads(node, now, surely=True):
            self._alarm("called", f"{told} is left out, and nothing of it runs", now)
        else:
            self._marks.saw("task not called")

    def look(self, now: datetime) -> None:
        """An instant is over: what was claimed long ago has been called."""
        for claim in self._owed:
            node, at = self._claims[claim]
            if now - at > self._leeway:
                self._alarm(
                    "called",
                    f"{claim[0]}: {node} claimed the tick {claim[1]}, and calls nothing",
                    now,
                )
            return

    def excused(self, node: str) -> None:
        """A node stands still."""
        for claim in [each for each in self._owed if self._claims[each][0] == node]:
            del self._owed[claim]

    def gone(self, node: str) -> None:
        """A node is no more, nor are its calls."""
        self._running.pop(node, None)
        for claim in [each for each, (claimed, _) in self._claims.items() if claimed == node]:
            self._used(claim)

    def _used(self, claim: Claim) -> tuple[str, datetime] | None:
        self._owed.pop(claim, None)
        return self._claims.pop(claim, None)

    def _leads(self, node: str, now: datetime, *, surely: bool = False) -> bool:
        """Whether a node has the lease by some clock that may be its own, or ``surely`` by each."""
        lease, skew = self._ledger.leases.get(self._facts.lease), self._facts.skew
        return (
            lease is not None
            and lease.node == node
            and (now < lease.until - skew if surely else now <= lease.until + skew)
        )

    def _alarm(self, invariant: str, seen: str, now: datetime) -> NoReturn:
        raise AlarmError(Alarm(invariant, seen, now, ()))
