"""No half-open window holds more starts than are allowed, and no start is put off that could be earlier."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pgjobs import Queue, RateLimit
from pgjobs.worker import REGISTRY
from pgjobs_testing import harness, strategies
from pgjobs_testing.properties.instants import START
from pgjobs_testing.properties.scripted import scripted
from tests.properties.places import ON_BOTH_STORES, examples


def fullest(starts: list[datetime], period: timedelta) -> int:
    """The most starts in any half-open window: one that begins with a start holds as many as any."""
    return max(sum(one <= two < one + period for two in starts) for one in starts)


def as_early_as_may_be(due: list[datetime], limit: RateLimit) -> list[datetime]:
    """When jobs start that are due then, each as soon as the rate lets it, in order."""
    starts: list[datetime] = []
    for at in sorted(due):
        earlier = starts[-limit.allowed] if len(starts) >= limit.allowed else None
        starts.append(at if earlier is None else max(at, earlier + limit.period))
    return starts


@ON_BOTH_STORES
@examples(15)
@given(
    limit=strategies.rate_limits(120),
    waits=st.lists(strategies.spans(120), min_size=1, max_size=12),
    steps=st.lists(strategies.spans(120), max_size=4),
)
def test_starts_are_as_early_as_the_rate_lets_them_be(mode, limit, waits, steps):
    REGISTRY.add(scripted)
    queue = Queue(concurrency=5, rate_limit=limit)
    with harness(mode=mode, start=START, queues={"default": queue}) as jobs:
        jobs.insert_all([scripted.new({"script": ["ok"]}, schedule_in=wait) for wait in waits])
        for step in steps:  # what happens does not hang on how the test lets time pass
            jobs.advance(step)
        jobs.advance(timedelta(seconds=121) + len(waits) * limit.period)
        starts = [moment.at for moment in jobs.timeline.of("start")]
        assert fullest(starts, limit.period) <= limit.allowed
        assert as_early_as_may_be([START + wait for wait in waits], limit) == starts
