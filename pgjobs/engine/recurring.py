"""The recurring duties of one node, made from its plugins: asleep until it leads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from pgjobs.effects import Effect
from pgjobs.engine.cron import cron
from pgjobs.engine.duty import Duty, Patience, earliest
from pgjobs.engine.leader import Leader
from pgjobs.engine.leader_tasks import Tasks
from pgjobs.engine.led import LedDuty, LedPorts, Sweep
from pgjobs.engine.pruner import pruner
from pgjobs.engine.report import Reporter
from pgjobs.engine.stalled import rescuer
from pgjobs.engine.ticker import Ticker
from pgjobs.plugins import Cron, LeaderTasks, Plugin, Pruner, Stalled
from pgjobs.ports import Clock, Executor
from pgjobs.rules.errors import OpenTransactionError
from pgjobs.rules.schedule import duration, later

PAUSE_AFTER_A_BUG_S = 60.0

log = logging.getLogger("pgjobs")


class Recurring:
    """The leader's duty and the duties of a leader. While not ``awake`` they do nothing."""

    def __init__(
        self,
        name: str,
        node: str,
        plugins: Sequence[Plugin],
        clock: Clock,
        executor: Executor,
        report: Reporter,
        submit: Callable[[Effect[Any], Duty], None],
        renew: Callable[[Effect[Any], Callable[[Any], bool], Duty, datetime], None],
        patience: Callable[[str], Patience],
        judges_from: Callable[[datetime], datetime | None],
        elide: bool,
        woken: Callable[[], None],
    ) -> None:
        self._report = report
        self._woken = woken
        self._elide = elide
        self._clock = clock
        self._awake, self._naps = True, False
        self._duties: dict[str, LedDuty] = {}
        self._broken: dict[str, datetime] = {}
        self._known = False
        self._due: datetime | None = None
        self.leader = Leader(
            name,
            node,
            lambda effect: submit(effect, self.leader),
            lambda effect, expected, now: renew(effect, expected, self.leader, now),
            patience("leader"),
            self._elected,
            elide,
        )

        def ports(duty: str) -> LedPorts:
            return LedPorts(
                self.leader,
                report,
                patience(duty),
                lambda effect: submit(effect, self._duties[duty]),
                lambda effect, expected, now: renew(effect, expected, self._duties[duty], now),
                judges_from,
            )

        for plugin in plugins:
            if isinstance(plugin, Stalled):
                interval = duration(plugin.interval, "interval")
                after = duration(plugin.rescue_after, "rescue_after")
                self._duties["stalled"] = rescuer(
                    ports("stalled"), interval, after, node, lambda: self._naps
                )
            elif isinstance(plugin, Pruner):
                interval, age = (
                    duration(plugin.interval, "interval"),
                    duration(plugin.max_age, "max_age"),
                )
                self._duties["pruner"] = pruner(ports("pruner"), interval, age, plugin.limit, elide)
        crons = [plugin for plugin in plugins if isinstance(plugin, Cron)]
        if any(plugin.entries for plugin in crons):
            self._duties["cron"] = cron(ports("cron"), name, crons)
        tasks = [plugin for plugin in plugins if isinstance(plugin, LeaderTasks)]
        self._tasks: Tasks | None = None
        if any(plugin.entries for plugin in tasks):
            self._tasks = Tasks(ports("tasks"), name, tasks, clock, executor)
            self._duties["tasks"] = self._tasks.ticker

    @property
    def awake(self) -> bool:
        """Whether the duties act. Under test they do only while time passes, and nap in between."""
        return self._awake

    @awake.setter
    def awake(self, awake: bool) -> None:
        self._naps = self._naps or (self._elide and not awake)
        if awake and not self._awake:
            for duty in self._duties.values():
                if isinstance(duty, Sweep):
                    duty.wake(self._clock.now())
        self._awake = awake
        self.stir()
        self._woken()

    def start(self, now: datetime) -> None:
        """The node starts."""
        for duty in self._duties.values():
            if isinstance(duty, Ticker):
                duty.start(now)
        self.stir()
        if self._duties:
            self.leader.start(now)

    def close(self, now: datetime) -> None:
        """The node stops: lead no more."""
        self.stir()
        self.leader.close(now)

    def give_back(self) -> None:
        """The grace is over."""
        if self._tasks is not None:
            self._tasks.tell()

    @property
    def running(self) -> bool:
        """Whether a function of ``LeaderTasks`` has not returned yet."""
        return self._tasks is not None and self._tasks.running

    def stir(self) -> None:
        """Something has happened to the node that may concern its recurring duties."""
        self._known = False

    def next_due(self, now: datetime) -> datetime | None:
        """The earliest instant at which ``step`` has something to do, as of the last time it was stirred.

        Until then it never comes earlier: what passes by itself (a lease, a fresh heartbeat) only
        keeps duties from acting.
        """
        if not self._known:
            self._known, self._due = True, self._next_due(now)
        return self._due

    def _next_due(self, now: datetime) -> datetime | None:
        if not self._awake:
            return None
        first = self.leader.next_due(now)
        acts = self._elide or self.leader.leads(
            now
        )  # who does not lead has but to ask for the lease
        for name, duty in self._duties.items() if acts else ():
            due = duty.next_due(now)
            if due is not None and name in self._broken:
                due = max(due, self._broken[name])
            first = earliest(first, due)
        return first if self._tasks is None else earliest(first, self._tasks.next_due())

    def step(self, now: datetime) -> None:
        """Do what is due; a duty that raises rests for a minute and disturbs no other."""
        due = self._due if self._known else self.next_due(now)
        if due is None or due > now:
            return
        self.stir()
        self.leader.step(now)
        if self._tasks is not None:
            self._tasks.watch(now)
        for name, duty in self._duties.items():
            if name in self._broken:
                if now < self._broken[name]:
                    continue
                del self._broken[name]
            try:
                duty.step(now)
            except OpenTransactionError:  # whoever lets time pass has it open, and is to hear of it
                duty.elected(now)
                raise
            except Exception as error:
                self._rest(name, error, now)

    def broke(self, owner: Duty, error: Exception, now: datetime) -> bool:
        """A duty raised at an answer: it begins anew in a minute. Whether it is one of these."""
        for name, duty in self._duties.items():
            if duty is owner:
                self._rest(name, error, now)
                duty.elected(now)
                return True
        return False

    def _rest(self, name: str, error: Exception, now: datetime) -> None:
        log.error("the plugin %s failed, and is tried again in a minute", name, exc_info=error)
        self._report.failed_plugin(name, error)
        self._broken[name] = later(now, PAUSE_AFTER_A_BUG_S)

    def _elected(self, now: datetime, leads: bool) -> None:
        if not self._elide:  # the only node there is says nothing by leading
            self._report.leads(leads)
        if leads:
            for duty in self._duties.values():
                duty.elected(now)
