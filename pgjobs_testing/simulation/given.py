"""What a test gives a world, checked: a mistake is a ``ConfigurationError`` that says what is expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from pgjobs.adapters.local import LocalStore
from pgjobs.effects import Find
from pgjobs.leading import Leases
from pgjobs.rules.errors import ConfigurationError, closest, shown
from pgjobs.rules.options import NAME_LIMIT, Queue
from pgjobs.rules.schedule import duration
from pgjobs.rules.selection import Selection
from pgjobs_testing.scenarios.parts import NODES, SOME
from pgjobs_testing.simulation.verdict import FAULTS

OF_NODES = tuple(
    each for each in FAULTS if each not in ("operator", "control", "workers", "poison")
)
"""The faults that a world draws by itself while it advances; the others are what a test does."""

LONGEST = timedelta(days=36_525)
"""A century: each of its beats is played."""


def faults_given(given: object) -> tuple[str, ...]:
    """The faults that are meant, in the order of ``FAULTS``."""
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(f"found the faults {shown(given)}; expected all, none or names")
    names = [each.strip() for each in given.split(",")] if isinstance(given, str) else [*given]
    if names == ["all"]:
        return OF_NODES
    if names in (["none"], []):
        return ()
    for name in names:
        if name in ("all", "none"):
            raise ConfigurationError(f"found {name!r} beside other faults; expected it alone")
        if name in FAULTS and name not in OF_NODES:
            raise ConfigurationError(f"a world does not draw {name!r}: a test does that itself")
        if name not in OF_NODES:
            near = closest(name, OF_NODES) if isinstance(name, str) else None
            hint = (
                f"did you mean {near!r}" if near else f"known are all, none, {', '.join(OF_NODES)}"
            )
            raise ConfigurationError(f"unknown fault {shown(name)}: {hint}")
    return tuple(name for name in OF_NODES if name in names)


def nodes_given(given: int | Sequence[str]) -> list[str]:
    """The names of so many nodes, or those that are given: at least one, each once."""
    if isinstance(given, str | bytes | bool) or not isinstance(given, int | Sequence):
        raise ConfigurationError(
            f"found the nodes {shown(given)}; expected how many, or a list of their names"
        )
    many = given if isinstance(given, int) else len(given)
    if many > NODES:
        raise ConfigurationError(f"found {many:,} nodes; expected {NODES} at most")
    names = [name_of(n) for n in range(given)] if isinstance(given, int) else [*given]
    for name in names:
        _check_name(name, "the node")
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


def store_given(store: LocalStore | None) -> None:
    """Refuse a store that is none."""
    if store is not None and not isinstance(store, LocalStore):
        raise ConfigurationError(
            f"found the store {shown(store)}; expected None, for one in memory, or a store that is played "
            "in this process, as jobs.store is"
        )


def empty_given(store: LocalStore) -> None:
    """Refuse a store that has jobs, whose history no invariant knows, or a leader."""
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
    if len(queues) > SOME:
        raise ConfigurationError(f"found {len(queues):,} queues; expected {SOME:,} at most")
    made = {}
    for name, each in queues.items():
        _check_name(name, "the queue")
        if not isinstance(each, int | Queue):
            raise ConfigurationError(
                f"found the queue {name!r} with {shown(each)}; expected a concurrency or a Queue"
            )
        made[name] = Queue(each) if isinstance(each, int) else each
    return made


def names_given(given: Iterable[str], queues: Sequence[str]) -> list[str]:
    """Those of ``queues`` that a node is to serve, each once."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(
            f"found the queues {shown(given)}; expected a list of their names, such as {queues[:1]}"
        )
    names = list(dict.fromkeys(given))
    for name in names:
        if name not in queues:
            near = closest(name, queues) if isinstance(name, str) else None
            known = f"known are {', '.join(queues)}" if queues else "none is known"
            raise ConfigurationError(
                f"no queue of this world is named {shown(name)}: "
                f"{f'did you mean {near!r}' if near else known}; name it in World(queues=)"
            )
    return names


def flag_given(given: bool, what: str) -> bool:
    """True or False, and nothing else that could be taken for it."""
    if not isinstance(given, bool):
        raise ConfigurationError(f"found {what}={shown(given)}; expected True or False")
    return given


def span_given(given: float | timedelta, what: str) -> timedelta:
    """How long something takes, in seconds: of all of it that is played, it has an end."""
    span = duration(given, what)
    if span > LONGEST:
        raise ConfigurationError(
            f"{what} is {shown(given)}; expected {LONGEST.days:,} days at most"
        )
    return span


def _check_name(given: object, what: str) -> None:
    if not isinstance(given, str) or not 1 <= len(given) <= NAME_LIMIT:
        raise ConfigurationError(
            f"found {what} {shown(given)}; expected a text of 1 to {NAME_LIMIT} characters for its name"
        )
