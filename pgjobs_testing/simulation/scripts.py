"""The scripted workers and the steps that Python gives, read as the scenario format reads them.

They are data, as in a file, and are checked by all that a file is checked by. What only a file needs, such as
``use``, is refused with what a test does instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.options import Queue
from pgjobs.rules.schedule import instant
from pgjobs.worker import Worker
from pgjobs_testing.scenarios import read
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError, Place, at_path
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.source import DEPTH_LIMIT, Source, TreePath
from pgjobs_testing.scenarios.steps import StepSpec
from pgjobs_testing.scenarios.writing import queue_as_data
from pgjobs_testing.simulation.given import flag_given
from pgjobs_testing.trace import elapsed

_A_SCRIPT = "what a scripted one does, such as {'runs': [{'for': '20s'}]}"
_OF_CODE = (
    "A worker of code is not listed here: decorate it with @pgjobs.worker, and insert it, as in "
    "world.insert(shop.mail)"
)


NOTHING: dict[str, Any] = {"at": "0s", "hold": False}
"""A step that changes nothing, for a file must have one."""


def beginning(
    seed: int,
    start: datetime,
    jitter: bool,
    nodes: Sequence[str],
    queues: Mapping[str, Queue],
    workers: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the file of a world says before its steps."""
    return {
        "name": f"a world of seed {seed}",
        "start": instant(start, "start"),
        "seed": seed,
        "jitter": flag_given(jitter, "jitter"),
        "nodes": list(nodes),
        "queues": {name: queue_as_data(each) for name, each in queues.items()},
        "workers": workers_given(workers),
        "invariants": True,
    }


def workers_given(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The scripted workers by name, each as a file would have it."""
    workers = {} if given is None else given
    if not isinstance(workers, Mapping):
        raise ConfigurationError(
            f"found the workers {shown(workers)}; expected a mapping of names, each to {_A_SCRIPT}. "
            f"{_OF_CODE}"
        )
    for name, each in workers.items():
        if not isinstance(each, Mapping):
            code = f". {_OF_CODE}" if isinstance(each, Worker) or callable(each) else ""
            raise ConfigurationError(
                f"found the worker {shown(name)} with {shown(each)}; expected {_A_SCRIPT}{code}"
            )
        if "use" in each:
            raise ConfigurationError(
                f"found the worker {shown(name)} with use: {shown(each['use'])}, which is for files; "
                f"expected {_A_SCRIPT}. {_OF_CODE}"
            )
    made: dict[str, Any] = _as_data(workers, ("workers",))
    return made


def scenario_of(data: Mapping[str, Any]) -> Scenario:
    """``data`` as a file that holds it would be read; every mistake at once."""
    source = Source("a world", "", data=_as_data(data, ()), places={(): Place(1, 1)})
    try:
        return read.understood(source)[0]
    except InvalidScenarioError as error:
        raise ConfigurationError("\n".join(each.message for each in error.mistakes)) from None


def step_of(action: Mapping[str, Any]) -> StepSpec:
    """One action as the step that does it, whenever that is."""
    try:
        return StepSpec.model_validate({"at": "0s", **action})
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
    context = wrong.get("ctx", {})
    accepted = f"{context.get('accepted') or wrong['msg']}{context.get('hint', '')}"
    place = at_path(wrong["loc"])
    raise ConfigurationError(f"{place}: found {shown(wrong['input'])}; accepted: {accepted}")


def _as_data(value: Any, path: TreePath) -> Any:
    """What a file can hold, spans and instants as texts; ``ConfigurationError`` for anything else."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, timedelta):
        return elapsed(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if len(path) > DEPTH_LIMIT:
        raise ConfigurationError(f"{at_path(path[:3])}: expected {DEPTH_LIMIT} levels at most")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                where = at_path(path) or "a world"
                raise ConfigurationError(f"{where}: found the key {shown(key)}; expected a text")
        return {key: _as_data(each, (*path, key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_data(each, (*path, n)) for n, each in enumerate(value)]
    hint = ""
    if isinstance(value, type) and issubclass(value, BaseException):
        hint = f", here its name: {value.__name__!r}"
    raise ConfigurationError(
        f"{at_path(path)}: found {shown(value)}; expected data, as a scenario file has it{hint}"
    )
