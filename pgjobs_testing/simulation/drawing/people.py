"""Draws what people do meanwhile: they cancel, retry and delete jobs, singly or all that filters mean, and
pause and scale queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgjobs.rules.job import FINAL, WAITING, JobState
from pgjobs_testing.simulation.dice import Dice
from pgjobs_testing.simulation.verdict import Options

JOBS_PER_ACT = 12
JOBS_PER_ORDER = 40
"""Orders for many are few: each may take much of the world away."""
ORDERED_BY = (
    ("queue",),
    ("worker",),
    ("state",),
    ("args",),
    ("jobs",),
    ("jobs", "state"),
    ("queue", "state"),
    ("worker", "state"),
    ("worker", "attempt"),
)
"""What the filters of an order name."""
STATES = tuple(map(str, (*WAITING, JobState.EXECUTING, *FINAL)))
LONG_AFTER_S = 120.0


def by_hand(
    dice: Dice,
    jobs: list[dict[str, Any]],
    workers: list[str],
    queues: list[str],
    options: Options,
    until_s: float,
    faults: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Steps of an operator, up to ``until_s``, by which everything that was paused goes on.

    ``faults`` are those beside which much is done.
    """
    steps: list[dict[str, Any]] = []
    if "operator" in options.faults:
        steps += _of_jobs(dice, jobs, until_s)
        steps += _of_many(dice, jobs, workers, queues, until_s, faults)
    if "control" in options.faults:
        steps += _of_queues(dice, queues, until_s)
    return steps


def _of_jobs(dice: Dice, jobs: list[dict[str, Any]], until_s: float) -> list[dict[str, Any]]:
    """Each at the very moment of its insert, soon after it, or long after it."""
    singles = [step for step in jobs if "insert" in step]
    steps: list[dict[str, Any]] = []
    for _ in range(len(singles) // JOBS_PER_ACT):
        step = dice.one("operator", singles)
        what = dice.one("operator", ["cancel", "cancel", "retry", "retry", "delete"])
        wait = dice.one("operator", [0.0, dice.long("soon", 0.1, 30), dice.long("late", 30, 600)])
        steps.append({"at": min(until_s, step["at"] + wait), what: step["insert"]["as"]})
    return steps


def _of_many(
    dice: Dice,
    jobs: list[dict[str, Any]],
    workers: list[str],
    queues: list[str],
    until_s: float,
    faults: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """At any moment; every other time as something befalls a node or the store, or soon after."""
    names = [step["insert"]["as"] for step in jobs if "insert" in step]
    steps: list[dict[str, Any]] = []
    for _ in range(len(names) // JOBS_PER_ORDER):
        what = dice.one("order", ["cancel", "cancel", "retry", "delete"])
        at = dice.whole("order at", 0, int(until_s * 10)) / 10
        if faults and dice.chance("order beside", 0.5):
            wait = dice.one("order beside", [0.0, dice.long("order beside", 0.1, 30)])
            at = dice.one("order beside", faults)["at"] + wait
        filters: dict[str, Any] = {}
        for name in dice.one("order by", ORDERED_BY):
            if name == "args":
                filters[name] = dice.one("order args", [{"n": 1}, {"n": 2}, {}])
            elif name == "attempt":
                filters[name] = [0, 1] if dice.chance("order attempt", 0.5) else 2
            else:
                known = {"jobs": names, "queue": queues, "worker": workers, "state": STATES}[name]
                filters[name] = _few(dice, f"order {name}", known, 12 if name == "jobs" else 3)
        steps.append({"at": min(until_s, at), what: filters})
    return steps


def _few(dice: Dice, label: str, among: Sequence[str], most: int) -> list[str]:
    """Up to so many of them, each once."""
    drawn = [dice.one(label, among) for _ in range(dice.whole(label, 1, most))]
    return list(dict.fromkeys(drawn))


def _of_queues(dice: Dice, queues: list[str], until_s: float) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    at = dice.long("control", 10, until_s)
    while at < until_s:
        end = min(until_s, at + dice.long("control", 1, LONG_AFTER_S))
        queue = dice.one("control", queues)
        kind = dice.one("control", ["pause", "scale", "pause_all", "scale and reset"])
        if kind == "pause":
            steps += [{"at": at, "pause": queue}, {"at": end, "resume": queue}]
        elif kind == "scale":
            concurrency = dice.whole("control", 1, 8)
            steps.append({"at": at, "scale": {"queue": queue, "concurrency": concurrency}})
        elif kind == "scale and reset":
            concurrency = dice.whole("control", 1, 8)
            steps.append({"at": at, "scale": {"queue": queue, "concurrency": concurrency}})
            steps.append({"at": end, "reset": queue})
        else:
            steps += [{"at": at, "pause_all": True}, {"at": end, "resume_all": True}]
        at = end + dice.long("control", 30, until_s)
    return steps
