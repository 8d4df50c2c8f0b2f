"""What a test gives a world, read as the scenario format reads it; a mistake is a ``ConfigurationError``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pgjobs.adapters.local import LocalStore
from pgjobs.effects import Find
from pgjobs.leading import Leases
from pgjobs.plugins import Plugin
from pgjobs.rules.errors import ConfigurationError, closest, shown
from pgjobs.rules.options import Queue
from pgjobs.rules.schedule import duration
from pgjobs.rules.selection import Selection
from pgjobs_testing.scenarios.mistakes import found
from pgjobs_testing.simulation.verdict import FAULTS
from pgjobs_testing.timeline import elapsed

OF_NODES = tuple(
    each for each in FAULTS if each not in ("operator", "control", "workers", "poison")
)
"""The faults that a world draws by itself while it advances; the others are what a test does."""

LONGEST = timedelta(days=36_525)
"""A century: each of its beats is played."""

M = TypeVar("M", bound=BaseModel)


def faults_given(given: str | Sequence[str]) -> tuple[str, ...]:
    """The faults that are meant, in the order of ``FAULTS``."""
    if given == "all":
        return OF_NODES
    if given == "none":
        return ()
    if not isinstance(given, str | Sequence):
        raise ConfigurationError(f"found the faults {shown(given)}; expected all, none or names")
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
    if isinstance(given, str | bool) or not isinstance(given, int | Sequence):
        raise ConfigurationError(
            f"found the nodes {shown(given)}; expected how many, or their names"
        )
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
    if not isinstance(plugins, Sequence):
        raise ConfigurationError(f"found the plugins {shown(plugins)}; expected a list of them")
    for each in plugins:
        if not isinstance(each, Plugin):
            raise ConfigurationError(
                f"found the plugin {shown(each)}; expected one such as Stalled()"
            )


def empty_given(store: LocalStore) -> None:
    """``ConfigurationError`` for a store that has jobs, whose history no invariant knows, or a leader."""
    jobs, leases = store.carry_out(Find(Selection(), limit=1)), store.carry_out(Leases())
    if jobs or leases:
        has = (
            f"the job {jobs[0].id}" if jobs else f"the lease of {next(iter(leases.values())).node}"
        )
        raise ConfigurationError(f"the store has {has} already: give each world an empty one")


def queues_given(given: Mapping[str, int | Queue] | None) -> dict[str, Queue]:
    """The queues by name, as ``PgJobs`` takes them."""
    queues = {} if given is None else given
    if not isinstance(queues, Mapping):
        raise ConfigurationError(
            f"found the queues {shown(queues)}; expected names, each with a concurrency or a Queue"
        )
    for name, each in queues.items():
        if not isinstance(each, int | Queue):
            raise ConfigurationError(
                f"found the queue {name!r} with {shown(each)}; expected a concurrency or a Queue"
            )
    return {name: Queue(each) if isinstance(each, int) else each for name, each in queues.items()}


def workers_given(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The scripted workers by name."""
    workers = {} if given is None else given
    if not isinstance(workers, Mapping):
        raise ConfigurationError(
            f"found the workers {shown(workers)}; expected names, each with what a file says of a worker"
        )
    return dict(workers)


def span_given(given: float | timedelta, what: str) -> timedelta:
    """How long something takes: of all of it that is played, it has an end."""
    span = duration(given, what)
    if span > LONGEST:
        raise ConfigurationError(
            f"{what} is {shown(given)}; expected {LONGEST.days:,} days at most"
        )
    return span


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
