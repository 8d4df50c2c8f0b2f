"""Draws a world from a seed: its nodes, queues, workers and plugins, what is inserted, what befalls it.

All that is drawn is data of the scenario format: what a seed did can be written to a file, and a file that
was made smaller is played just like a seed. Streams of chance are labelled, so that a world without its
faults is the same world.

The first part of the time is for inserts, a longer one for faults, and the rest is calm: by its end every job
has come to rest, or waits rightly.
"""

from __future__ import annotations

from typing import Any

from pgjobs_testing.simulation.dice import Dice
from pgjobs_testing.simulation.drawing.faults import Episodes, dead_for_good
from pgjobs_testing.simulation.drawing.jobs import inserts
from pgjobs_testing.simulation.drawing.people import by_hand
from pgjobs_testing.simulation.drawing.setting import GROUP, plugins, queues, workers
from pgjobs_testing.simulation.drawing.times import duration
from pgjobs_testing.simulation.given import name_of
from pgjobs_testing.simulation.verdict import Options

INSERTING, FAULTY = 0.55, 0.7
"""The shares of the time in which jobs are inserted, and in which faults begin and end."""


def drawn(seed: int, options: Options) -> dict[str, Any]:
    """The scenario of ``seed``: equal for equal seeds and options, on every Python."""
    dice = Dice(seed)
    span_s = options.hours * 3_600
    names = [name_of(n) for n in range(options.nodes)]
    nodes = dice.shuffled("order", names)
    served = queues(dice, names)
    staff = workers(dice, list(served), options)
    duties = plugins(dice, list(staff))
    groups = any(worker.get("unique") == GROUP for worker in staff.values())
    serving = {name: queue.get("nodes", nodes) for name, queue in served.items()}
    episodes = Episodes(
        dice, nodes, list(duties), span_s * FAULTY, options.faults, groups=groups, queues=serving
    )
    jobs = inserts(dice, staff, list(served), options, span_s * INSERTING)
    people = by_hand(
        dice, jobs, list(staff), list(served), options, span_s * FAULTY, episodes.steps
    )
    steps = [*jobs, *people, *episodes.steps]
    steps += dead_for_good(dice, nodes, options, span_s * FAULTY)
    return {
        "name": f"seed {seed}",
        "seed": seed,
        "jitter": dice.chance("jitter", 0.5),
        "nodes": nodes,
        "queues": served,
        "plugins": duties,
        "workers": staff,
        "steps": _in_order(steps, episodes.outages),
        "until": duration(span_s),
        "invariants": True,
    }


def _in_order(
    steps: list[dict[str, Any]], outages: list[tuple[float, float]]
) -> list[dict[str, Any]]:
    """The steps by their instants; a client waits for a database that is away."""

    away = [(round(begin * 10), round(end * 10)) for begin, end in outages]

    def shifted(step: dict[str, Any]) -> int:
        at: int = round(step["at"] * 10)
        if step.keys() & _OF_CLIENTS:
            for begin, end in away:
                if begin <= at < end:
                    at = end
        return at

    placed = [(shifted(step), n, step) for n, step in enumerate(steps)]
    placed.sort(key=lambda each: (each[0], "database" not in each[2], each[1]))
    return [{**step, "at": duration(at / 10)} for at, _, step in placed]


_OF_CLIENTS = frozenset(
    {
        *("insert", "insert_all", "cancel", "retry", "delete"),
        *("pause", "resume", "scale", "reset", "pause_all", "resume_all"),
    }
)
