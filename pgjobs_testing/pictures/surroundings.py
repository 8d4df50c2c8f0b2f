"""What happened around the jobs: to nodes, to queues, and to what they all share.

A ``Place`` is a node, a queue, or the world (``""``): bands last (a node leads, is down, is cut off; a
queue is paused), marks are instants (a crash, a skewed clock, errors of the store).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pgjobs.rules.control import EVERY_QUEUE
from pgjobs_testing.pictures.story import Mark, micros
from pgjobs_testing.trace import CLIENT, Moment, Trace


@dataclass(frozen=True, slots=True)
class Band:
    """A state that lasted from ``begin`` to ``end``."""

    kind: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Place:
    """What lasted, and what happened, at one node or queue."""

    name: str
    bands: tuple[Band, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything but jobs; nodes and queues in the order of their first moment."""

    world: Place
    nodes: tuple[Place, ...]
    queues: tuple[Place, ...]


@dataclass(slots=True)
class _Site:
    bands: list[Band] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    since: dict[str, int] = field(default_factory=dict)

    def begin(self, kind: str, at: int) -> None:
        self.since.setdefault(kind, at)

    def end(self, at: int, *kinds: str) -> None:
        for kind in kinds:
            begun = self.since.pop(kind, None)
            if begun is not None and begun < at:
                self.bands.append(Band(kind, begun, at))

    def place(self, name: str, at: int) -> Place:
        self.end(at, *list(self.since))
        bands = sorted(self.bands, key=lambda band: (band.begin, band.end, band.kind))
        return Place(name, tuple(bands), tuple(self.marks))


_BEGINS = {
    "simulation.crash": "down",
    "simulation.suspend": "suspended",
    "simulation.partition": "cut",
    "simulation.stopping": "stopping",
    "simulation.down": "outage",
    "simulation.drop": "mute",
    "pgjobs.leader.elected": "leads",
    "pgjobs.node.stop": "down",
}
_ENDS = {
    "simulation.crash": ("leads", "suspended", "stopping"),
    "simulation.restart": ("down",),
    "simulation.resume": ("suspended",),
    "simulation.heal": ("cut",),
    "simulation.up": ("outage",),
    "simulation.deliver": ("mute",),
    "pgjobs.leader.lost": ("leads",),
    "pgjobs.node.start": ("down",),
    "pgjobs.node.stop": ("leads", "stopping"),
}
_MARKED = {
    "simulation.crash": "crash",
    "simulation.restart": "restart",
    "simulation.suspend": "suspend",
    "simulation.partition": "partition",
    "simulation.heal": "heal",
    "simulation.skew": "skew",
    "pgjobs.leader.elected": "elected",
    "pgjobs.leader.lost": "lost the lead",
    "pgjobs.node.stop": "stopped",
    "pgjobs.store.error": "store error",
    "pgjobs.plugin.error": "plugin error",
    "pgjobs.plugin.prune": "prune",
    "pgjobs.task.start": "task",
    "pgjobs.task.exception": "task failed",
    "pgjobs.task.skip": "task skipped",
}


def surroundings(trace: Trace) -> Surroundings:
    """What the moments of a trace tell of nodes, queues and the world."""
    world, nodes, queues = _Site(), dict[str, _Site](), dict[str, _Site]()
    paused: dict[str, bool] = {}
    for moment in trace.moments:
        at = micros(moment.at, trace.start)
        if moment.node != CLIENT:
            nodes.setdefault(moment.node, _Site())
        queue = _queue(moment)
        controlled = moment.name.startswith("pgjobs.queue.")
        if queue and queue not in queues:
            queues[queue] = _Site()
            _pause(queues, paused, at)
        if controlled:
            _control(moment, at, queues, paused)
            _pause(queues, paused, at)
        elif not moment.ordinal:
            if moment.name == "pgjobs.leader.elected":  # the lease of whoever led is over
                for site in nodes.values():
                    site.end(at, "leads")
            _happen(world if moment.node == CLIENT else nodes[moment.node], moment, at)
    end = max((micros(moment.at, trace.start) for moment in trace.moments), default=0)
    queues.pop(EVERY_QUEUE, None)
    return Surroundings(
        world.place("", end),
        tuple(site.place(name, end) for name, site in nodes.items()),
        tuple(site.place(name, end) for name, site in queues.items()),
    )


def _queue(moment: Moment) -> str:
    if moment.name == "pgjobs.queue.scale":
        return moment.detail.rpartition(" to ")[0]
    if moment.name.startswith("pgjobs.queue."):
        return moment.detail
    if moment.name == "pgjobs.job.stage":
        return moment.detail.removeprefix("in ")
    return "" if moment.job is None else moment.job.queue


def _happen(site: _Site, moment: Moment, at: int) -> None:
    name = moment.name
    site.end(at, *_ENDS.get(name, ()))
    if name in _BEGINS:
        site.begin(_BEGINS[name], at)
    if name in _MARKED:
        site.marks.append(Mark(at, _MARKED[name], moment.detail))


def _pause(queues: dict[str, _Site], paused: dict[str, bool], at: int) -> None:
    for name, site in queues.items():
        if paused.get(name, paused.get(EVERY_QUEUE, False)):
            site.begin("paused", at)
        else:
            site.end(at, "paused")


def _control(moment: Moment, at: int, queues: dict[str, _Site], paused: dict[str, bool]) -> None:
    """A queue was set by hand; what is set for every queue takes the place of what was set for one."""
    queue = _queue(moment)
    if moment.event in ("pause", "resume"):
        if queue == EVERY_QUEUE:
            paused.clear()
        paused[queue] = moment.event == "pause"
    elif moment.event == "reset":
        paused.pop(queue, None)
    note = moment.detail if moment.event == "scale" else ""
    meant = queues if queue == EVERY_QUEUE else [queue]
    for name in meant:
        queues[name].marks.append(Mark(at, moment.event, note))
