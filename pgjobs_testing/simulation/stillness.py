"""Whether a step of a world came after something that nodes did at its very instant.

In a file the steps of an instant come before all that the engine does then. A world does each step when the
engine has come to rest: the file tells of that only where it matters, which is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pgjobs.ports import Done
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.flow import Member, VirtualExecutor
from pgjobs_testing.nodes.cluster import Cluster
from pgjobs_testing.recorder import Recorder

OF_ALL = ("database", "drop_notifications", "delay_notifications", "double_notifications")
OF_CLOCKS = ("skew", "drift")


class Stillness:
    """What nodes did since an instant began, or since ``forget`` where that is later."""

    def __init__(self, cluster: Cluster, clock: VirtualClock, recorder: Recorder) -> None:
        self._cluster, self._clock, self._recorder = cluster, clock, recorder
        self.forget()

    def forget(self) -> None:
        """What was done till now comes before whatever follows, and the file tells so."""
        self._acted = self._left_out = False
        self._changed: list[str] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Nodes do what is due at this instant, inside the block."""
        now, members, before = self._clock.now(), self._cluster.members, len(self._recorder)
        due = self._cluster.next_due()
        self._acted |= due is not None and due <= now
        self._acted |= any(_goes_on(each.executor) or _hears(each, now) for each in members)
        self._acted |= any(line.dead for line in self._cluster.lines)
        self._left_out |= any(each.node.stager.frees(each.now(now)) for each in members)
        yield
        self._acted |= len(self._recorder) != before

    def note(self, step: Mapping[str, Any]) -> None:
        """A step was done; what nodes do next follows from it."""
        self._changed.append(_changed(step))

    def matters(self, step: Mapping[str, Any]) -> bool:
        """Whether another trace could follow from the step, had it been done before what nodes did.

        What nobody saw may matter all the same: a heartbeat that would not have come is missed later, and a
        node has noticed that it was cut off, before it is healed. But a poll that is left out, as it would
        have found nothing, would find as little after a process is gone, or as the job is inserted that
        every node hears of.
        """
        what = _changed(step)
        if self._acted or any(_noticed(each, what) for each in self._changed):
            return True
        lost = "restart" in step or isinstance(step.get("crash"), str)
        return self._left_out and not lost and not (what == "jobs" and self._all_hear())

    def _all_hear(self) -> bool:
        """Whether nothing befalls any node on its way to the store, nor a signal on its way to a node."""
        store = self._cluster.store
        if store.down or store.mute or store.doubled or store.delay:
            return False
        return not any(line.cut or line.slow or line.traps for line in self._cluster.lines)


def _goes_on(executor: VirtualExecutor) -> bool:
    """Whether a run has ended, or can go on at once."""
    return executor.pending or executor.wants_loop


def _hears(member: Member, now: datetime) -> bool:
    """Whether a node acts upon what came; that a job falls due later it only keeps in mind."""
    shown = member.now(now)
    return any(
        isinstance(each, Done) or each.kind != "due" or each.at is None or each.at <= shown
        for each in member.session.inbox
    )


def _changed(step: Mapping[str, Any]) -> str:
    """What a step changes, in a word that the step has, too, which changes it back."""
    if "insert" in step:
        return "jobs"
    if "slow" in step:
        return f"slow {step['slow']['node']}"
    if "partition" in step or "heal" in step:
        return f"cut {step.get('partition', step.get('heal'))}"
    if any(each in step for each in OF_CLOCKS):
        return "clocks"
    return next((each for each in OF_ALL if each in step), "")


def _noticed(before: str, now: str) -> bool:
    """Whether nodes have noticed a change, and would not have with this one at once: it is changed back, or a
    clock is set before or after something is heard."""
    if {before, now} == {"jobs", "clocks"}:
        return True
    return before == now and before not in ("", "jobs", "clocks")
