"""How jobs of a limited queue are claimed in memory: the store's lock is the queue's turn."""

from __future__ import annotations

from pgjobs import effects
from pgjobs.adapters.memory import jobs
from pgjobs.adapters.memory.tables import Tables
from pgjobs.rules.limits import Turn
from pgjobs.rules.ratelimit import Window


def claim_within(tables: Tables, effect: effects.ClaimWithin) -> effects.Claimed:
    queue, change = effect.queue, effect.change
    window = tables.windows.get(queue, ())
    limit = effect.limits.concurrency
    running = 0 if limit is None else min(limit, _running(tables, queue))
    turn = Turn(effect.limits, effect.demand, change.at, window, running)
    claim = effects.Claim(effect.selection, turn.room, turn.dated(change))
    claimed = jobs.claim(tables, claim)
    taken = len(claimed)
    if after := turn.after(taken):
        tables.windows[queue] = after
    return effects.Claimed(claimed, turn.opens_at(taken), turn.running_after(taken))


def windows(tables: Tables, _: effects.Windows) -> dict[str, Window]:
    return dict(sorted(tables.windows.items()))


def _running(tables: Tables, queue: str) -> int:
    rows = tables.jobs
    return [rows.by_id[job_id].queue for job_id in rows.executing].count(queue)
