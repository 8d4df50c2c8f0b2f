"""A world in the hand of a test: several nodes of the engine on one virtual clock, and what befalls them.

It is a scenario that is written while it is played: each method is a step of the format, done at once, and
``scenario()`` is the file that plays them all again. Invariants are looked at after every step.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.client import drive
from pgjobs.plugins import Plugin, Pruner, Stalled
from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.job import Job, NewJob, is_number
from pgjobs.rules.options import Queue
from pgjobs.rules.schedule import duration, later
from pgjobs.worker import Worker
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.scenarios.facts import Most
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.options import options_of
from pgjobs_testing.scenarios.play import Play
from pgjobs_testing.scenarios.real import reference
from pgjobs_testing.scenarios.steps import FAULTS as OF_FILES
from pgjobs_testing.scenarios.steps import StepSpec
from pgjobs_testing.scenarios.values import START
from pgjobs_testing.scenarios.writing import queue_as_data
from pgjobs_testing.simulation.cluster import SimulationError
from pgjobs_testing.simulation.dice import Dice
from pgjobs_testing.simulation.drawing.faults import Episodes
from pgjobs_testing.simulation.given import (
    empty_given,
    faults_given,
    kinds_given,
    nodes_given,
    queues_given,
    span_given,
    spelt_out,
    understood,
    workers_given,
)
from pgjobs_testing.simulation.nowhere import NOWHERE
from pgjobs_testing.simulation.spelling import spelt
from pgjobs_testing.simulation.traps import LATE
from pgjobs_testing.timeline import Trace, elapsed

Span = float | timedelta
"""Seconds, or a timedelta."""

PLUGINS = (Stalled(), Pruner())


class World:
    """Nodes, time and faults, as a context manager.

    The call in which an invariant breaks raises ``AlarmError``; every error that leaves the block has the
    world as a scenario file for its note. ``seed`` decides every jitter, and the faults that ``advance``
    draws: ``faults`` is "none" (the default), "all", or names out of ``OF_NODES``. ``nodes`` is how many
    (a, b and so on), or their names, in the order in which they act. ``store`` is empty, and one in memory by
    default; in a test ``jobs.store`` is that of its mode. ``queues`` are as for ``PgJobs``; one that is not
    listed is served, ten jobs at a time.

    ``workers`` are scripted ones, as a scenario file has them; workers of the process run besides, in virtual
    time, and an application's own ``PgJobs`` works on the world's store inside the block. ``skew``, ``delay``
    and ``run`` are how far clocks are off, and how long answers and runs take, at most: by these the
    invariants know what is too late. Spans are seconds or a ``timedelta``.

    ``ConfigurationError`` for what cannot be, ``SimulationError`` for what a node cannot do as it is now.
    """

    def __init__(
        self,
        seed: int = 0,
        nodes: int | Sequence[str] = 3,
        store: LocalStore | None = None,
        faults: str | Sequence[str] = "none",
        *,
        queues: Mapping[str, int | Queue] | None = None,
        plugins: Sequence[Plugin] = PLUGINS,
        workers: Mapping[str, Any] | None = None,
        start: datetime = START,
        jitter: bool = True,
        skew: Span = 5,
        delay: Span = 15,
        run: Span = 60,
    ) -> None:
        self._faults = faults_given(faults)
        self._nodes = nodes_given(nodes)
        kinds_given(store, plugins)
        served = queues_given(queues)
        self._data: dict[str, Any] = {
            "name": f"a world of seed {seed}",
            "start": start,
            "seed": seed,
            "jitter": jitter,
            "nodes": self._nodes,
            "queues": {name: queue_as_data(queue) for name, queue in served.items()},
            "workers": workers_given(workers),
            "invariants": True,
        }
        placeholder = [{"at": "0s", "hold": False}]
        read = {**self._data, "start": str(start), "steps": placeholder}
        most = [
            span_given(each, name)
            for name, each in (("skew", skew), ("delay", delay), ("run", run))
        ]
        self._most = Most(most[0], most[1], most[2], timedelta(minutes=1))
        self._play = Play(
            understood(Scenario, spelt_out(read)),
            NOWHERE,
            MemoryStore() if store is None else store,
            seed,
            bounded=False,
            real=True,
            plugins=plugins,
            most=self._most,
        )
        self._seed, self._plugins = seed, plugins
        self._steps: list[dict[str, Any]] = []
        self._advances = 0
        self._inserted: list[int] = []
        self._within = ExitStack()
        self._open = self._begun = False

    def __enter__(self) -> World:
        if self._begun:
            raise SimulationError("this world has been played: make another")
        empty_given(self._play.store)
        self._begun = True
        self._within.enter_context(_hushed())
        stage = self._play.stage
        assert stage is not None
        self._within.enter_context(stage.standing_in(self._play.dismiss))
        self._within.callback(self._play.end)
        self._play.begin()
        self._play.advance(self.clock.now())
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(f"The world, to be replayed as a scenario file:\n\n{self.scenario()}")
        self._open = False
        self._within.close()

    # Time

    @property
    def clock(self) -> VirtualClock:
        """The world's clock; each node has one of its own, which may be off from it."""
        return self._play.clock

    def advance(self, span: Span) -> Trace:
        """Let ``span`` pass, with the faults that are drawn for it; returns what happened.

        Each of these ends before ``span`` does: in a short one there is room for few.
        """
        self._check_open()
        first, target = (
            len(self._play.recorder),
            later(self.clock.now(), span_given(span, "advance")),
        )
        for at, step in self._drawn(target):
            self._play.advance(at)
            self._try(step)
        self._play.advance(target)
        return self._play.recorder.trace(first)

    def settle(self) -> Trace:
        """End every fault, let time pass in which all must come to rest, and look whether it has.

        Nodes that are down stay down: no job may need them. A run that still goes on is at rest.
        ``AlarmError`` where it has not.
        """
        self._check_open()
        first = len(self._play.recorder)
        self._heal_everything()
        oversight = self._play.overseer
        assert oversight is not None
        since, sprung = None, self.clock.now()
        while since != sprung:  # what was armed before may yet befall an effect
            since = sprung
            self._play.advance(later(since, oversight.bound))
            sprung = max(since, self._play.cluster.store.sprung or since)
        oversight.at_the_end(since)
        return self._play.recorder.trace(first)

    # Jobs

    def insert(
        self, worker: str | Worker[Any, Any], args: Mapping[str, Any] | None = None, **options: Any
    ) -> Job:
        """Insert a job, as a client does; ``options`` are those of ``worker.new``."""
        self._check_open()
        known = self._play.registry.find(worker) if isinstance(worker, str) else worker
        if not isinstance(known, Worker):
            raise ConfigurationError(f"found the worker {known!r}; expected one, or its name")
        new: NewJob = known.new({} if args is None else args, **options)
        job: Job = drive(self._play.cluster.store, self._play.client.insert(new))
        self._inserted.append(job.id)
        step = {
            "as": f"j{len(self._inserted)}",
            "worker": new.worker,
            "args": new.args,
            **options_of(new),
        }
        self._done({"insert": step})
        return job

    def job(self, job: Job | int) -> Job:
        """The job as the store has it now; ``JobNotFoundError`` where it has none."""
        if isinstance(job, bool) or not isinstance(job, int | Job):
            raise ConfigurationError(f"found the job {shown(job)}; expected one, or its id")
        job_id = job if isinstance(job, int) else job.id
        found: Job = drive(self._play.store, self._play.client.get(job_id))
        return found

    # What befalls nodes

    def crash(self, node: str, *, before: str | None = None, after: str | None = None) -> None:
        """The process is gone: at once, or right ``before`` or ``after`` its next effect of a kind.

        Effects: claim, settle, poll, find, beat, leave, lead, resign, rescue, prune, watermarks, tick, any.
        One that is not reached by the node's ``restart`` takes place then.
        """
        if before and after:
            raise ConfigurationError(
                f"a crash is before {before} or after {after}: one of them at a time"
            )
        point = {key: each for key, each in (("before", before), ("after", after)) if each}
        self._do({"crash": {"node": node, **point} if point else node})

    def restart(self, node: str) -> None:
        """A new process in the place of one that has crashed or stopped."""
        self._do({"restart": node})

    def stop(self, node: str, grace: Span = 15) -> None:
        """Ask the process to stop, as a SIGTERM does; its runs may go on for ``grace``."""
        self._do({"stop": {"node": node, "grace": _span(grace)}})

    def pause(self, node: str, span: Span) -> None:
        """The process does nothing for ``span``, and then goes on where it was."""
        self._do({"suspend": {"node": node, "for": _span(span)}})

    def partition(self, node: str) -> None:
        """The node reaches the store no more, until ``heal``."""
        self._do({"partition": node})

    def heal(self, node: str) -> None:
        """The node reaches the store again."""
        self._do({"heal": node})

    def skew(self, node: str, by: Span) -> None:
        """The node's clock is ahead by so much, or behind where that is negative."""
        behind = by < timedelta(0) if isinstance(by, timedelta) else is_number(by) and by < 0
        off = -span_given(-by, "by") if behind else span_given(by, "by")
        self._within_bounds("skew", abs(off), self._most.skew)
        self._do({"skew": {"node": node, "by": elapsed(off)}})

    def slow(self, node: str, by: Span) -> None:
        """Every answer of the store takes so long to reach the node."""
        self._within_bounds("delay", duration(by, "by"), self._most.delay)
        self._do({"slow": {"node": node, "by": _span(by)}})

    def fail(self, node: str, effect: str, how: str, times: int = 1, by: Span = 5) -> None:
        """What befalls the node's next effects: before, after, late, conflict, deadlock, refused.

        ``by`` is how much later one commits whose ``how`` is ``late``.
        """
        fail: dict[str, Any] = {"node": node, "effect": effect, "how": how, "times": times}
        if how == LATE:
            self._within_bounds("delay", duration(by, "by"), self._most.delay)
            fail["by"] = _span(by)
        self._do({"fail": fail})

    # What befalls what they share

    def drop_notifications(self, dropped: bool = True) -> None:
        """Whether every signal to every node is lost."""
        self._do({"drop_notifications": dropped})

    def delay_notifications(self, by: Span) -> None:
        """Every signal is late by so much."""
        self._do({"delay_notifications": _span(by)})

    def double_notifications(self, doubled: bool = True) -> None:
        """Whether every signal comes twice."""
        self._do({"double_notifications": doubled})

    def database(self, *, up: bool) -> None:
        """Whether the store is there."""
        if not isinstance(up, bool):
            raise ConfigurationError(f"found the database up={shown(up)}; expected True or False")
        self._do({"database": "up" if up else "down"})

    # Seeing

    @property
    def timeline(self) -> Trace:
        """Everything that has happened; equal seeds and calls give equal bytes."""
        return self._play.recorder.trace()

    @property
    def marks(self) -> dict[str, int]:
        """How often things happened that should sometimes happen (see EXPECTED_MARKS)."""
        return {} if self._play.overseer is None else dict(self._play.overseer.marks)

    def scenario(self) -> str:
        """The scenario file that plays what was done here; its first lines say what it cannot tell.

        That is the code of plugins, and of workers that no import leads to (the others it names by ``use``),
        and jobs that code inserted. What else an application did through its ``PgJobs`` is no step either.
        """
        real = self._real_workers()
        data = {**self._data, "workers": {**self._data["workers"], **real}}
        plugins = self._plugins_as_data()
        until = elapsed(self.clock.now() - self._data["start"])
        steps = self._steps or [{"at": "0s", "hold": False}]
        notes = (
            [f"Replay it with --allow-imports, for the code of {', '.join(real)}"] if real else []
        )
        notes += [f"Not told exactly: {each}" for each in self._untold(real)]
        return spelt({**data, "plugins": plugins, "steps": steps, "until": until}, notes)

    # Its means

    def _do(self, step: dict[str, Any]) -> None:
        """Do a step at this instant, and what follows from it; ``SimulationError`` where it cannot be."""
        self._check_open()
        self._play.act(understood(StepSpec, {"at": "0s", **step}))
        self._done(step)

    def _check_open(self) -> None:
        if not self._open:
            raise SimulationError(
                "this world does not play: use it inside of `with World(...) as world:`"
            )

    def _try(self, step: dict[str, Any]) -> None:
        try:
            self._do(step)
        except SimulationError:
            return  # the test has done something to this node itself

    def _done(self, step: dict[str, Any]) -> None:
        """Note a step. In a file those of an instant come before all that happens then, but for ``hold``."""
        at = elapsed(self.clock.now() - self._data["start"])
        before = [{"at": at, "hold": True}, {"at": at, "hold": False}]
        self._steps += [*before, {"at": at, **step}]
        self._play.advance(self.clock.now())

    def _drawn(self, target: datetime) -> list[tuple[datetime, dict[str, Any]]]:
        """What befalls the nodes till ``target``, each at its instant."""
        if not self._faults:
            return []
        self._advances += 1
        now = self.clock.now()
        dice = Dice(self._seed, f"advance {self._advances}: ")
        kinds = [_KINDS[type(each)] for each in self._plugins if type(each) in _KINDS]
        span_s = (target - now).total_seconds()
        drawn = Episodes(dice, self._nodes, kinds, span_s, self._faults).steps
        placed = [(later(now, step["at"]), step) for step in drawn]
        placed.sort(key=lambda each: each[0])
        return [
            (at, {key: value for key, value in step.items() if key != "at"}) for at, step in placed
        ]

    def _heal_everything(self) -> None:
        cluster = self._play.cluster
        if cluster.store.down:
            self.database(up=True)
        if cluster.store.mute:
            self.drop_notifications(False)
        if cluster.store.doubled:
            self.double_notifications(False)
        if self._last("delay_notifications", None) not in (None, "0s"):
            self.delay_notifications(0)
        for node in self._nodes:
            if self._last("skew", node) not in (None, "0s"):
                self.skew(node, 0)
            if self._last("slow", node) not in (None, "0s"):
                self.slow(node, 0)
            if cluster.is_cut(node):
                self.heal(node)

    def _last(self, kind: str, node: str | None) -> str | None:
        """By how much a step of a kind changed a node, or what all share, when it last did."""
        for step in reversed(self._steps):
            if kind in step:
                value = step[kind]
                if node is None:
                    return str(value)
                if value["node"] == node:
                    return str(value["by"])
        return None

    def _within_bounds(self, what: str, asked: timedelta, most: timedelta) -> None:
        if asked > most:
            raise ConfigurationError(
                f"{what} of {elapsed(asked)}, and this world was made for {elapsed(most)} at most, by "
                f"which its invariants go: give World({what}=) more"
            )

    def _plugins_as_data(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for each in self._plugins:
            if isinstance(each, Stalled):
                made["stalled"] = {
                    "interval": _span(each.interval),
                    "rescue_after": _span(each.rescue_after),
                }
            elif isinstance(each, Pruner):
                made["pruner"] = {
                    "max_age": _span(each.max_age),
                    "limit": each.limit,
                    "interval": _span(each.interval),
                }
        return made

    def _real_workers(self) -> dict[str, Any]:
        """The workers of code that jobs were inserted for, as far as a file can name them."""
        made: dict[str, Any] = {}
        for moment in self._play.recorder.trace().of("insert"):
            name = "" if moment.job is None else moment.job.worker
            known = self._play.registry.by_name.get(name)
            if known is not None and name not in self._data["workers"] and name not in made:
                written = reference(known)
                if written is not None:
                    made[name] = {"use": written}
        return made

    def _untold(self, real: Collection[str]) -> Iterator[str]:
        """What the file cannot hold, where it names the workers ``real``."""
        if len(self._nodes) == 1 and not any(step.keys() & OF_FILES for step in self._steps):
            yield "one node that nothing befalls is replayed without elections and idle polls"
        for each in self._plugins:
            if type(each) not in _KINDS:
                yield f"{type(each).__name__} is a plugin of code"
        own = frozenset(self._inserted)
        given, made = Counter[str](), Counter[str]()
        for moment in self._play.recorder.trace().of("insert"):
            job = moment.job
            if job is not None and job.worker not in self._data["workers"]:
                (given if job.id in own else made)[job.worker] += 1
        yield from (
            f"{name}, of {n} inserts, is a worker of code that no import leads to"
            for name, n in given.items()
            if name not in real
        )
        yield from (f"code inserted {name} {n} times" for name, n in made.items())


_KINDS: dict[type[Any], str] = {Stalled: "stalled", Pruner: "pruner"}


def _span(value: Span) -> str:
    return elapsed(duration(value, "a duration"))


@contextmanager
def _hushed() -> Iterator[None]:
    """Without anybody who listens, Python would print simulated failures to standard error."""
    log, nobody = logging.getLogger("pgjobs"), logging.NullHandler()
    log.addHandler(nobody)
    try:
        yield
    finally:
        log.removeHandler(nobody)
