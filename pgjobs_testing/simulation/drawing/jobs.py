"""Draws what is inserted: singly, in bulk, at once, for later, with args in which JSON has its traps."""

from __future__ import annotations

from typing import Any

from pgjobs_testing.simulation.dice import Dice
from pgjobs_testing.simulation.drawing.times import duration
from pgjobs_testing.simulation.verdict import Options

TRAPS: tuple[Any, ...] = (
    {"n": 1},
    {"n": 1.0},
    {"n": True},
    {"n": None},
    {},
    {"n": 2, "é": "é"},
    {"n": 2, "e\u0301": "e\u0301"},
    {"n": 1e16},
    {"n": -0.0, "deep": {"a": [1, {"b": []}]}},
    {"n": 2**53 + 1, "text": "\\u0000 \" '"},
    {"n": 3, "b": 1, "a": 2},
    {"n": 3, "a": 2, "b": 1},
)
"""Args that are equal, nearly equal or hard to keep: every third job has one of them."""


def inserts(
    dice: Dice, workers: dict[str, Any], queues: list[str], options: Options, span_s: float
) -> list[dict[str, Any]]:
    """Steps that insert ``options.jobs`` jobs in all; each job has a name."""
    steps: list[dict[str, Any]] = []
    made, at = 0, 0.0
    mean_s = span_s / max(1, options.jobs)
    while made < options.jobs:
        burst = dice.whole("burst", 2, 12) if dice.chance("burst", 0.12) else 1
        burst = min(burst, options.jobs - made)
        at = min(span_s, at + burst * dice.long("gap", mean_s / 10, mean_s * 2.5))
        jobs = [_job(dice, made + n + 1, workers, queues) for n in range(burst)]
        made += burst
        if burst > 1 and dice.chance("burst", 0.5):
            steps.append({"at": at, "insert_all": jobs})
        else:
            steps += [{"at": at, "insert": job} for job in jobs]
    return steps


def _job(dice: Dice, n: int, workers: dict[str, Any], queues: list[str]) -> dict[str, Any]:
    name = dice.one("worker", list(workers))
    job: dict[str, Any] = {"as": f"j{n}", "worker": name}
    job["args"] = dice.one("args", TRAPS) if dice.chance("args", 0.3) else {"n": n}
    if "unique" in workers[name] and dice.chance("alike", 0.6):
        job["args"] = {"n": dice.whole("alike", 1, 2)}
    if dice.chance("priority", 0.2):
        job["priority"] = dice.whole("priority", 0, 9)
    if dice.chance("when", 0.2):
        job["schedule_in"] = duration(dice.long("when", 0.1, 240))
    if dice.chance("queue", 0.1):
        job["queue"] = dice.one("queue", queues)
    if dice.chance("attempts", 0.1):
        job["max_attempts"] = dice.whole("attempts", 1, 3)
    if dice.chance("meta", 0.1):
        job["meta"] = {"trace": n}
    if "unique" in workers[name] and dice.chance("unique", 0.2):
        job["unique"] = None
    return job
