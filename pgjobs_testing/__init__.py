"""The pytest plugin of pgjobs: the engine itself, with time, chance and storage in a test's hand.

Switch it on with ``pytest -p pgjobs_testing``.
"""

from typing import TYPE_CHECKING

from pgjobs_testing.matching import ANY

if TYPE_CHECKING:
    from pgjobs_testing.fixture import Harness, harness
    from pgjobs_testing.performing import WorkerContractError
    from pgjobs_testing.properties import strategies
    from pgjobs_testing.properties.machine import JobsMachine

__all__ = ["ANY", "Harness", "JobsMachine", "WorkerContractError", "harness", "strategies"]

pytest_plugins = ("pgjobs_testing.plugin",)


def __getattr__(name: str) -> object:
    """What is named is imported then: the harness so that its asserts are rewritten, hypothesis as
    who does not use it should not wait for it."""
    if name in ("Harness", "harness"):
        from pgjobs_testing import fixture

        return getattr(fixture, name)
    if name == "WorkerContractError":
        from pgjobs_testing import performing

        return performing.WorkerContractError
    if name == "JobsMachine":
        from pgjobs_testing.properties import machine

        return machine.JobsMachine
    if name == "strategies":
        from pgjobs_testing.properties import strategies

        return strategies
    raise AttributeError(f"module 'pgjobs_testing' has no attribute {name!r}")
