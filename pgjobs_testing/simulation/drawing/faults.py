"""Draws what befalls nodes, clocks, signals and the store: episodes, each with a least length, and its end.

What befalls one process (a crash, a stop, a suspension) comes one at a time for each node; lines, clocks,
signals and the store fail beside that, so that faults meet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pgjobs_testing.nodes.traps import ANY
from pgjobs_testing.simulation.dice import Dice
from pgjobs_testing.simulation.drawing.times import duration
from pgjobs_testing.simulation.verdict import Options

GAP_S = 30.0
"""Half the longest time from one episode to the next: dense, so that what takes several at once is met."""
POINTS = ("claim", "settle", "poll", "beat", "lead", "rescue", "prune", "tick", ANY)
FAILING = (*POINTS, "find", "watermarks", *("claim", "settle", "tick") * 3)
LATE_ENDS = 0.25
"""How often an outcome is late beside an episode, where jobs end together: such an end is rare."""
LATE_CALLS = 0.05
"""How often a leader stands still between the claim of a tick and the call, beside an episode, where leaders
have functions to call: by chance alone it never does."""
OTHER_QUEUES = 0.4
"""The share of versions with other plugins that have other queues, too."""
OF_ALL = 0.3
"""The share of those that come to all nodes, one after another, ``IN_TURN_S`` from one to the next."""
IN_TURN_S = 5.0
RETIRED = 0.25
"""The share of worlds with versions that give up a queue on the way: what is left in it waits for ever."""
BACK = 0.6
"""The share of worlds with versions in which, faults being over, each node serves what it should."""
LEASE_S = 30.0
SAFE_SKEW_S = 5.0
"""Clocks follow the server's in production, so that they are off by less than this; half a lease or half the
time to a rescue would be too much for any lease or heartbeat."""


class Episodes:
    """``steps`` in the order in which they were drawn, with ``at`` in seconds; ``outages`` of the store."""

    def __init__(
        self,
        dice: Dice,
        nodes: Sequence[str],
        plugins: Sequence[str],
        until_s: float,
        faults: Sequence[str],
        *,
        groups: bool = False,
        queues: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """``groups``: there are workers whose jobs end together, so outcomes are often late. ``queues``, each
        with the nodes that serve it, may be served by others under another version; without them none is."""
        self._dice, self._nodes, self._plugins, self._until = dice, nodes, plugins, until_s
        self._queues = {} if queues is None else queues
        self._retired = ""
        self._serving = {node: self._served(node) for node in nodes}
        self.steps: list[dict[str, Any]] = []
        self.outages: list[tuple[float, float]] = []
        self._free = dict.fromkeys([*nodes, *(f"line {node}" for node in nodes)], 0.0)
        kinds: dict[str, Callable[[str, float], None]] = {
            "crash": self._crash,
            "restart": self._restart,
            "stop": self._stop,
            "suspend": self._suspend,
            "partition": self._partition,
            "slow": self._slow,
            "fail": self._fail,
            "conflict": self._conflict,
            "outage": self._outage,
            "notifications": self._notifications,
            "skew": self._skew,
            "drift": self._drift,
            "depose": self._depose,
            "rolling": self._rolling,
        }
        # Some kinds alone in each world: a node that crashes every few minutes hides what only one that
        # lives for long keeps wrong, since its jobs are rescued.
        known = [name for name in kinds if name in faults]
        wanted = [kinds[name] for name in (dice.some("kinds", known) if known else ())]
        calls = "leader_tasks" in plugins and {"slow", "suspend"} <= {*faults}
        retires = until_s
        if len(self._queues) > 1 and self._rolling in wanted and dice.chance("retired", RETIRED):
            retires = until_s * dice.whole("retired", 1, 6) / 10
        at = dice.long("episode", 1, GAP_S)
        while wanted and at < until_s:
            if at >= retires and not self._retired:
                self._retire(at)
            dice.one("episode", wanted)(dice.one("episode", nodes), at)
            if groups and "fail" in faults and dice.chance("late end", LATE_ENDS):
                self._late_end(dice.one("late end", nodes), at)
            if calls and dice.chance("late call", LATE_CALLS):
                self._late_call(dice.one("late call", nodes), at)
            at += dice.long("episode", GAP_S / 50, GAP_S * 2)
        if self._retired or dice.chance("back", BACK):
            self._all_back()

    # What befalls a process

    def _crash(self, node: str, at: float) -> None:
        point = self._dice.one("crash", [None, *POINTS])
        if point is None:
            self._down(node, at, {"crash": node}, 5, 200)
        else:
            when = self._dice.one("crash", ["before", "after"])
            self._down(node, at, {"crash": {"node": node, when: point}}, 5, 200)

    def _restart(self, node: str, at: float) -> None:
        """Gone and back in a moment, while its lease and its heartbeat are still good."""
        self._down(node, at, {"crash": node}, 0.1, 3)

    def _stop(self, node: str, at: float) -> None:
        grace = self._dice.long("stop", 0.1, 30)
        stop = {"stop": {"node": node, "grace": duration(grace)}}
        self._down(node, at, stop, 5, 120, then=[{"crash": {"node": node, "before": ANY}}])

    def _rolling(self, node: str, at: float) -> None:
        """A version with other plugins for a while, and often with other queues; now and then all nodes get
        it, one after another, so that there may be queues that nobody serves."""
        dice = self._dice
        plugins, queues = dice.some("rolling", self._plugins), None
        nodes: Sequence[str] = [node]
        if self._queues and dice.chance("queues", OTHER_QUEUES):
            queues = dice.some("queues", [each for each in self._queues if each != self._retired])
            if dice.chance("queues", OF_ALL):
                nodes = self._nodes
        for n, each in enumerate(nodes):
            self._replaced(each, at + n * IN_TURN_S, plugins, queues)

    def _replaced(self, node: str, at: float, plugins: list[str], queues: list[str] | None) -> None:
        end = self._down(node, at, {"crash": node}, 1, 20, plugins=plugins, queues=queues)
        if end is not None:
            self._replaced_for_good(node, end + 30)

    def _replaced_for_good(self, node: str, at: float) -> None:
        """The version that all should have."""
        own = self._served(node)
        queues = None if self._serving[node] == own else own
        self._down(node, at, {"crash": node}, 1, 20, plugins=[*self._plugins], queues=queues)

    def _retire(self, at: float) -> None:
        """No version serves one of the queues any more; never the first, which is for all nodes."""
        self._retired = self._dice.one("retired", list(self._queues)[1:])
        for n, node in enumerate(self._nodes):
            self._replaced_for_good(node, at + n * IN_TURN_S)

    def _all_back(self) -> None:
        """Who serves other queues than it should serves these at last, when all else is over."""
        for node in self._nodes:
            own = self._served(node)
            if self._serving[node] != own:
                self._add(self._until + 1, {"crash": node})
                self._add(self._until + 2, {"restart": {"node": node, "queues": own}})

    def _served(self, node: str) -> list[str]:
        """The queues that a node should serve."""
        queues = self._queues.items()
        return [queue for queue, nodes in queues if node in nodes and queue != self._retired]

    def _down(
        self,
        node: str,
        at: float,
        how: dict[str, Any],
        least_s: float,
        most_s: float,
        then: Sequence[dict[str, Any]] = (),
        plugins: list[str] | None = None,
        queues: list[str] | None = None,
    ) -> float | None:
        end = self._episode(node, at, least_s, most_s)
        if end is None:
            return None
        self._add(at, how)
        for step in then:
            self._add(end, step)
        version: dict[str, Any] = {"plugins": plugins} if plugins else {}
        if queues is not None:
            version["queues"] = self._serving[node] = queues
        self._add(end, {"restart": {"node": node, **version} if version else node})
        return end

    def _suspend(self, node: str, at: float) -> None:
        longer = self._dice.chance("suspend", 0.6)
        end = self._episode(node, at, *((LEASE_S, 200) if longer else (0.5, 20)))
        if end is not None:
            self._add(at, {"suspend": {"node": node, "for": duration(end - at)}})

    # What befalls its line and its clock

    def _partition(self, node: str, at: float) -> None:
        end = self._episode(f"line {node}", at, 3, 150)
        if end is not None:
            self._add(at, {"partition": node})
            self._add(end, {"heal": node})

    def _slow(self, node: str, at: float) -> None:
        end = self._episode(f"line {node}", at, 10, 120)
        if end is not None:
            by = self._dice.long("slow", 0.1, 15)
            self._add(at, {"slow": {"node": node, "by": duration(by)}})
            self._add(end, {"slow": {"node": node, "by": "0s"}})

    def _skew(self, node: str, at: float) -> None:
        off = self._dice.long("skew", 0.1, SAFE_SKEW_S / 2)
        sign = self._dice.one("skew", ["", "-"])
        end = min(self._until, at + self._dice.long("skew", 10, 300))
        self._add(at, {"skew": {"node": node, "by": sign + duration(off)}})
        self._add(end, {"skew": {"node": node, "by": "0s"}})

    def _drift(self, node: str, at: float) -> None:
        ppm = self._dice.one("drift", [-2_000, -100, 100, 2_000])
        end = min(self._until, at + self._dice.long("drift", 60, 600))
        self._add(at, {"drift": {"node": node, "ppm": ppm}})
        self._add(end, {"drift": {"node": node, "ppm": 0}})
        self._add(end, {"skew": {"node": node, "by": "0s"}})

    # What befalls effects, signals and the store

    def _fail(self, node: str, at: float) -> None:
        self._failing(node, at, ["before", "after", "after", "late"])

    def _conflict(self, node: str, at: float) -> None:
        self._failing(node, at, ["conflict", "deadlock", "refused"])

    def _failing(self, node: str, at: float, hows: Sequence[str]) -> None:
        effect = self._dice.one("fail", FAILING)
        if self._episode(f"{effect} of {node}", at, 60, 120) is None:
            return  # failures of one effect would add up, and outlive the time for faults
        fail: dict[str, Any] = {
            "node": node,
            "effect": effect,
            "how": self._dice.one("fail", hows),
            "times": self._dice.one("fail", [1, 1, 2, 5]),
        }
        if fail["how"] == "late":
            fail["by"] = duration(self._dice.long("fail", 0.1, 30))
        self._befalls(node, at, {"fail": fail})

    def _late_end(self, node: str, at: float) -> None:
        """Outcomes whose answers are lost, which the server takes in meanwhile or long after."""
        fail: dict[str, Any] = {"node": node, "effect": "settle", "how": "late"}
        fail["times"] = self._dice.one("late end", [1, 1, 2])
        by = self._dice.one("late end", [1.0, 30.0])  # before it is sent again, or after
        fail["by"] = duration(self._dice.long("late end", 0.1, by))
        self._befalls(node, at, {"fail": fail})

    def _late_call(self, node: str, at: float) -> None:
        """It stands still, for longer than its lease, when the answer to a claim of the next full minute is
        on its way."""
        minute = at - at % 60 + 60
        end = minute + self._dice.long("late call", LEASE_S + 1, 100)
        line = f"line {node}"
        if max(self._free[node], self._free[line]) > at or end > self._until:
            return
        self._free[node] = self._free[line] = end + 1.0
        by = duration(self._dice.long("late call", 1, 5))
        self._add(minute - 1, {"slow": {"node": node, "by": by}})
        self._add(minute + 0.5, {"suspend": {"node": node, "for": duration(end - minute - 0.5)}})
        self._add(end, {"slow": {"node": node, "by": "0s"}})

    def _depose(self, _: str, at: float) -> None:
        """Nobody can renew the lease, until it is over; not again before those failures are used up."""
        if self._episode("lease", at, 120, 200) is None:
            return
        for node in self._nodes:
            fail = {"node": node, "effect": "lead", "how": "before", "times": 6}
            self._befalls(node, at, {"fail": fail})

    def _outage(self, _: str, at: float) -> None:
        begin = max(at, self.outages[-1][1] if self.outages else 0.0)
        end = min(self._until, begin + self._dice.long("outage", 2, 120))
        if end > begin:
            self.outages.append((begin, end))
            self._add(begin, {"database": "down"})
            self._add(end, {"database": "up"})

    def _notifications(self, _: str, at: float) -> None:
        end = self._episode("notifications", at, 10, 300)
        if end is None:
            return
        kind = self._dice.one("notifications", ["drop", "delay", "double"])
        if kind == "delay":
            by = duration(self._dice.long("notifications", 0.1, 10))
            self._add(at, {"delay_notifications": by})
            self._add(end, {"delay_notifications": "0s"})
        else:
            self._add(at, {f"{kind}_notifications": True})
            self._add(end, {f"{kind}_notifications": False})

    # Its means

    def _befalls(self, node: str, at: float, step: dict[str, Any]) -> None:
        """Only a process that is up has effects that fail."""
        if self._free[node] <= at:
            self._add(at, step)

    def _episode(self, what: str, at: float, least_s: float, most_s: float) -> float | None:
        """When an episode ends that begins now; None where another one of its kind is not over."""
        end = at + self._dice.long("length", least_s, most_s)
        if self._free.get(what, 0.0) > at or end > self._until:
            return None
        self._free[what] = end + 1.0
        return end

    def _add(self, at: float, step: dict[str, Any]) -> None:
        self.steps.append({"at": at, **step})


def dead_for_good(
    dice: Dice, nodes: Sequence[str], options: Options, at_s: float
) -> list[dict[str, Any]]:
    """In every third world of several nodes one crashes at last, and never comes back."""
    if "crash" not in options.faults or len(nodes) == 1 or not dice.chance("dead", 0.33):
        return []
    return [{"at": at_s + 60.0, "crash": dice.one("dead", nodes)}]
