"""Makes a world that raises an alarm smaller: fewer steps, jobs, nodes, faults and options, and less time.

What is tried is kept where the world still raises an alarm of the same invariant, and is still a scenario
that can be read. A fault goes together with its end, so that what is left makes sense. The number of tries is
bounded, and equal worlds are made smaller alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pgjobs.adapters.local import LocalStore
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import Replay, replay
from pgjobs_testing.simulation.spelling import spelt
from pgjobs_testing.simulation.units import units
from pgjobs_testing.trace import elapsed

TRIES = 600
"""Plays of one shrinking; what is smallest by then is the answer."""

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest world that was found to fail alike, what became of it, and after how many plays.

    ``passing`` is the last play that held, of a world only a little smaller; None where there is none.
    """

    data: Data
    failing: Replay
    passing: Replay | None
    tries: int


def shrink(data: Data, stores: Callable[[], LocalStore], tries: int = TRIES) -> Shrunk | None:
    """The smallest world like ``data`` that still fails as it does; None where it holds.

    ``stores`` gives an empty store for each play.
    """
    search = _Search(stores, tries)
    failing = search.play(data)
    if failing is None or failing.held:
        return None
    search.take(data, failing)
    search.run()
    assert search.failing is not None
    return Shrunk(search.data, search.failing, search.passing, search.tried)


def kind_of(played: Replay) -> str:
    """What a failure is alike by: its invariant, or the kind of error that ended the play."""
    if played.alarm is not None:
        return played.alarm.invariant
    what = played.failures[0].what.partition(": ")[2]
    return what.partition(":")[0] if "Error: " in what else "endless" if played.endless else what


