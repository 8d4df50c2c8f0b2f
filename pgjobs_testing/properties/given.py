"""Whether what a subclass of ``JobsMachine`` chose can be played; a mistake is a ``ConfigurationError``."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from hypothesis.strategies import SearchStrategy

from pgjobs import Worker
from pgjobs.rules.errors import ConfigurationError, closest, shown
from pgjobs.worker import DEFAULT_QUEUE

SETTINGS = ("workers", "queues", "mode", "longest_s")
"""What a subclass sets, beside the methods that it overrides."""
INSTANCES = ("model", "jobs", "asked", "asked_for")
"""What each machine has of its own."""
NEAR = 0.8
"""How like a setting a name must be to be taken for a misspelt one; "node" is none of "mode"."""


def check_attributes(name: str, own: Mapping[str, object], base: type) -> None:
    """Refuse attributes of a subclass that are near to a setting, or in the place of a method."""
    for given, value in own.items():
        if given.startswith("_") or callable(value) or isinstance(value, SearchStrategy):
            continue
        known = getattr(base, given, None)
        if given in SETTINGS or given in INSTANCES or (known is not None and not callable(known)):
            continue
        close = get_close_matches(given, SETTINGS, n=1, cutoff=NEAR)
        hint = f": did you mean {close[0]!r}?" if close else ""
        if known is not None:
            raise ConfigurationError(
                f"{name}.{given} is a method of a machine, not a setting{hint}"
            )
        if close:
            raise ConfigurationError(f"a machine has no setting {given!r}{hint} ({name}.{given})")


def check_workers(workers: object) -> None:
    """Refuse what is no mapping of workers, each to a strategy for its args."""
    if not isinstance(workers, Mapping):
        raise ConfigurationError(
            f"a machine's workers are {shown(workers)}; expected a mapping of workers, each to a strategy "
            "for its args"
        )
    for worker, args in workers.items():
        if not isinstance(worker, Worker):
            raise ConfigurationError(
                f"a machine's workers have the key {shown(worker)}; expected a worker, not its name"
            )
        if not isinstance(args, SearchStrategy):
            raise ConfigurationError(
                f"a machine's worker {worker.name} has the args {shown(args)}; expected a strategy for them, "
                "such as st.fixed_dictionaries({...})"
            )


def check_queues(name: str, workers: object, queues: object) -> None:
    """Refuse a queue that no worker is of, beside a worker's that is not served and is named alike.

    A machine may serve queues of no worker, and leave out those of some.
    """
    if not isinstance(queues, Mapping) or not isinstance(workers, Mapping):
        return
    of_workers = {
        str(each.defaults.get("queue", DEFAULT_QUEUE))
        for each in workers
        if isinstance(each, Worker)
    }
    for queue in queues:
        near = closest(str(queue), of_workers - set(queues))
        if queue not in of_workers and near:
            raise ConfigurationError(
                f"{name} serves the queue {queue!r}, which none of its workers is of, and not {near!r}, "
                f"which one is: did you mean {near!r}?"
            )
