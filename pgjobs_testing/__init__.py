"""The pytest plugin of pgjobs: the engine itself, with time, chance and storage in a test's hand.

Switch it on with ``pytest -p pgjobs_testing``.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgjobs_testing.fixture import Harness, harness
    from pgjobs_testing.matching import ANY
    from pgjobs_testing.nodes.watching import AlarmError
    from pgjobs_testing.performing import WorkerContractError
    from pgjobs_testing.properties import strategies
    from pgjobs_testing.properties.machine import JobsMachine
    from pgjobs_testing.simulation.world import World

__all__ = [
    "ANY",
    "AlarmError",
    "Harness",
    "JobsMachine",
    "WorkerContractError",
    "World",
    "harness",
    "strategies",
]

pytest_plugins = ("pgjobs_testing.plugin",)


_PLACES = {
    "ANY": "matching",
    "AlarmError": "nodes.watching",
    "Harness": "fixture",
    "JobsMachine": "properties.machine",
    "WorkerContractError": "performing",
    "World": "simulation.world",
    "harness": "fixture",
}


def __getattr__(name: str) -> object:
    """What is named is imported then: the harness so that its asserts are rewritten, all of it since who
    does not use it should not wait for it."""
    if name == "strategies":
        return importlib.import_module("pgjobs_testing.properties.strategies")
    if name not in _PLACES:
        raise AttributeError(f"module 'pgjobs_testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pgjobs_testing.{_PLACES[name]}"), name)
