"""Which jobs may start, when, in which order, and in whose name: what must hold of every claim."""

from __future__ import annotations

from pgjobs.effects import ClaimWithin
from pgjobs.engine.heart import TOO_OLD
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.selection import OneOf
from pgjobs_testing.invariants.hearing import Hearing, Runs
from pgjobs_testing.invariants.ledger import node_of
from pgjobs_testing.invariants.passages import Passage
from pgjobs_testing.invariants.sight import CLIENT, Sight, named

OF_A_QUEUE = ("state", "queue")


def looked_at(sight: Sight) -> None:
    """Take down what a claim is of, and what it took: for the invariants that follow."""
    effect, answer = sight.effect, sight.answer
    jobs: list[Job] = answer.jobs if type(effect) is ClaimWithin else answer
    sight.took = tuple([job.id for job in jobs])
    for condition in effect.selection.conditions:
        if type(condition) is OneOf:
            if condition.field == "queue":
                sight.queue = condition.values[0]
            elif condition.field not in OF_A_QUEUE:
                sight.by_name = True


def in_order(sight: Sight, passage: Passage) -> None:
    """Jobs start by priority, then ``scheduled_at``, then id (edge 3; bugs 25, 28, 29)."""
    if sight.by_name:
        return
    first = sight.ledger.first(sight.queue)
    if first is not None and first.id != passage.id:
        sight.alarm(
            "in_order",
            f"job {passage.id} starts before {named(first)}, which comes first",
            passage.id,
            first.id,
        )


class NotEarly:
    """Nothing is available before its ``scheduled_at`` by the clock of whoever makes it so, nor starts before
    it by the clock that is furthest ahead (edges 3, 16; bugs 14, 82, 97).

    What is rescued or given back is available at once, also where ``replace`` dated it ahead while it ran
    (edges 11, 12). What is replaced while it is available was made so by another, whose clock may be ahead.
    """

    def __init__(self) -> None:
        self._given_back: dict[int, None] = {}

    def gives_back(self, sight: Sight, passage: Passage) -> None:
        """A job is rescued or given back."""
        after = passage.after
        if after is None or after.state is not JobState.AVAILABLE:
            return
        if after.scheduled_at > passage.at:
            self._given_back[passage.id] = None

    def __call__(self, sight: Sight, passage: Passage) -> None:
        after = passage.after
        if after is None:
            return
        if passage.event == "claim":
            ahead = after.scheduled_at - sight.now
            given_back = passage.id in self._given_back
            self._given_back.pop(passage.id, None)
            if ahead > sight.facts.skew and not given_back:
                sight.alarm(
                    "not_early", f"{named(after)} starts {ahead} before it is due", passage.id
                )
            return
        if passage.before is not None and passage.before.state is JobState.AVAILABLE:
            return
        if after.state is JobState.AVAILABLE and after.scheduled_at > passage.at:
            ahead = after.scheduled_at - passage.at
            sight.alarm(
                "not_early", f"{named(after)} is made so {ahead} before it is due", passage.id
            )


def not_dated_ahead(sight: Sight, passage: Passage) -> None:
    """No instant is written that the clock of its node cannot have shown yet (bugs 82, 97, 98)."""
    ahead = passage.at - sight.now
    if ahead > sight.facts.skew:
        sight.alarm(
            "not_dated_ahead",
            f"{passage.event} of job {passage.id} is dated {ahead} ahead",
            passage.id,
        )


def not_dated_behind(sight: Sight, passage: Passage) -> None:
    """What is decided as it is done is dated by a clock, and none shows less than it can be behind (bug 97).

    So windows of a rate hold in the world's time, too, but for twice as far as clocks are off. Outcomes are
    dated when their runs ended, and what comes true late when it was asked for.
    """
    behind = sight.now - passage.at
    if behind > sight.facts.skew and not sight.late:
        sight.alarm(
            "not_dated_behind",
            f"{passage.event} of job {passage.id} is dated {behind} behind",
            passage.id,
        )


def in_its_own_name(sight: Sight, passage: Passage) -> None:
    """A node claims in its own name, so that its own heartbeat is looked at (edge 11; bug 79)."""
    after = passage.after
    if after is not None and sight.node != CLIENT and node_of(after) != sight.node:
        sight.alarm(
            "in_its_own_name", f"{named(after)} is claimed for {node_of(after)!r}", passage.id
        )


def beats_first(sight: Sight) -> None:
    """A node claims nothing before its first heartbeat, nor while its last is old (edge 11; bugs 68, 79)."""
    effect = sight.effect
    if sight.late or sight.node == CLIENT:
        return
    beat = sight.ledger.beats.get(sight.node)
    if beat is None:
        sight.alarm("beats_first", "a claim of a node that has no heartbeat")
    age = effect.change.at - beat.beat_at
    if age > TOO_OLD * beat.every and not sight.facts.elide:
        sight.alarm("beats_first", f"a claim of a node that has not beaten for {age}")


class Tokens:
    """Each claim has a token of its own, and what it took starts once (edge 8; bugs 34, 77, 80)."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def claims(self, sight: Sight) -> None:
        """A claim's token is new."""
        named_by = sight.effect.change.attempted_by
        token = named_by[1] if named_by is not None and len(named_by) > 1 else ""
        if not token or token in self._runs.tokens:
            sight.alarm("own_token", f"a claim under the token {token!r}, which is not new")
        self._runs.tokens[token] = None

    def claimed(self, sight: Sight, passage: Passage) -> None:
        """Whose claim it is."""
        assert passage.after is not None
        self._runs.claims[passage.id, passage.after.token] = sight.node


class Unpaused:
    """Nothing starts from a queue of which its node knows, or must know by now, that it is paused; nor before
    the node has read the controls (edge 16, section 2 of the contract)."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing

    def __call__(self, sight: Sight) -> None:
        node, facts, queue, jobs = sight.node, sight.facts, sight.queue, sight.took
        if not jobs or sight.late or node == CLIENT or queue is None:
            return
        known = self._hearing.may_go_by(node, sight.now)
        if not known:
            sight.alarm("unpaused", f"a claim from {queue!r} before the controls were read", *jobs)
        if all(facts.by_hand(queue, controls)[0] for controls in known):
            sight.alarm(
                "unpaused", f"a claim from {queue!r}, which the node knows to be paused", *jobs
            )
        if (
            self._hearing.overdue(node, sight.now)
            and facts.by_hand(queue, sight.ledger.controls)[0]
        ):
            sight.alarm(
                "unpaused", f"a claim from {queue!r}, paused for longer than a poll takes", *jobs
            )
