"""The pytest plugin of pgjobs: the engine itself, with time, chance and storage in a test's hand.

Switch it on with ``pytest -p pgjobs_testing``.
"""

from typing import TYPE_CHECKING

from pgjobs_testing.matching import ANY

if TYPE_CHECKING:
    from pgjobs_testing.fixture import Harness, harness
    from pgjobs_testing.performing import WorkerContractError

__all__ = ["ANY", "Harness", "WorkerContractError", "harness"]

pytest_plugins = ("pgjobs_testing.plugin",)


def __getattr__(name: str) -> object:
    """The harness is imported when it is first named, so that its asserts are rewritten."""
    if name in ("Harness", "harness"):
        from pgjobs_testing import fixture

        return getattr(fixture, name)
    if name == "WorkerContractError":
        from pgjobs_testing import performing

        return performing.WorkerContractError
    raise AttributeError(f"module 'pgjobs_testing' has no attribute {name!r}")
