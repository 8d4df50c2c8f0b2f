"""What lasts in a world until a step ends it: what a step changes of that, and which steps end it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pgjobs.rules.schedule import later
from pgjobs_testing.nodes.cluster import Cluster, SimulationError
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.scenarios.play import Play

OVER = "0s"


class Lasting:
    """The faults that last, of ``nodes`` and of what they share."""

    def __init__(self, cluster: Cluster, recorder: Recorder, nodes: Sequence[str]) -> None:
        self._cluster, self._recorder, self._nodes = cluster, recorder, nodes
        self._by: dict[tuple[str, str], str] = {}

    def changes(self, step: Mapping[str, Any]) -> bool:
        """Whether a step changes anything; ``SimulationError`` where it cannot be.

        What the cluster would take without a word, and a file that tells of it may not have.
        """
        store = self._cluster.store
        if "database" in step:
            return store.down is not (step["database"] == "down")
        if "drop_notifications" in step:
            return store.mute is not step["drop_notifications"]
        if "double_notifications" in step:
            return store.doubled is not step["double_notifications"]
        if "partition" in step and self._cluster.is_cut(node := step["partition"]):
            raise SimulationError(f"node {node} is cut off already: heal it first")
        if "heal" in step and not self._cluster.is_cut(node := step["heal"]):
            raise SimulationError(f"node {node} is not cut off")
        if "stop" in step and (node := step["stop"]["node"]) in self._shown(self._cluster.stopping):
            raise SimulationError(f"node {node} is stopping already")
        for what in ("crash", "fail"):
            told = step.get(what)
            node = told["node"] if isinstance(told, Mapping) else told
            if node is not None and node not in self._shown(self._cluster.living):
                raise SimulationError(f"node {node} is down and cannot {what}: restart it first")
        return True

    def note(self, step: Mapping[str, Any]) -> None:
        """A step was done."""
        for kind in ("skew", "slow"):
            if kind in step:
                self._by[kind, step[kind]["node"]] = step[kind]["by"]
        if "delay_notifications" in step:
            self._by["delay_notifications", ""] = step["delay_notifications"]

    def ends(self) -> Iterator[dict[str, Any]]:
        """The steps that end everything that lasts."""
        store = self._cluster.store
        if store.down:
            yield {"database": "up"}
        if store.mute:
            yield {"drop_notifications": False}
        if store.doubled:
            yield {"double_notifications": False}
        if self._off("delay_notifications", ""):
            yield {"delay_notifications": OVER}
        for node in self._nodes:
            for kind in ("skew", "slow"):
                if self._off(kind, node):
                    yield {kind: {"node": node, "by": OVER}}
            if self._cluster.is_cut(node):
                yield {"heal": node}

    def _off(self, kind: str, node: str) -> bool:
        return self._by.get((kind, node), OVER) != OVER

    def _shown(self, processes: Sequence[str]) -> list[str]:
        """The nodes whose processes these are."""
        return [self._recorder.shown(process) for process in processes]


def await_rest(play: Play, reach: Callable[[datetime], None]) -> None:
    """Let time pass, by ``reach``, in which all must come to rest; ``AlarmError`` where it has not.

    What was armed before may yet befall an effect: then it takes as much again.
    """
    oversight = play.overseer
    assert oversight is not None
    since, sprung = None, play.clock.now()
    while since != sprung:
        since = sprung
        reach(later(since, oversight.bound))
        sprung = max(since, play.cluster.store.sprung or since)
    oversight.at_the_end(since)
