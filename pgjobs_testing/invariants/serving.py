"""Which nodes serve which queues: what a node does not serve it does not claim; what nobody serves waits."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pgjobs_testing.invariants.facts import Facts
from pgjobs_testing.invariants.sight import CLIENT, Sight


class Serving:
    """Nodes, by their names in the store, and what they serve: all that the facts know, where nothing else
    was told. A process keeps it when it is gone, as its claims may come late, and leaves nothing of it to
    the one that takes its place."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._alone: dict[str, frozenset[str]] = {}
        self._before: dict[str, str] = {}
        self._latest: dict[str, frozenset[str]] = {}

    def told(self, node: str, queues: Iterable[str], before: str | None = None) -> None:
        """A node comes, in the place of ``before``, that serves these queues alone."""
        self._alone[node] = self._latest[node] = frozenset(queues)
        if before is not None:
            self._before[node] = before
            self._latest.pop(before, None)

    def changed(self, node: str, queues: Iterable[str]) -> bool:
        """Whether a node serves one of these queues that the one in its place before it did not, or the
        other way about."""
        before = self._before.get(node)
        return before is not None and any(
            self.serves(node, queue) != self.serves(before, queue) for queue in queues
        )

    @property
    def known(self) -> Iterable[str]:
        """The queues that are configured."""
        return self._facts.queues

    def serves(self, node: str, queue: str) -> bool:
        """Whether a node serves a queue."""
        alone = self._alone.get(node)
        return self._facts.served(queue) is not None if alone is None else queue in alone

    def among(self, nodes: Collection[str], queue: str) -> list[str]:
        """Those of some nodes that serve a queue."""
        return [node for node in nodes if self.serves(node, queue)]

    def by_few(self, queue: str) -> bool:
        """Whether a node that was told of leaves a queue to others."""
        return any(queue not in alone for alone in self._latest.values())

    def claims(self, sight: Sight) -> None:
        """A node claims from the queues that it serves, and from no other (section 2 of the contract)."""
        if sight.node == CLIENT or sight.queue is None or self.serves(sight.node, sight.queue):
            return
        sight.alarm("serves", f"a claim from {sight.queue!r}, which it does not serve", *sight.took)
