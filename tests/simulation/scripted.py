"""Draws what a test may do to a world, whether it can be or not: what cannot is refused, and left out."""

from __future__ import annotations

from typing import Any

from pgjobs.rules.errors import StoreError
from pgjobs_testing import World
from pgjobs_testing.nodes.cluster import SimulationError
from pgjobs_testing.simulation.dice import Dice

WORKERS: dict[str, Any] = {
    "Quick": {"runs": [{"for": "3s"}], "backoff": {"constant": "5s"}},
    "Fails": {"max_attempts": 3, "queue": "other", "runs": [{"for": "1s", "error": "no"}, "ok"]},
    "Long": {"priority": 2, "queue": "few", "runs": [{"for": "45s"}]},
    "Once": {"unique": {"period": "20s"}, "runs": [{"for": "1s"}]},
    "Snoozes": {"runs": [{"snooze": "3s"}, "ok"]},
}
EFFECTS = ("claim", "settle", "poll", "beat", "lead", "rescue", "any")
OPTIONS: tuple[dict[str, Any], ...] = (
    *({}, {}, {"schedule_in": 1}, {"schedule_in": 3.5}, {"schedule_in": 10}),
    *({"priority": 0}, {"queue": "few"}, {"unique": None}, {"tags": ["a"]}),
)
QUEUES = ["few", "default"]
SPANS = (0.123456, 0.5, 1, 1, 2, 5, 5, 7.3, 10, 10, 30, 60)


def played(seed: int) -> tuple[str, str]:
    """A world in which ``seed`` decides what is done: its file, and its timeline."""
    dice = Dice(seed, "script: ")
    nodes, faults = dice.one("what", [2, 2, 3]), dice.one("what", ["none", "none", "all"])
    with World(seed, nodes, None, faults, workers=WORKERS, queues={"few": 1, "other": 2}) as world:
        for _ in range(dice.one("what", [8, 20, 40])):
            try:
                _do_something(world, dice, dice.one("what", "abc"[:nodes]))
            except (SimulationError, StoreError):
                continue
        if dice.chance("settled", 0.5):
            world.settle()
        return world.scenario(), world.timeline.text()


def _do_something(world: World, dice: Dice, node: str) -> None:
    kind = dice.one(
        "what", ["time"] * 6 + ["jobs"] * 8 + ["burst"] + ["process"] * 6 + ["line"] * 8
    )
    if kind == "time":
        world.advance(dice.one("what", SPANS))
    elif kind == "jobs":
        args = dice.one("what", [{}, {"n": 1}])
        world.insert(dice.one("what", [*WORKERS]), args, **dice.one("what", OPTIONS))
    elif kind == "burst":
        for n in range(dice.one("what", [3, 15])):
            world.insert(
                dice.one("what", ["Quick", "Long"]), {"n": n}, schedule_in=dice.one("what", [0, n])
            )
    elif kind == "process":
        dice.one(
            "what",
            [
                lambda: world.crash(node),
                lambda: world.crash(node, before=dice.one("what", EFFECTS)),
                lambda: world.crash(node, after=dice.one("what", EFFECTS)),
                lambda: world.restart(node),
                lambda: world.restart(
                    node, queues=dice.one("what", [None, None, None, QUEUES, []])
                ),
                lambda: world.stop(node, dice.one("what", [0, 1, 15])),
                lambda: world.pause(node, dice.one("what", [0.5, 2.5, 40])),
            ],
        )()
    else:
        dice.one(
            "what",
            [
                lambda: world.partition(node),
                lambda: world.heal(node),
                lambda: world.skew(node, dice.one("what", [0, 1, -1, 2.5])),
                lambda: world.slow(node, dice.one("what", [0, 0, 0.2, 5])),
                lambda: world.fail(
                    node, dice.one("what", EFFECTS), dice.one("what", ["before", "after", "late"])
                ),
                lambda: world.fail(node, dice.one("what", EFFECTS), "conflict", 2),
                lambda: world.drop_notifications(dice.one("what", [True, False])),
                lambda: world.double_notifications(dice.one("what", [True, False])),
                lambda: world.delay_notifications(dice.one("what", [0, 1, 3])),
                lambda: world.database(up=dice.one("what", [True, True, False])),
            ],
        )()
