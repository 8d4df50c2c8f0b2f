"""Whether a database may be opened in this process: always, but in a test run that captures.

Adapters ask before they open any connection. A test run installs its own answer, and marks the
environment, so that its child processes refuse as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from pgjobs.rules.errors import CapturedStoreError

ENVIRONMENT_MARK = "PGJOBS_CAPTURED_BY"
"""Set by a test run to its process id, so that its child processes refuse to open databases."""

LIVE = 'mark the test with @pytest.mark.pgjobs(mode="live") to let it use its real database'
REMEDY = f'{LIVE}, or mode="postgres" to run it on a test server'

CHILDS_REMEDY = (
    'do what it does in the test\'s own process, which in mode="postgres" has a test server, or '
    f"{LIVE}, in its child processes as well"
)
"""A child process has no test, and so no server of one: whatever its parent's mode, but for live."""

Guard = Callable[[str], None]
_guard: Guard | None = None


def install(guard: Guard | None) -> None:
    """Let ``guard`` raise for every DSN that may not be opened; None ends it."""
    global _guard  # noqa: PLW0603 - one process, one guard
    _guard = guard


def check(dsn: str) -> None:
    """``CapturedStoreError`` when ``dsn`` may not be opened here."""
    if _guard is None:
        _refuse_child()
    else:
        _guard(dsn)


def check_unnamed() -> None:
    """The same where no database is named, in a child process, where none that was named would be opened."""
    if _guard is None:
        _refuse_child(" (and no database is named for it)")


def _refuse_child(more: str = "") -> None:
    parent = os.environ.get(ENVIRONMENT_MARK)
    if parent is not None:
        raise CapturedStoreError(
            "this process is a child of a test run that keeps real databases closed (pytest -p "
            f"pgjobs_testing, process {parent}), so no connection is opened{more}: {CHILDS_REMEDY}"
        )
