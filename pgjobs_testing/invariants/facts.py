"""What the invariants know of a world before it begins, and how soon such a world comes to rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from pgjobs.engine.duty import LONGEST_PAUSE_S
from pgjobs.engine.farewell import GIVE_UP_AFTER
from pgjobs.engine.heart import EVERY as BEAT
from pgjobs.engine.heart import TOO_OLD
from pgjobs.engine.leader import SPAN
from pgjobs.engine.strays import EVERY as LOOK_FOR_STRAYS
from pgjobs.plugins import Cron, CronEntry, LeaderTasks, Plugin, Pruner, Stalled
from pgjobs.rules.control import Control
from pgjobs.rules.limits import UNLIMITED, Limits
from pgjobs.rules.options import EVERY_QUEUE, POLL_INTERVAL, Queue
from pgjobs.rules.schedule import duration
from pgjobs.rules.stalled import MISSED_BEATS
from pgjobs.worker import Registry

NOTHING = timedelta(0)

_P = TypeVar("_P", Pruner, Stalled, Cron, LeaderTasks)


@dataclass(frozen=True)
class Facts:
    """A world as it is configured.

    ``queues`` are those that every node serves, ``others`` how it serves the rest (None: not at all).
    ``plugins`` are those of any node of any version. ``skew`` is the furthest that the clock of a node ever
    is from the world's, ``delay`` the longest that an effect is under way, ``longest_run`` how long a run
    takes at most, ``grace`` what a stop waits. ``elide``: polls and beats that find nothing are left out.
    """

    queues: Mapping[str, Queue]
    registry: Registry
    plugins: Sequence[Plugin] = ()
    others: Queue | None = None
    jitter: bool = True
    elide: bool = False
    poll_interval: timedelta = POLL_INTERVAL
    beat: timedelta = BEAT
    skew: timedelta = NOTHING
    delay: timedelta = NOTHING
    longest_run: timedelta = timedelta(minutes=1)
    grace: timedelta = timedelta(seconds=15)
    lease: str = field(default="default")
    """The name under which the nodes lead: that of their instance."""
    _limits: dict[str, Limits] = field(default_factory=dict, init=False, repr=False, compare=False)

    def served(self, queue: str) -> Queue | None:
        """How nodes are configured to serve a queue; None where they do not."""
        return self.queues.get(queue, self.others)

    def limits(self, queue: str) -> Limits:
        """What holds in a queue over all nodes."""
        found = self._limits.get(queue)
        if found is None:
            configured = self.served(queue)
            found = self._limits[queue] = (
                UNLIMITED
                if configured is None
                else Limits(configured.rate_limit, configured.global_concurrency)
            )
        return found

    def by_hand(self, queue: str, controls: Mapping[str, Control]) -> tuple[bool, int]:
        """Whether a queue is paused, and its concurrency on a node, under these controls."""
        configured = self.served(queue) or Queue()
        paused, concurrency = configured.paused, configured.concurrency
        if not controls:
            return paused, concurrency
        everywhere, own = controls.get(EVERY_QUEUE), controls.get(queue)
        if everywhere is not None and everywhere.paused is not None:
            paused = everywhere.paused
        if own is not None:
            if own.paused is not None and own.paused_over in (None, configured.paused):
                paused = own.paused
            if own.concurrency is not None and own.concurrency_over in (
                None,
                configured.concurrency,
            ):
                concurrency = own.concurrency
        return paused, concurrency

    @cached_property
    def rescue_after(self) -> timedelta | None:
        """The least silence after which a node is rescued from; None where nobody rescues."""
        found = [duration(each.rescue_after, "rescue_after") for each in _of(self.plugins, Stalled)]
        return min(found, default=None)

    @cached_property
    def max_age(self) -> timedelta | None:
        """The least age at which a job is pruned; None where nobody prunes."""
        found = [duration(each.max_age, "max_age") for each in _of(self.plugins, Pruner)]
        return min(found, default=None)

    @cached_property
    def entries(self) -> dict[str, CronEntry]:
        """Every entry that has ticks, by its key in the store, which names the instance as well."""
        found = {entry.key: entry for cron in _of(self.plugins, Cron) for entry in cron.entries}
        found |= self.tasks
        return {f"{self.lease}:{key}": found[key] for key in sorted(found)}

    @cached_property
    def tasks(self) -> dict[str, CronEntry]:
        """Every entry that calls a function, by its key without the instance."""
        tasks = _of(self.plugins, LeaderTasks)
        return {entry.key: entry for each in tasks for entry in each.entries}

    @cached_property
    def led(self) -> bool:
        """Whether there is anything that only a leader does."""
        swept = self.rescue_after is not None or self.max_age is not None
        return swept or bool(self.entries)


def settles_within(facts: Facts) -> timedelta:
    """How long after the end of all faults a world is at rest: a bound, not an estimate.

    Who waits for a store that failed asks it again after its longest pause. Then a lease must run out and
    be taken; the new leader beats steadily before it judges; the silence of the dead must be long enough,
    and the next look come. A claim in doubt is looked for again. A stop ends after its grace, when it
    gives up. What is given back runs once more. A clock that is off makes each wait longer by as much as
    it can be off.
    """
    patience = timedelta(seconds=1.5 * LONGEST_PAUSE_S)
    found = patience + SPAN + facts.poll_interval + LOOK_FOR_STRAYS + facts.grace + GIVE_UP_AFTER
    if facts.rescue_after is not None:
        longest = [
            max(duration(each.rescue_after, "rescue_after"), MISSED_BEATS * facts.beat)
            + duration(each.interval, "interval")
            for each in _of(facts.plugins, Stalled)
        ]
        found += max(longest) + TOO_OLD * facts.beat
    return found + 2 * facts.longest_run + 4 * facts.skew + 8 * facts.delay


def _of(plugins: Iterable[Plugin], kind: type[_P]) -> list[_P]:
    return [plugin for plugin in plugins if isinstance(plugin, kind)]
