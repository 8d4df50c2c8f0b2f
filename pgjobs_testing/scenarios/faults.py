"""Whether the faults of a scenario fit one another: nobody crashes twice, nothing heals that is whole.

The steps are walked in the file's order, with what they make of each node. When a node that was asked
to stop is gone depends on its runs, so that only the replay can tell whether it may restart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgjobs.rules.schedule import later
from pgjobs_testing.nodes.traps import FAILURES, LATE
from pgjobs_testing.scenarios.mistakes import at_path, found
from pgjobs_testing.scenarios.source import Source, TreePath
from pgjobs_testing.scenarios.steps import ACTIONS, FAULTS
from pgjobs_testing.scenarios.times import span
from pgjobs_testing.scenarios.values import PLUGINS

BY_NAME = ("partition", "heal")
BY_MAPPING = ("stop", "suspend", "skew", "drift", "slow", "fail")
_POINTS = ("before", "after")
_SWITCHES = {"drop_notifications": "dropped", "double_notifications": "doubled"}
_AT_ONCE = tuple(how for how in FAILURES if how != LATE)

At = Callable[[Any], datetime | None]
Reference = Callable[[TreePath, Any, Collection[str] | None, str], None]


def check(
    source: Source,
    nodes: list[str],
    queues: Collection[str] | None,
    at: At,
    reference: Reference,
) -> None:
    """Note every fault that cannot be, where the steps before it are as they are; ``queues`` None: any."""
    _Walk(source, nodes, queues, at, reference).all()


@dataclass(slots=True)
class _State:
    """What the steps have made of one node: the step that did it, or None."""

    down: int | None = None
    doomed: int | None = None
    stopping: int | None = None
    cut: int | None = None
    suspended: int | None = None
    until: datetime | None = None


class _Walk:
    def __init__(
        self,
        source: Source,
        nodes: list[str],
        queues: Collection[str] | None,
        at: At,
        reference: Reference,
    ) -> None:
        self._source, self._at, self._reference = source, at, reference
        self._queues = queues
        self._nodes = {name: _State() for name in nodes}
        self._database_down: int | None = None
        self._switched: dict[str, int | None] = {}
        plugins = source.data.get("plugins")
        self._plugins = list(plugins) if isinstance(plugins, dict) else []

    def all(self) -> None:
        steps = self._source.data.get("steps")
        for n, step in enumerate(steps if isinstance(steps, list) else []):
            if not isinstance(step, dict):
                continue
            for action in ACTIONS:
                if action in step and action in FAULTS:
                    self._fault(n, action, step)
                elif action in step and action != "hold" and self._database_down is not None:
                    self._wrong(n, action, "the database is down", self._database_down)
        if "until" not in self._source.data:
            self._unending()

    def _fault(self, n: int, action: str, step: dict[str, Any]) -> None:
        value = step[action]
        if isinstance(value, dict):
            self._fits(n, action, value)
        if action == "database":
            self._database(n, value)
        elif action in _SWITCHES:
            self._switch(n, action, value)
        elif action != "delay_notifications":
            self._to_a_node(n, action, step)

    def _fits(self, n: int, action: str, given: dict[str, Any]) -> None:
        """What the keys of one fault are to one another, and to the plugins of the file."""
        path: TreePath = ("steps", n, action)
        if action == "crash":
            self._one_point(path, given)
        elif action == "fail" and "by" in given and given.get("how") in _AT_ONCE:
            said = f"found by, and it fails {given['how']}; accepted: by where how is late"
            self._source.report((*path, "by"), f"{at_path(path)}: {said}", key=True)
        elif action == "restart":
            for where, name in _each((*path, "plugins"), given.get("plugins")):
                if name in PLUGINS:  # else a model says what is wrong with it
                    self._reference(where, name, self._plugins, "plugin of the file")
            for where, name in _each((*path, "queues"), given.get("queues")):
                self._reference(where, name, self._queues, "queue")

    def _one_point(self, path: TreePath, crash: dict[str, Any]) -> None:
        """It crashes before an effect, or after one; at once is said by the name alone."""
        given = [key for key in crash if key in _POINTS]
        if len(given) == 1 or (not given and crash.keys() - {"node"}):
            return  # an unknown key may be the one, misspelt
        told = " and ".join(given) or "neither before nor after"
        said = f"found {told}; accepted: one of before and after, or the node's name alone"
        place = (*path, given[1]) if given else path
        self._source.report(place, f"{at_path(path)}: {said}", key=True)

    def _to_a_node(self, n: int, action: str, step: dict[str, Any]) -> None:
        path: TreePath = ("steps", n, action)
        name = step[action]
        if isinstance(name, dict) and action not in BY_NAME:
            path, name = (*path, "node"), name.get("node")
        elif action in BY_MAPPING:
            return  # a model says what is wrong with it
        self._reference(path, name, self._nodes, "node")
        state = self._nodes.get(name) if isinstance(name, str) else None
        if state is None:
            return
        now = self._at(step.get("at"))
        if now is not None and state.until is not None and state.until <= now:
            state.suspended = state.until = None
        if action == "restart":
            if state.down is None and state.stopping is None and state.doomed is None:
                self._wrong(n, action, f"{name} is up")
            self._nodes[name] = _State(cut=state.cut)
        elif action == "partition":
            if state.cut is not None:
                self._wrong(n, action, f"{name} is cut off already", state.cut)
            state.cut = n
        elif action == "heal":
            if state.cut is None:
                self._wrong(n, action, f"{name} is not cut off")
            state.cut = None
        elif action not in ("skew", "drift", "slow"):
            self._to_a_process(n, action, step, name, state)

    def _to_a_process(
        self, n: int, action: str, step: dict[str, Any], name: str, state: _State
    ) -> None:
        if state.down is not None:
            self._wrong(n, action, f"{name} is down", state.down)
        elif action == "crash" and isinstance(step["crash"], dict):
            state.doomed = n
        elif action == "crash":
            self._nodes[name] = _State(down=n, cut=state.cut)
        elif action == "fail":
            return
        elif state.suspended is not None:
            self._wrong(n, action, f"{name} is suspended", state.suspended)
        elif action == "stop":
            if state.stopping is not None:
                self._wrong(n, action, f"{name} is stopping already", state.stopping)
            state.stopping = n
        else:
            assert action == "suspend"
            now, length = self._at(step.get("at")), span(step[action].get("for"))
            state.suspended = n
            state.until = None if now is None or length is None else later(now, length)

    def _database(self, n: int, value: Any) -> None:
        if value == "down" and self._database_down is not None:
            self._wrong(n, "database", "the database is down already", self._database_down)
        elif value == "up" and self._database_down is None:
            self._wrong(n, "database", "the database is up")
        self._database_down = n if value == "down" else None

    def _switch(self, n: int, action: str, value: Any) -> None:
        done, since = _SWITCHES[action], self._switched.get(action)
        if value is True and since is not None:
            self._wrong(n, action, f"they are {done} already", since)
        elif value is False and since is None:
            self._wrong(n, action, f"none are {done}")
        self._switched[action] = n if value is True else None

    def _unending(self) -> None:
        """A node that cannot reach the store tries for ever, and so the file says until when."""
        open_ends = [("database", self._database_down)]
        open_ends += [
            ("partition", state.cut) for state in self._nodes.values() if state.down is None
        ]
        for action, n in open_ends:
            if n is not None:
                said = f"found {action}, which nothing ends: the key 'until' is needed"
                place: TreePath = ("steps", n, action)
                self._source.report(place, f"{at_path(place[:2])}: {said}", key=True)

    def _wrong(self, n: int, action: str, why: str, since: int | None = None) -> None:
        path: TreePath = ("steps", n, action)
        value = self._source.value(path)
        what = action if isinstance(value, dict | list) else f"{action}: {found(value)}"
        line = "" if since is None else f", since line {self._source.place(('steps', since)).line}"
        said = f"found {what}, but {why}{line}; accepted: {_AFTER[action]}"
        self._source.report(path, f"{at_path(path[:2])}: {said}", key=True)


def _each(path: TreePath, named: Any) -> Iterator[tuple[TreePath, Any]]:
    """One value or a list of them, each with its path."""
    if isinstance(named, list):
        yield from (((*path, n), each) for n, each in enumerate(named))
    else:
        yield path, named


_UP = "a node that is up"
_CLIENT = "it before the database is down, or once it is up again"
_AFTER = dict.fromkeys(ACTIONS, _CLIENT) | {
    "crash": _UP,
    "restart": "a node that has crashed or stopped",
    "stop": "a node that is up, not suspended and not stopping",
    "suspend": "a node that is up and not suspended",
    "partition": "a node that is not cut off",
    "heal": "a node after its partition",
    "fail": "a node that is up",
    **dict.fromkeys(_SWITCHES, "true and false in turn"),
    "database": "down and up in turn",
}
