"""When ``@reboot`` fires: once for nodes that start together, and for each start that comes to lead soon.

Its tick is the instant at which the process of the leader started, by its own clock. The watermark says which
reboot was the last: a start within one lease of it is the same one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pgjobs.engine.leader import SPAN
from pgjobs_testing.invariants.facts import Facts
from pgjobs_testing.invariants.sight import Sight

AT_ONCE = timedelta(seconds=1)


class Reboots:
    """The starts of processes, and the reboots that leaders owe (edge 13; bug 89).

    A leader that has read the watermarks within two leases of its start owes one where the last is more than
    a lease before it. What failed since, or stood still, may come later or be fired by another.
    """

    def __init__(self, facts: Facts) -> None:
        self._skew = facts.skew
        self._soon = 2 * (facts.delay + facts.skew) + AT_ONCE
        self._keys = frozenset(key for key, each in facts.entries.items() if each.crontab.reboot)
        self._started: dict[str, datetime] = {}
        self._owed: dict[str, dict[str, datetime]] = {}

    def joined(self, node: str, now: datetime) -> None:
        """A process starts."""
        if self._keys:
            self._started[node] = now

    def read(self, sight: Sight) -> None:
        """A new leader hears which reboots were the last."""
        started = self._started.get(sight.node)
        if started is None or sight.late:
            return
        soon = sight.effect.fence.now - started <= 2 * SPAN - self._soon
        self._owed[sight.node] = {
            key: sight.now
            for key, _ in sight.effect.entries
            if soon and key in self._keys and started - sight.answer[key] > SPAN + self._skew
        }

    def fires(self, sight: Sight) -> None:
        """A tick is fired: one of a reboot stands for a start of its node, and for no older reboot."""
        effect, node = sight.effect, sight.node
        if effect.key not in self._keys:
            return
        self._owed.get(node, {}).pop(effect.key, None)
        started, mark = self._started.get(node), sight.ledger.ticks.get(effect.key)
        if started is not None and abs(effect.at - started) > self._skew:
            sight.alarm(
                "reboots", f"{effect.key} fires for {effect.at}, and {node} started at {started}"
            )
        if sight.answer is not None and mark is not None and effect.at - mark <= SPAN:
            sight.alarm("reboots", f"{effect.key} fires for {effect.at}, and did for {mark}")

    def leads(self, sight: Sight) -> None:
        """A node leads on: what it owed when it began it has fired."""
        if sight.late or not self._owed.get(sight.node):
            return
        if sight.answer.node != sight.node:
            self.excused(sight.node)
            return
        for key, since in self._owed[sight.node].items():
            if sight.now - since > self._soon:
                sight.alarm("reboots", f"{sight.node} leads since {since}, and has not fired {key}")

    def excused(self, node: str) -> None:
        """An effect of a node failed, or it stood still or is gone: it owes nothing."""
        self._owed.pop(node, None)
