"""Whether every job is accounted for: none lost, none unexpected.

What was stored for sure is in the table or was deleted by hand; what failed for sure is not; a call whose
end is unknown may have stored all of its jobs, or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pgjobs_testing.simulation.histories.lives import FINAL, Life
from pgjobs_testing.simulation.histories.model import Anomaly, Ended, History, Insert, Order


def accounts(history: History, known: dict[int, Life]) -> Iterator[Anomaly]:
    """Every anomaly of what is stored against what was asked for and answered."""
    stored: dict[str, list[int]] = {}
    for life in known.values():
        stored.setdefault(life.birth.key, []).append(life.job)
    yield from _kept(history, known)
    asked: set[str] = set()
    for insert in history.inserts:
        asked.update(each.key for each in insert.new)
        yield from _stored(insert, stored, known)
    for key, jobs in stored.items():
        if key not in asked:
            yield Anomaly("unexpected", f"nobody asked for jobs {jobs} with key {key}", tuple(jobs))
        elif len(jobs) > 1:
            yield Anomaly("doubled", f"jobs {jobs} were stored for key {key}", tuple(jobs))
    yield from _obeyed(history, known)


def _kept(history: History, known: dict[int, Life]) -> Iterator[Anomaly]:
    """The table is what the journal says, and nothing goes that nobody deleted."""
    deleting = {each.job for each in history.orders if _may_have(each, "delete")}
    for life in known.values():
        last = life.entries[-1]
        row = history.rows.get(life.job)
        if last.after is None:
            if row is not None:
                yield Anomaly(
                    "unexpected", f"job {life.job} was deleted, and is there", (life.job,)
                )
            elif life.job not in deleting:
                yield Anomaly("lost", f"nobody deleted job {life.job}, and it is gone", (life.job,))
        elif row is None:
            yield Anomaly("lost", f"job {life.job} is gone, and was not deleted", (life.job,))
        elif (row.state, row.attempt) != (last.after, last.attempt):
            seen = f"job {life.job} is {row.state}, and was last changed to {last.after}"
            yield Anomaly("unexpected", seen, (life.job,))
    for job in history.rows:
        if job not in known:
            yield Anomaly("unexpected", f"job {job} was never inserted, and is there", (job,))


def _stored(
    insert: Insert, stored: dict[str, list[int]], known: dict[int, Life]
) -> Iterator[Anomaly]:
    """What one call stored is what it answered, and all of it or none."""
    ended = insert.call.ended
    for new in insert.new:
        if ended is Ended.FAILED and (jobs := stored.get(new.key)):
            seen = f"the insert of {new.key} failed for sure, and jobs {jobs} are there"
            yield Anomaly("unexpected", seen, tuple(jobs))
    yield from _torn(insert, stored, known)
    if ended is not Ended.OK:
        return
    for new, answer in zip(insert.new, insert.answers, strict=True):
        jobs = stored.get(new.key, [])
        if answer.conflict:
            if jobs:
                seen = (
                    f"key {new.key} was answered with job {answer.job}, and jobs {jobs} are there"
                )
                yield Anomaly("unexpected", seen, (answer.job, *jobs))
        elif answer.job not in known:
            seen = f"job {answer.job} for key {new.key} was answered, and never there"
            yield Anomaly("lost", seen, (answer.job,))
        elif answer.job not in jobs:
            seen = f"job {answer.job} was answered for key {new.key}, and is another's"
            yield Anomaly("lost", seen, (answer.job,))


def _torn(
    insert: Insert, stored: dict[str, list[int]], known: dict[int, Life]
) -> Iterator[Anomaly]:
    """Jobs of one call that came to be did so in one transaction, and those that cannot conflict all did."""
    born = {
        new.key: known[job].birth.transaction
        for new in insert.new
        for job in stored.get(new.key, ())
    }
    missing = [new.key for new in insert.new if new.rule is None and new.key not in born]
    if born and (missing or len(Counter(born.values())) > 1):
        jobs = tuple(job for new in insert.new for job in stored.get(new.key, ()))
        yield Anomaly("torn", f"of one call, jobs {jobs} are there, and {missing} are not", jobs)


def _obeyed(history: History, known: dict[int, Life]) -> Iterator[Anomaly]:
    """What was answered as deleted or cancelled is, and no finished job comes back but by an order."""
    for order in history.orders:
        life = known.get(order.job)
        if order.call.ended is not Ended.OK or life is None:
            continue
        if order.what == "delete" and life.entries[-1].after is not None:
            yield Anomaly("disobeyed", f"the delete of job {order.job} was answered", (order.job,))
        cancelled = any(entry.after == "cancelled" for entry in life.entries)
        if order.what == "cancel" and order.state == "cancelled" and not cancelled:
            yield Anomaly("disobeyed", f"the cancel of job {order.job} was answered", (order.job,))
    retries = Counter(each.job for each in history.orders if _may_have(each, "retry"))
    for life in known.values():
        back = sum(each.before in FINAL and each.after == "available" for each in life.entries)
        if back > retries[life.job]:
            seen = f"job {life.job} came back {back} times, for {retries[life.job]} retries by hand"
            yield Anomaly("risen", seen, (life.job,))


def _may_have(order: Order, what: str) -> bool:
    return order.what == what and order.call.ended is not Ended.FAILED
