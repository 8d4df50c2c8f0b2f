"""Draws what people do meanwhile: they cancel, retry and delete jobs, and pause and scale queues."""

from __future__ import annotations

from typing import Any

from pgjobs_testing.simulation.dice import Dice
from pgjobs_testing.simulation.verdict import Options

JOBS_PER_ACT = 12
LONG_AFTER_S = 120.0


def by_hand(
    dice: Dice, jobs: list[dict[str, Any]], queues: list[str], options: Options, until_s: float
) -> list[dict[str, Any]]:
    """Steps of an operator, up to ``until_s``, by which everything that was paused goes on."""
    steps: list[dict[str, Any]] = []
    if "operator" in options.faults:
        steps += _of_jobs(dice, jobs, until_s)
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
