"""What a test gives a world, read as the scenario format reads it; a mistake is a ``ConfigurationError``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pgjobs.adapters.local import LocalStore
from pgjobs.plugins import Plugin
from pgjobs.rules.errors import ConfigurationError, closest, shown
from pgjobs_testing.scenarios.mistakes import found
from pgjobs_testing.simulation.verdict import FAULTS
from pgjobs_testing.timeline import elapsed

OF_NODES = tuple(
    each for each in FAULTS if each not in ("operator", "control", "workers", "poison")
)
"""The faults that a world draws by itself while it advances; the others are what a test does."""

M = TypeVar("M", bound=BaseModel)


def faults_given(given: str | Sequence[str]) -> tuple[str, ...]:
    """The faults that are meant, in the order of ``FAULTS``."""
    if given == "all":
        return OF_NODES
    if given == "none":
        return ()
    names = [each.strip() for each in given.split(",")] if isinstance(given, str) else [*given]
    for name in names:
        if name in FAULTS and name not in OF_NODES:
            raise ConfigurationError(f"a world does not draw {name!r}: a test does that itself")
        if name not in OF_NODES:
            near = closest(str(name), OF_NODES)
            hint = (
                f"did you mean {near!r}" if near else f"known are all, none, {', '.join(OF_NODES)}"
            )
            raise ConfigurationError(f"unknown fault {name!r}: {hint}")
    return tuple(name for name in OF_NODES if name in names)


def nodes_given(given: int | Sequence[str]) -> list[str]:
    """The names of so many nodes, or those that are given: at least one, each once."""
    if isinstance(given, int):
        names = [name_of(n) for n in range(given)]
    else:
        names = [*given]
    twice = [name for n, name in enumerate(names) if name in names[:n]]
    if not names or twice:
        wrong = f"{twice[0]!r} twice" if twice else "none"
        raise ConfigurationError(
            f"found the nodes {shown(given)}, {wrong}; expected at least one, each once"
        )
    return names


def name_of(n: int) -> str:
    """The name of the ``n``th node, from 0: a to z, then n26 and so on."""
    return chr(ord("a") + n) if n < 26 else f"n{n}"


def kinds_given(store: LocalStore | None, plugins: Sequence[Plugin]) -> None:
    """``ConfigurationError`` for a store or a plugin that is none."""
    if store is not None and not isinstance(store, LocalStore):
        raise ConfigurationError(
            f"found the store {shown(store)}; expected None, for one in memory, or a store that is played "
            "in this process, as jobs.store is"
        )
    for each in plugins:
        if not isinstance(each, Plugin):
            raise ConfigurationError(
                f"found the plugin {shown(each)}; expected one such as Stalled()"
            )


def understood(model: type[M], data: Mapping[str, Any]) -> M:
    """``data`` as the format's ``model``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
    place = ".".join(str(each) for each in wrong["loc"])
    context = wrong.get("ctx", {})
    if wrong["type"] == "extra_forbidden":
        said = "there is no such key"
    else:
        accepted = context.get("accepted") or wrong["msg"]
        said = f"found {found(wrong['input'])}; accepted: {accepted}{context.get('hint', '')}"
    raise ConfigurationError(f"{place}: {said}")


def spelt_out(value: Any) -> Any:
    """Data as a file would hold it: durations as texts."""
    if isinstance(value, timedelta):
        return elapsed(value)
    if isinstance(value, Mapping):
        return {key: spelt_out(each) for key, each in value.items()}
    return [spelt_out(each) for each in value] if isinstance(value, list | tuple) else value