class _Search:
    def __init__(self, stores: Callable[[], LocalStore], tries: int) -> None:
        self._stores, self._left = stores, tries
        self.data: Data = {}
        self.failing: Replay | None = None
        self.passing: Replay | None = None
        self.tried = 0

    def play(self, data: Data) -> Replay | None:
        """What becomes of a world; None where it is none."""
        try:
            scenario, source = read_text(spelt(data))
        except InvalidScenarioError:
            return None
        return replay(scenario, source, self._stores(), bounded=False)

    def take(self, data: Data, failing: Replay) -> None:
        """This is the smallest so far."""
        self.data, self.failing = data, failing

    def run(self) -> None:
        """Try everything, again and again, until nothing is left to be taken away."""
        while self._left > 0:
            before = self.data
            self._end_sooner()
            self._fewer_steps()
            for each in (_nodes, _plugins, _workers, _queues, _restarts, _options):
                self._one_by_one(each)
            if self.data == before:
                return

    def _try(self, data: Data) -> bool:
        if self._left <= 0 or self.failing is None:
            return False
        self._left -= 1
        self.tried += 1
        played = self.play(data)
        if played is None:
            return False
        if played.held:
            self.passing = played
            return False
        if kind_of(played) != kind_of(self.failing):
            return False
        self.take(data, played)
        return True

    def _end_sooner(self) -> None:
        """Nothing is needed that comes after the alarm."""
        assert self.failing is not None
        alarm = self.failing.alarm
        if alarm is None or alarm.at is None:
            return
        start = self.failing.scenario.start
        until = elapsed(alarm.at - start)
        kept = [
            step
            for step, spec in zip(self.data["steps"], self.failing.scenario.steps, strict=True)
            if self.failing.scenario.instant(spec.at) <= alarm.at
        ]
        self._try({**self.data, "steps": kept, "until": until})

    def _fewer_steps(self) -> None:
        """Take away large parts first, then ever smaller ones."""
        size = max(1, len(units(self.data["steps"])) // 2)
        while self._left > 0:
            first = 0
            while first < len(found := units(self.data["steps"])):
                gone = {n for unit in found[first : first + size] for n in unit}
                kept = [step for n, step in enumerate(self.data["steps"]) if n not in gone]
                if not kept or not self._try({**self.data, "steps": kept}):
                    first += size
            if size == 1:
                return
            size //= 2

    def _one_by_one(self, smaller: Callable[[Data], Iterator[Data]]) -> None:
        """Take what the first try that fails alike leaves, and begin again."""
        found = True
        while found and self._left > 0:
            found = any(self._try(each) for each in smaller(self.data))


def _nodes(data: Data) -> Iterator[Data]:
    for name in data["nodes"] if len(data["nodes"]) > 1 else ():
        steps = [step for step in data["steps"] if name not in _named(step)]
        left = [each for each in data["nodes"] if each != name]
        yield {**data, "nodes": left, "queues": _served(data, left), "steps": steps}


def _served(data: Data, nodes: list[str]) -> Data:
    """The queues, each by those of its nodes that are left; by all where none of them is."""
    made: Data = {}
    for name, queue in data.get("queues", {}).items():
        serving = [each for each in queue.get("nodes", ()) if each in nodes]
        rest = {key: value for key, value in queue.items() if key != "nodes"}
        made[name] = {**rest, "nodes": serving} if serving else rest
    return made


def _named(step: Data) -> list[Any]:
    """The node that a step names."""
    return [
        value.get("node") if isinstance(value, dict) else value
        for key, value in step.items()
        if key not in ("at", "insert", "insert_all", "cancel", "retry", "delete", "pause", "resume")
    ]


def _plugins(data: Data) -> Iterator[Data]:
    yield from map(_restarting, _without(data, "plugins"))
    for name in data.get("plugins", ()):
        for smaller in _without(data["plugins"], name):
            yield _restarting({**data, "plugins": smaller})
        for fewer in _fewer_tasks(data["plugins"][name] if name == "leader_tasks" else {}):
            yield {**data, "plugins": {**data["plugins"], name: fewer}}


def _fewer_tasks(options: Data) -> Iterator[Data]:
    """Fewer functions of a leader, or calls of one that are told."""
    lines = options.get("crontab", [])
    for n, (when, task) in enumerate(lines):
        if len(lines) > 1:
            yield {**options, "crontab": [*lines[:n], *lines[n + 1 :]]}
        for runs in _fewer(task["runs"] if isinstance(task, dict) else []):
            line = [when, {**task, "runs": runs}]
            yield {**options, "crontab": [*lines[:n], line, *lines[n + 1 :]]}


def _restarting(data: Data) -> Data:
    """Processes that begin anew have plugins of the file alone."""
    return {
        **data,
        "steps": [_with_plugins(step, data.get("plugins", ())) for step in data["steps"]],
    }


def _with_plugins(step: Data, known: Collection[str]) -> Data:
    restart = step.get("restart")
    if not isinstance(restart, dict) or "plugins" not in restart:
        return step
    left = [name for name in restart["plugins"] if name in known]
    return {**step, "restart": {**restart, "plugins": left}}


def _workers(data: Data) -> Iterator[Data]:
    for name, options in data.get("workers", {}).items():
        for key in options:
            if key == "runs" and len(options["runs"]) > 1:
                fewer = (
                    [*options["runs"][:n], *options["runs"][n + 1 :]]
                    for n in range(len(options["runs"]))
                )
                yield from (
                    _with(data, "workers", name, {**options, "runs": runs}) for runs in fewer
                )
            elif key != "runs":
                less = {each: value for each, value in options.items() if each != key}
                yield _with(data, "workers", name, less)
        yield {**data, "workers": {each: o for each, o in data["workers"].items() if each != name}}


def _queues(data: Data) -> Iterator[Data]:
    for name, options in data.get("queues", {}).items():
        for key in options:
            less = {each: value for each, value in options.items() if each != key}
            yield _with(data, "queues", name, less)
        fewer = {
            **data,
            "queues": {each: o for each, o in data["queues"].items() if each != name},
        }
        yield fewer
        if any(name in restart["queues"] for _, restart in _with_queues(data)):
            yield _unserved(fewer, name)


def _with_queues(data: Data) -> Iterator[tuple[int, Data]]:
    """What the steps begin anew that says which queues it serves, each with its place."""
    for n, step in enumerate(data["steps"]):
        restart = step.get("restart")
        if isinstance(restart, dict) and isinstance(restart.get("queues"), list):
            yield n, restart


def _unserved(data: Data, name: str) -> Data:
    """No process that begins anew says that it serves this queue."""
    steps = list(data["steps"])
    for n, restart in _with_queues(data):
        left = [each for each in restart["queues"] if each != name]
        steps[n] = {**steps[n], "restart": {**restart, "queues": left}}
    return {**data, "steps": steps}


def _restarts(data: Data) -> Iterator[Data]:
    """Processes that begin anew as they were, or that serve fewer queues."""
    for n, step in enumerate(data["steps"]):
        restart = step.get("restart")
        for key in restart if isinstance(restart, dict) else ():
            if key != "node":
                rest = {each: value for each, value in restart.items() if each != key}
                yield _at(data, n, [{**step, "restart": rest if len(rest) > 1 else rest["node"]}])
    for n, restart in _with_queues(data):
        for left in _fewer(restart["queues"]):
            yield _at(data, n, [{**data["steps"][n], "restart": {**restart, "queues": left}}])


def _fewer(named: list[Any]) -> Iterator[list[Any]]:
    """A list without one of its items; never none."""
    if len(named) > 1:
        yield from ([*named[:m], *named[m + 1 :]] for m in range(len(named)))


def _options(data: Data) -> Iterator[Data]:
    """Inserts with fewer options, in single steps; no jitter."""
    yield from _without(data, "jitter")
    for n, step in enumerate(data["steps"]):
        for key in step.get("insert", ()):
            if key not in ("as", "worker"):
                less = {each: value for each, value in step["insert"].items() if each != key}
                yield _at(data, n, [{**step, "insert": less}])
        for what in ("cancel", "retry", "delete"):
            if isinstance(step.get(what), dict):
                for smaller in _narrower(step[what]):
                    yield _at(data, n, [{**step, what: smaller}])
        if "insert_all" in step and len(step["insert_all"]) > 1:
            for m in range(len(step["insert_all"])):
                fewer = [*step["insert_all"][:m], *step["insert_all"][m + 1 :]]
                yield _at(data, n, [{**step, "insert_all": fewer}])


def _narrower(filters: Data) -> Iterator[Data]:
    """Filters of an order that name less."""
    for key, named in filters.items():
        for left in _fewer(named) if isinstance(named, list) else ():
            yield {**filters, key: left}


def _at(data: Data, n: int, steps: list[Data]) -> Data:
    return {**data, "steps": [*data["steps"][:n], *steps, *data["steps"][n + 1 :]]}


def _with(data: Data, key: str, name: str, options: Data) -> Data:
    return {**data, key: {**data[key], name: options}}


def _without(data: Data, key: str) -> Iterator[Data]:
    if data.get(key):
        yield {each: value for each, value in data.items() if each != key}
