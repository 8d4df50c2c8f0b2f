"""Where a failure points when pgjobs refuses something: at the project's line, not at ours.

An error of ours says what was expected, what was found and the remedy, so the frames in which that was
noticed tell the reader nothing. pytest hides those whose module says so; ``--full-trace`` shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pgjobs.rules.errors import PgJobsError

_OURS = ("pgjobs", "pgjobs_testing")
_AROUND = (*_OURS, "_pytest", "pluggy", "asyncio", "contextlib")


def hide(failed: pytest.ExceptionInfo[BaseException]) -> None:
    """Let the frames of ours in this traceback be hidden, here and in what follows."""
    if _points_elsewhere(failed):
        for entry in failed.traceback:
            names = entry.frame.f_globals
            if _package(names) in _OURS:
                names.setdefault("__tracebackhide__", _points_elsewhere)


def _points_elsewhere(failed: pytest.ExceptionInfo[BaseException] | None) -> bool:
    """Whether it is an error of ours that a line of the project, or of its tests, brought about."""
    return (
        failed is not None
        and failed.errisinstance(PgJobsError)
        and any(_package(entry.frame.f_globals) not in _AROUND for entry in failed.traceback)
    )


def _package(names: Mapping[str, Any]) -> str:
    """The package of the module whose globals these are."""
    return str(names.get("__name__", "")).partition(".")[0]
