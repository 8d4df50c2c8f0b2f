"""Whether the claims of a limited queue kept its limits, over all nodes together.

A rate is judged by the instants at which jobs started: in no half-open window of its period are there more
than it allows. Runs at a time are judged by the journal's order: claims of one queue take turns from their
notes to their commit, and an end is noted a little before others can see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgjobs_testing.simulation.histories.lives import EXECUTING
from pgjobs_testing.simulation.histories.model import Anomaly, Entry, Limit


def limits(journal: Iterable[Entry], by_queue: Iterable[tuple[str, Limit]]) -> Iterator[Anomaly]:
    """Every queue whose limits were passed, at the first place where they were."""
    ordered = sorted(journal, key=lambda each: each.n)
    for queue, limit in by_queue:
        entries = [each for each in ordered if each.queue == queue]
        if limit.allowed is not None:
            yield from _rate(queue, entries, limit.allowed, limit.period_us)
        if limit.most is not None:
            yield from _at_a_time(queue, entries, limit.most)


def _rate(queue: str, entries: list[Entry], allowed: int, period_us: int) -> Iterator[Anomaly]:
    starts = sorted(
        (each.attempted_at, each.job)
        for each in entries
        if each.after == EXECUTING and each.attempted_at is not None
    )
    for (early, _), (late, job) in zip(starts, starts[allowed:], strict=False):
        if late - early < period_us:
            seen = (
                f"{queue}: {allowed + 1} jobs started within {late - early} us, and {allowed} may "
                f"in {period_us} us"
            )
            yield Anomaly("over-rate", seen, (job,))
            return


def _at_a_time(queue: str, entries: list[Entry], most: int) -> Iterator[Anomaly]:
    running: dict[int, None] = {}
    for entry in entries:
        if entry.after == EXECUTING:
            running[entry.job] = None
        else:
            running.pop(entry.job, None)
        if len(running) > most:
            seen = f"{queue}: jobs {[*running]} ran at a time; {most} may"
            yield Anomaly("over-concurrency", seen, tuple(running))
            return
