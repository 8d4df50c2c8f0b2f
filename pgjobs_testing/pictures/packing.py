"""Which row of a lane each bar gets: the lowest that is free, in the order of their beginnings."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TypeVar

N = TypeVar("N", int, float)


def packed(extents: Sequence[tuple[N, N]], at_most: int) -> list[int] | None:
    """The row of each extent, given by beginning and end in the order of beginnings.

    What ends where another begins shares its row. None when it takes more than ``at_most`` rows.
    """
    busy: list[tuple[N, int]] = []
    free: list[int] = []
    rows: list[int] = []
    count = 0
    for begin, end in extents:
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        if free:
            row = heappop(free)
        else:
            row, count = count, count + 1
            if count > at_most:
                return None
        heappush(busy, (end, row))
        rows.append(row)
    return rows
