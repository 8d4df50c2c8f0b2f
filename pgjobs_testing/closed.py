"""Keeps real databases closed in a process that plays a project's code outside of pytest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pgjobs import guard
from pgjobs_testing import capture as captures
from pgjobs_testing.capture import Capture
from pgjobs_testing.settings import Settings
from pgjobs_testing.stores import MemorySource


@contextmanager
def databases_closed() -> Iterator[None]:
    """Within the block every ``PgJobs`` is captured, and no database opens that no test made.

    Child processes that are started in it refuse as well.
    """
    outside = Capture(Settings(), MemorySource())
    mark = os.environ.get(guard.ENVIRONMENT_MARK)
    os.environ[guard.ENVIRONMENT_MARK] = str(os.getpid())
    captures.push(outside)
    try:
        yield
    finally:
        captures.pop(outside)
        if mark is None:
            del os.environ[guard.ENVIRONMENT_MARK]
        else:
            os.environ[guard.ENVIRONMENT_MARK] = mark
