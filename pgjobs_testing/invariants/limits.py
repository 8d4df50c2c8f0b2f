"""How many jobs may start: on a node, on all nodes, and in any window of time."""

from __future__ import annotations

from bisect import bisect_right, insort
from datetime import datetime

from pgjobs.effects import ClaimWithin
from pgjobs.rules.limits import UNLIMITED
from pgjobs.rules.options import RateLimit
from pgjobs_testing.invariants.hearing import Hearing, Runs
from pgjobs_testing.invariants.passages import Passage
from pgjobs_testing.invariants.sight import CLIENT, Sight


class Slots:
    """The runs of a queue on a node are never more than its concurrency, the newest that the node may go by
    (edges 6, 7; bugs 16, 32, 35, 59): running and free slots add up to it."""

    def __init__(self, hearing: Hearing, runs: Runs) -> None:
        self._hearing, self._runs = hearing, runs

    def __call__(self, sight: Sight) -> None:
        node, queue, jobs = sight.node, sight.queue, sight.took
        if sight.late or node == CLIENT or queue is None:
            return
        known = self._hearing.may_go_by(node, sight.now)
        most = max((sight.facts.by_hand(queue, each)[1] for each in known), default=0)
        running, demand = self._runs.of(node, queue), sight.effect.demand
        if running + demand > most:
            seen = f"{demand} more are asked for in {queue!r}, where {running} of {most} run"
            sight.alarm("slots", seen, *jobs)


def within_demand(sight: Sight) -> None:
    """One claim takes no more than it asks for (bug 32)."""
    effect, jobs = sight.effect, sight.took
    if len(jobs) > effect.demand:
        sight.alarm("within_demand", f"a claim of {effect.demand} took {len(jobs)}", *jobs)


def limited(sight: Sight) -> None:
    """A node claims from a limited queue within its limits, and no others (edge 6; bugs 26, 41)."""
    if sight.node == CLIENT or sight.queue is None:
        return
    limits = sight.facts.limits(sight.queue)
    used = getattr(sight.effect, "limits", UNLIMITED)
    if limits is not used and limits != used:
        seen = f"a claim from {sight.queue!r} within {used}, not {limits}"
        sight.alarm("limited", seen, *sight.took)


def over_all_nodes(sight: Sight, passage: Passage) -> None:
    """No more of a queue execute over all nodes than ``global_concurrency`` (edge 6; bugs 35, 37, 41)."""
    effect = sight.effect
    if type(effect) is ClaimWithin and effect.limits.concurrency is not None:
        running = sight.ledger.running.get(effect.queue, 0)
        if running >= effect.limits.concurrency:
            sight.alarm(
                "over_all_nodes",
                f"job {passage.id} starts in {effect.queue!r}, where {running} of "
                f"{effect.limits.concurrency} run on all nodes",
                passage.id,
            )


class Windows:
    """In no half-open window of ``period`` do more than ``allowed`` jobs start, over all nodes (edge 6; bugs
    38, 40). A start is its claim, at the instant that its row has."""

    def __init__(self) -> None:
        self._starts: dict[str, list[datetime]] = {}

    def __call__(self, sight: Sight, passage: Passage) -> None:
        effect, after = sight.effect, passage.after
        if type(effect) is not ClaimWithin or effect.limits.rate is None or after is None:
            return
        rate, at = effect.limits.rate, after.attempted_at
        assert at is not None
        starts = self._starts.setdefault(effect.queue, [])
        insort(starts, at)
        for last in starts[bisect_right(starts, at) - 1 :]:
            held = bisect_right(starts, last) - bisect_right(starts, last - rate.period)
            if last - at < rate.period and held > rate.allowed:
                sight.alarm(
                    "windows",
                    f"{held} starts in {effect.queue!r} within {rate.period}, where {rate.allowed} may",
                    passage.id,
                )
        del starts[: bisect_right(starts, starts[-1] - 2 * rate.period)]

    def full(self, queue: str, rate: RateLimit, now: datetime) -> bool:
        """Whether no job may start at ``now``."""
        starts = self._starts.get(queue, [])
        if starts:
            now = max(now, starts[-1])
        return len(starts) - bisect_right(starts, now - rate.period) >= rate.allowed


class Takes:
    """A claim takes all that it may: what is left is left for a limit's sake (bugs 25, 26, 38, 59)."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows

    def __call__(self, sight: Sight) -> None:
        effect, jobs, queue = sight.effect, sight.took, sight.queue
        if len(jobs) >= effect.demand or queue is None:
            return
        first = sight.ledger.first(queue)
        if first is None:
            return
        if type(effect) is ClaimWithin:
            limits, running = effect.limits, sight.ledger.running.get(queue, 0)
            if limits.concurrency is not None and running >= limits.concurrency:
                return
            if limits.rate is not None and self._windows.full(queue, limits.rate, effect.change.at):
                return
        sight.alarm(
            "takes",
            f"a claim of {effect.demand} from {queue!r} took {len(jobs)}, and left job {first.id}",
            first.id,
        )
