"""Whether what a subclass of ``JobsMachine`` chose can be played; a mistake is a ``ConfigurationError``."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis.strategies import SearchStrategy

from pgjobs import Worker
from pgjobs.rules.errors import ConfigurationError, shown


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
