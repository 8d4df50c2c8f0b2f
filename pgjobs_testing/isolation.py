"""What each test gets of its own, and leaves as it found it: a capture, the workers, the handlers.

It begins with the test, or within it where that is the first to import pgjobs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from pgjobs import guard
from pgjobs.rules.errors import PgJobsError
from pgjobs.telemetry import PROCESS
from pgjobs.worker import REGISTRY
from pgjobs_testing import capture as captures
from pgjobs_testing import forgotten, marking
from pgjobs_testing.capture import Capture
from pgjobs_testing.settings import Settings, settings_with
from pgjobs_testing.stores import StoreSource

CAPTURE = pytest.StashKey[Capture]()
MISTAKE = pytest.StashKey[str]()


def begin(settings: Settings, source: StoreSource) -> Capture:
    """Capture what runs outside of tests, from now on, until what is returned is popped."""
    outside = Capture(settings, source)
    outside.forgotten = None
    captures.push(outside)
    return outside


def isolate(
    item: pytest.Item, settings: Settings, source: Callable[[str], StoreSource]
) -> ExitStack:
    """A capture for this test, until what is returned is closed.

    ``settings`` are those that its marker changes; ``source`` says where a mode has its store.
    """
    try:
        chosen = settings_with(settings, marking.given(item))
    except PgJobsError as error:
        item.stash[MISTAKE] = f"@pytest.mark.pgjobs of {item.nodeid}: {error}"
        chosen = settings
    capture = item.stash[CAPTURE] = Capture(chosen, source(chosen.mode))
    workers = dict(REGISTRY.by_name)
    handlers = PROCESS.snapshot()
    mark = os.environ.pop(guard.ENVIRONMENT_MARK, None)
    if capture.mode != "live":
        os.environ[guard.ENVIRONMENT_MARK] = str(os.getpid())

    def as_before() -> None:
        REGISTRY.by_name.clear()
        REGISTRY.by_name.update(workers)
        PROCESS.restore(handlers)
        os.environ.pop(guard.ENVIRONMENT_MARK, None)
        if mark is not None:
            os.environ[guard.ENVIRONMENT_MARK] = mark

    captures.push(capture)
    ending = ExitStack()
    ending.callback(as_before)
    ending.callback(captures.pop, capture)
    ending.callback(forgotten.warn_of_what_is_left, capture)
    return ending
