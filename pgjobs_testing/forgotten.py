"""Decides what becomes of a coroutine of the harness that nobody awaited: its test fails.

``jobs.refute_enqueued_async(...)`` without ``await`` refutes nothing, and the test would pass with a warning
of Python's. Where a coroutine is dropped that never began, CPython calls
``warnings._warn_unawaited_coroutine`` with it, whatever filters are set. What is asked here is asked there
and then, so that tests which await pay for nothing.
"""

from __future__ import annotations

import linecache
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgjobs_testing.capture import Capture

LISTED = 10
"""So many calls are named; more are counted."""
HOOK = "_warn_unawaited_coroutine"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A call whose coroutine never began, and where it was made; ``line`` 0: nobody knows."""

    name: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        call = f"jobs.{self.name}(...)"
        if not self.line:
            return call
        source = linecache.getline(self.file, self.line).strip()
        return f"{os.path.relpath(self.file)}:{self.line}: {source or call}"


def complaint(found: list[Forgotten]) -> str:
    """What is said of a test that forgot these."""
    names = list(dict.fromkeys(each.name for each in found))
    many = "a call" if len(found) == 1 else f"{len(found)} calls"
    lines = [f"pgjobs: {many} of this test was never awaited, and so did nothing"]
    if len(found) > 1:
        lines = [lines[0].replace(" was ", " were ")]
    lines += [f"  {each}" for each in found[:LISTED]]
    if len(found) > LISTED:
        lines.append(f"  ... and {len(found) - LISTED} more")
    written = ", ".join(f"await jobs.{name}(...)" for name in names[:LISTED])
    return "\n".join((*lines, f"Write {written}"))


def taken(capture: Capture) -> list[Forgotten]:
    """What was forgotten in a capture so far; it is asked for once."""
    found = capture.forgotten or []
    if found:
        capture.forgotten = []
    return found


def ended(capture: Capture) -> None:
    """Nobody asks this one any more: what it knows goes to the one around it that somebody asks."""
    left, capture.forgotten = capture.forgotten, None
    around = _asked(capture)
    if around is not None and left:
        around += left


def warn_of_what_is_left(capture: Capture) -> None:
    """Nobody asks this one any more, and its test has been reported."""
    left, capture.forgotten = capture.forgotten, None
    if left:
        warnings.warn(complaint(left), RuntimeWarning, stacklevel=2)


@contextmanager
def lines_known() -> Iterator[None]:
    """Within the block each coroutine knows the line that made it, where this thread makes it."""
    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(max(before, 1))
    try:
        yield
    finally:
        sys.set_coroutine_origin_tracking_depth(before)


def watch(harness: type) -> None:
    """From now on coroutines of this class that are dropped before they began fail their test."""
    warned: Callable[[CoroutineType[Any, Any, Any]], None] | None = getattr(warnings, HOOK, None)
    if warned is None:
        return

    def dropped(coroutine: CoroutineType[Any, Any, Any]) -> None:
        of = _maker(coroutine, harness)
        list_of_it = None if of is None else _asked(of._capture)
        if list_of_it is None:
            warned(coroutine)
        else:
            list_of_it.append(_told(coroutine, sys._getframe(1)))

    setattr(warnings, HOOK, dropped)


def _maker(coroutine: CoroutineType[Any, Any, Any], harness: type) -> Any:
    """The harness whose public method made it; None for any other coroutine."""
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None or coroutine.__name__.startswith("_"):
        return None
    maker = frame.f_locals.get("self")
    return maker if isinstance(maker, harness) else None


def _asked(capture: Capture | None) -> list[Forgotten] | None:
    """The list of the nearest capture that somebody will ask, from ``capture`` outwards."""
    while capture is not None:
        if capture.forgotten is not None:
            return capture.forgotten
        capture = capture.around
    return None


def _told(coroutine: CoroutineType[Any, Any, Any], dropping: Any) -> Forgotten:
    """Its line is where it was made, where that is known; else where it was dropped."""
    if coroutine.cr_origin:
        file, line, _ = coroutine.cr_origin[0]
        return Forgotten(coroutine.__name__, file, line)
    if dropping is None:
        return Forgotten(coroutine.__name__)
    return Forgotten(coroutine.__name__, dropping.f_code.co_filename, dropping.f_lineno or 0)
