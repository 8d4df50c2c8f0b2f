"""What Python does: calls, memory and blocks, counted where time would tell the machine's mood.

A call is one of a function, Python's or C's, or the going on of a generator. How many there are depends
on the minor version alone, for an interpreter calls some things otherwise than the one before it.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def calls(act: Callable[[], object]) -> int:
    """How many calls ``act`` makes in this thread."""
    count = 0

    def told(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    gc.collect()
    gc.disable()  # a callback of the collector's would come at any moment
    sys.setprofile(told)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count - 1  # the one that ends the count


def peak_bytes(act: Callable[[], object]) -> int:
    """How many bytes more are in use while ``act`` works than before it, at most."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        act()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before


def blocks_kept(act: Callable[[], object]) -> int:
    """How many blocks of memory more are in use after ``act`` than before it."""
    gc.collect()
    before = sys.getallocatedblocks()
    act()
    gc.collect()
    return sys.getallocatedblocks() - before
