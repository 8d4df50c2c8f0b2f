"""What was done to a world, and the scenario file that does it again: the shortest that tells the same.

In a file the steps of an instant come before all that the engine does then. Where a step came after
something of that, the file holds the nodes there, from the first such step of an instant to its last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pgjobs.plugins import Plugin, Pruner, Stalled
from pgjobs.rules.job import NewJob
from pgjobs.rules.schedule import duration
from pgjobs.worker import Registry
from pgjobs_testing.scenarios.options import options_beside
from pgjobs_testing.scenarios.real import reference
from pgjobs_testing.scenarios.steps import FAULTS
from pgjobs_testing.simulation.scripts import NOTHING
from pgjobs_testing.simulation.spelling import spelt
from pgjobs_testing.trace import Trace, elapsed

KINDS: dict[type[Any], str] = {Stalled: "stalled", Pruner: "pruner"}
"""The plugins that a file can hold."""


class Chronicle:
    """``data`` is what a file says before its steps; ``registry`` has every worker of the world."""

    def __init__(
        self, data: Mapping[str, Any], plugins: Sequence[Plugin], registry: Registry
    ) -> None:
        self._data, self._plugins, self._registry = data, plugins, registry
        self._steps: list[tuple[str, bool, dict[str, Any]]] = []
        self._inserted: list[int] = []

    def add(self, at: datetime, step: dict[str, Any], *, apart: bool) -> None:
        """A step was done; ``apart`` from what nodes had done before at this instant."""
        self._steps.append((self._since_start(at), apart, step))

    def inserted(self, job_id: int, new: NewJob) -> dict[str, Any]:
        """The step that inserts ``new``, which was answered with this job."""
        self._inserted.append(job_id)
        options = self._registry.by_name[new.worker]
        return {
            "insert": {
                "as": f"j{len(self._inserted)}",
                "worker": new.worker,
                **options_beside(options.new(new.args), new),
            }
        }

    def text(self, now: datetime, trace: Trace) -> str:
        """The file, till ``now``; its first lines say what it cannot hold of ``trace``."""
        real = self._real_workers(trace)
        notes = (
            [f"Replay it with --allow-imports, for the code of {', '.join(real)}"] if real else []
        )
        notes += [f"Not told exactly: {each}" for each in self._untold(trace, real)]
        plugins = dict(self._plugins_as_data())
        steps = [*self._told_steps()]
        if not steps and not plugins:
            steps = [NOTHING]  # a file has steps or plugins
        data = {
            **self._data,
            "workers": {**self._data["workers"], **real},
            "plugins": plugins,
            **({"steps": steps} if steps else {}),
            "until": self._since_start(now),
        }
        return spelt(data, notes)

    def _told_steps(self) -> Iterator[dict[str, Any]]:
        held: str | None = None
        for at, apart, step in self._steps:
            if held not in (None, at):
                yield {"at": held, "hold": False}
                held = None
            if apart:
                yield {"at": at, "hold": True}
                held = at
            yield {"at": at, **step}
        if held is not None:
            yield {"at": held, "hold": False}

    def _plugins_as_data(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for each in self._plugins:
            if isinstance(each, Stalled):
                rescue_after = _span(each.rescue_after)
                yield "stalled", {"interval": _span(each.interval), "rescue_after": rescue_after}
            elif isinstance(each, Pruner):
                max_age, interval = _span(each.max_age), _span(each.interval)
                yield "pruner", {"max_age": max_age, "limit": each.limit, "interval": interval}

    def _real_workers(self, trace: Trace) -> dict[str, Any]:
        """The workers of code that jobs were inserted for, as far as a file can name them."""
        made: dict[str, Any] = {}
        for moment in trace.of("insert"):
            name = "" if moment.job is None else moment.job.worker
            known = self._registry.by_name.get(name)
            if known is not None and name not in self._data["workers"] and name not in made:
                written = reference(known)
                if written is not None:
                    made[name] = {"use": written}
        return made

    def _untold(self, trace: Trace, real: Collection[str]) -> Iterator[str]:
        """What the file cannot hold, where it names the workers ``real``."""
        befalls = any(step.keys() & FAULTS for _, _, step in self._steps)
        if len(self._data["nodes"]) == 1 and not befalls:
            yield "one node that nothing befalls is replayed without elections and idle polls"
        for each in self._plugins:
            if type(each) not in KINDS:
                yield f"{type(each).__name__} is a plugin of code"
        own = frozenset(self._inserted)
        given, made = Counter[str](), Counter[str]()
        for moment in trace.of("insert"):
            job = moment.job
            if job is not None and job.worker not in self._data["workers"]:
                (given if job.id in own else made)[job.worker] += 1
        yield from (
            f"{name}, of {n} inserts, is a worker of code that no import leads to"
            for name, n in given.items()
            if name not in real
        )
        yield from (f"code inserted {name} {n} times" for name, n in made.items())

    def _since_start(self, at: datetime) -> str:
        start: datetime = self._data["start"]
        return elapsed(at - start)


def _span(value: float | timedelta) -> str:
    return elapsed(duration(value, "a duration"))
