"""How many jobs a rate limit lets start, and what is remembered of those that did.

A window is what is remembered: when jobs started, and how many at each instant, oldest first. A start
at ``t`` counts until ``t + period``, exclusive. If every claim at ``t`` leaves no more than ``allowed``
starts in ``(t - period, t]``, no half-open window anywhere holds more: take the last start in it.

Instants never go back. A claim whose clock is behind the last start counts as made at that start, so
that skewed clocks cannot cheat: at worst they wait too long.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from operator import itemgetter

from pgjobs.rules.options import RateLimit
from pgjobs.rules.schedule import MICROSECOND, from_micros, later, micros

Window = tuple[tuple[int, int], ...]
"""An instant, in microseconds since 1970, and how many jobs started at it, oldest first. A claim may have
to look at a thousand, and makes no ``datetime`` of each."""

ENTRIES_LIMIT = 1_000
"""Instants that a window remembers. Of more, the two are made one whose merging delays least: starts
that count longer than they must, so that the limit holds and some jobs wait a little longer."""


def moment(window: Window, now: datetime) -> datetime:
    """The instant at which a claim at ``now`` counts as made."""
    return max(now, from_micros(window[-1][0])) if window else now


def counting(limit: RateLimit, window: Window, now: datetime) -> Window:
    """The entries that still count at ``now``."""
    from bisect import bisect_right  # not for every client

    since = micros(now) - limit.period // MICROSECOND
    return window[bisect_right(window, since, key=itemgetter(0)) :]


def used(limit: RateLimit, window: Window, now: datetime) -> int:
    """How many starts count at ``now``."""
    return sum(n for _, n in counting(limit, window, moment(window, now)))


def permits(limit: RateLimit, window: Window, now: datetime) -> int:
    """How many jobs may start at ``now``."""
    return max(0, limit.allowed - used(limit, window, now))


def opens_at(limit: RateLimit, window: Window, now: datetime) -> datetime | None:
    """When a job may start next, if none may at ``now``; else None."""
    entries = counting(limit, window, moment(window, now))
    surplus = sum(n for _, n in entries) - limit.allowed
    if surplus < 0:
        return None
    for at, n in entries:
        surplus -= n
        if surplus < 0:
            return later(from_micros(at), limit.period)
    raise AssertionError("an empty window is open")


def started(limit: RateLimit, window: Window, now: datetime, n: int) -> Window:
    """The window after ``n`` jobs (one at least) started at ``now``.

    Only the last entry depends on ``n``: a store may write the others before it knows it.
    """
    assert n > 0, "what did not start is not remembered"
    moved = moment(window, now)
    at = micros(moved)
    entries = [*counting(limit, window, moved), (at, n)]
    if len(entries) > 1 and entries[-2][0] == at:
        entries[-2:] = [(at, entries[-2][1] + n)]
    while len(entries) > ENTRIES_LIMIT:
        _merge(entries)
    return tuple(entries)


def _merge(entries: list[tuple[int, int]]) -> None:
    """Let one entry count as made at the next one's instant: where that delays least in all."""
    costs = [n * (following - at) for (at, n), (following, _) in pairwise(entries)]
    place = costs.index(min(costs))
    (_, moved), (at, n) = entries[place : place + 2]
    entries[place : place + 2] = [(at, moved + n)]
