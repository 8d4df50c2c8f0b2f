"""What each node may go by: the controls that it has heard of, and the runs that it has under way.

A pause is known to a node when a poll has told it; until then it may start jobs of the paused queue, but not
for longer than a poll takes to come round (edge 16). What is on its way counts as not heard yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pgjobs.effects import Poll
from pgjobs.rules.control import Control
from pgjobs_testing.invariants.facts import Facts
from pgjobs_testing.invariants.sight import Sight

Controls = Mapping[str, Control]


@dataclass(slots=True)
class _Node:
    """What one node has heard, the newest last; ``awake`` since when it has not stood still."""

    heard: list[tuple[datetime, Controls]] = field(default_factory=list)
    polled: Poll | None = None
    told_anew: bool = False
    in_trouble: bool = False
    awake: datetime | None = None


class Hearing:
    """What nodes have heard of controls. It is told of polls, of failures, and of who stood still."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._nodes: dict[str, _Node] = {}
        self._set: datetime | None = None

    def was_set(self, sight: Sight) -> None:
        """Something was set by hand, or taken back."""
        self._set = sight.now

    def polled(self, sight: Sight) -> None:
        """A poll told a node of the controls; one that comes too late tells nothing."""
        if sight.late:
            return
        node = self._nodes.get(sight.node)
        if node is None:
            node = self._nodes[sight.node] = _Node()
        heard, controls = node.heard, sight.answer.controls
        node.polled, node.in_trouble = sight.effect, False
        node.told_anew = not heard or heard[-1][1] != controls
        if node.told_anew:
            heard.append((sight.now, controls))

    def failed(self, name: str, effect: Poll) -> None:
        """A poll whose answer is lost tells its node nothing, and the next may be long in coming."""
        node = self._nodes.get(name)
        if node is not None:
            node.in_trouble = True
            if node.polled is effect and node.told_anew:
                node.heard.pop()
                node.told_anew = False

    def stood_still(self, name: str, until: datetime) -> None:
        """A node did nothing for a while, and goes on."""
        self._nodes.setdefault(name, _Node()).awake = until

    def may_go_by(self, name: str, now: datetime) -> list[Controls]:
        """The controls that a node may take for those in force: what it surely heard last, and what is
        perhaps still on its way."""
        node = self._nodes.get(name)
        if node is None:
            return []
        surely = now - self._facts.delay
        found: list[Controls] = []
        for place in range(len(node.heard) - 1, -1, -1):
            at, controls = node.heard[place]
            found.append(controls)
            if at < surely:
                del node.heard[:place]
                break
        return found

    def overdue(self, name: str, now: datetime) -> bool:
        """Whether a node should have heard by now of what was set last."""
        node, facts = self._nodes.get(name), self._facts
        if node is None or self._set is None or node.in_trouble or facts.elide:
            return False
        since = self._set if node.awake is None else max(self._set, node.awake)
        return now - since > facts.poll_interval + 2 * (facts.delay + facts.skew)


class Losses:
    """A node that hears that a claim is lost tells the run, and looks after it no more (edge 9; bug
    61).

    A poll names the claims whose runs nobody has told to end: what the answer before it said is lost must not
    be among them.
    """

    def __init__(self) -> None:
        self._heard: dict[str, tuple[Poll, list[tuple[int, str]]]] = {}

    def polled(self, sight: Sight) -> None:
        """A poll asks for claims, and its answer says which of them are lost."""
        if sight.late:
            return
        poll: Poll = sight.effect
        _, told = self._heard.pop(sight.node, (poll, []))
        deaf = [claim[0] for claim in told if claim in poll.held]
        if deaf:
            sight.alarm(
                "told",
                f"the runs of jobs {deaf} go on, though a poll told that they are lost",
                *deaf,
            )
        if sight.answer.lost:
            lost = [claim for claim in poll.held if claim[0] in sight.answer.lost]
            self._heard[sight.node] = poll, lost

    def failed(self, name: str, effect: Poll) -> None:
        """A poll whose answer is lost tells its node nothing."""
        if name in self._heard and self._heard[name][0] is effect:
            del self._heard[name]

    def gone(self, name: str) -> None:
        """A node polls no more."""
        self._heard.pop(name, None)


@dataclass(slots=True)
class Runs:
    """Claims and the runs that they became: by node, queue, and claim (job id, token)."""

    claims: dict[tuple[int, str], str] = field(default_factory=dict)
    tokens: dict[str, None] = field(default_factory=dict)
    started: dict[tuple[int, str], None] = field(default_factory=dict)
    running: dict[str, dict[tuple[int, str], str]] = field(default_factory=dict)

    def of(self, node: str, queue: str) -> int:
        """How many runs of a queue hold a slot of a node."""
        running = self.running.get(node)
        return 0 if running is None else list(running.values()).count(queue)

    def knows(self, node: str, claim: tuple[int, str]) -> bool:
        """Whether a node has a run of this claim."""
        return claim in self.running.get(node, {})

    @property
    def used(self) -> bool:
        """Whether anybody tells of runs."""
        return bool(self.started)

    def begin(self, node: str, claim: tuple[int, str], queue: str) -> None:
        """A run takes a slot."""
        self.started[claim] = None
        self.running.setdefault(node, {})[claim] = queue

    def end(self, node: str, claim: tuple[int, str]) -> None:
        """A run gives its slot back."""
        self.running.get(node, {}).pop(claim, None)
