"""Draws what a world is made of: its queues with their limits, its workers with their runs, its plugins."""

from __future__ import annotations

from typing import Any

from pgjobs_testing.simulation.dice import Dice
from pgjobs_testing.simulation.drawing.times import duration
from pgjobs_testing.simulation.verdict import Options

QUEUES, WORKERS = 4, 5
LEAF = "Leaf"
"""The worker whose jobs other jobs insert."""
STRANGER = "Stranger"
"""The worker that no node has."""
HOUR_S = 3_600.0
UNIQUE_STATES = (
    ["available", "scheduled", "executing", "retryable"],
    ["scheduled", "retryable", "available"],
    ["available", "scheduled", "executing", "retryable", "completed"],
    ["executing"],
)


REPLACED = (
    {"scheduled": ["args", "priority"], "available": True},
    {"available": ["max_attempts", "meta"], "executing": ["priority", "tags"]},
    {"retryable": True, "scheduled": True},
    {"completed": True, "available": ["scheduled_at"]},
    {"executing": ["args", "scheduled_at"], "completed": ["args", "scheduled_at", "max_attempts"]},
)
"""What is replaced of a duplicate, by its state: of one that waits, that executes, that is over."""
GROUPS = 0.05
"""The share of workers whose jobs are one group, which the first that ends takes with it."""
GROUP = {"period": "1s", "fields": ["worker"]}
LEFT_TO_SOME = 0.25
"""The share of queues that a part of the nodes may serve alone."""
FAILS_ON = 0.05
"""The share of workers that fail at each of twelve attempts, so that caps of backoffs are met."""


def queues(dice: Dice, nodes: list[str]) -> dict[str, Any]:
    """Queues by name: at least one without limits over all nodes, which each of them serves."""
    made: dict[str, Any] = {}
    for n in range(dice.whole("queues", 2, QUEUES)):
        label = f"queue {n}"
        queue: dict[str, Any] = {"concurrency": dice.whole(label, 1, 5)}
        if n and dice.chance(label, 0.4):
            period = duration(dice.long(label, 2, 60))
            queue["rate_limit"] = {"allowed": dice.whole(label, 2, 8), "period": period}
        if n and dice.chance(label, 0.4):
            queue["global_concurrency"] = dice.whole(label, 1, 4)
        if n and dice.chance(f"serves {label}", LEFT_TO_SOME):
            some = dice.some(f"serves {label}", nodes)
            if len(some) < len(nodes):
                queue["nodes"] = some
        made[f"q{n}"] = queue
    return made


def workers(dice: Dice, queues: list[str], options: Options) -> dict[str, Any]:
    """Workers by name, one a queue at least."""
    made: dict[str, Any] = {}
    for n in range(max(len(queues), dice.whole("workers", 3, WORKERS))):
        label = f"worker {n}"
        worker: dict[str, Any] = {
            "queue": queues[n % len(queues)],
            "max_attempts": dice.whole(label, 1, 5),
            "priority": dice.whole(label, 0, 3),
            "backoff": _backoff(dice, label),
        }
        runs, hangs = _runs(dice, label, options)
        worker["runs"] = runs
        if hangs or dice.chance(label, 0.3):
            worker["timeout"] = duration(dice.long(label, 2, 60))
        if dice.chance(label, 0.4):
            worker["unique"] = _unique(dice, label)
            if dice.chance(label, 0.4):
                worker["replace"] = dice.one(f"replace {label}", REPLACED)
        if dice.chance(f"group {label}", GROUPS):
            worker["unique"] = dict(GROUP)
            seconds = duration(dice.long(f"group {label}", 1, 30))
            worker["runs"] = [{"for": seconds, "error": "once"}, {"for": seconds, "cancel": "all"}]
        elif dice.chance(f"fails {label}", FAILS_ON):
            worker["max_attempts"] = 12
            worker["runs"] = [{"for": "1s", "error": "again and again"}]
        made[f"W{n}"] = worker
    if "poison" in options.faults:
        queue = dice.one("poison", queues)
        made[STRANGER] = {"queue": queue, "max_attempts": 2, "missing": True}
    made[LEAF] = {"queue": queues[0], "unique": {"period": "1m"}, "runs": [{"for": "1s"}]}
    return made


def plugins(dice: Dice, workers: list[str]) -> dict[str, Any]:
    """The duties of a leader: rescue always, since nodes may go; pruning and a crontab often."""
    interval = dice.long("stalled", 5, 30)
    stalled = {"interval": interval, "rescue_after": max(30.0, dice.long("stalled", 30, 90))}
    made: dict[str, Any] = {"stalled": {key: duration(value) for key, value in stalled.items()}}
    if dice.chance("pruner", 0.6):
        age = dice.one("pruner", [0.0, 5.0, 60.0, 600.0, 7 * 86_400.0])
        made["pruner"] = {
            "max_age": duration(age),
            "interval": duration(dice.long("pruner", 10, 120)),
            "limit": dice.one("pruner", [1, 7, 1_000]),
        }
    if dice.chance("cron", 0.5):
        lines = [
            [dice.one("cron", ["* * * * *", "*/5 * * * *", "0 * * * *", "*/7 0-3 * * *"]), worker]
            for worker in dice.some("cron", workers[:2])
        ]
        if dice.chance("reboot", 0.5):
            lines.append(["@reboot", dice.one("reboot", workers[:2])])
        made["cron"] = {"timezone": dice.one("cron", ZONES), "crontab": lines}
        if dice.chance("cron", 0.5):
            made["cron"]["catch_up"] = duration(dice.long("cron", 30, 900))
    if dice.chance("leader tasks", 0.4):
        often = ["* * * * *", "*/5 * * * *", "*/7 0-3 * * *"]
        calls = [
            [dice.one("leader tasks", often), _task(dice, n)]
            for n in range(dice.whole("leader tasks", 1, 2))
        ]
        made["leader_tasks"] = {"timezone": dice.one("leader tasks", ZONES), "crontab": calls}
    return made


def _task(dice: Dice, n: int) -> dict[str, Any]:
    """A function of a leader: most calls are short, some outlive the next tick or the lease."""
    label = f"task {n}"
    runs: list[dict[str, Any]] = []
    for _ in range(dice.whole(label, 1, 4)):
        run: dict[str, Any] = {"for": duration(dice.long(label, 0.1, 150))}
        kind = dice.one(label, ["ok", "ok", "raise", "ignores"])
        if kind == "raise":
            run["raise"] = "ValueError: odd"
        elif kind == "ignores":
            run["ignores"] = True
        runs.append(run)
    return {"task": f"T{n}", "runs": runs}


ZONES = ("Etc/UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")


def _backoff(dice: Dice, label: str) -> Any:
    kind = dice.one(label, ["guide", "constant", "linear", "exponential"])
    if kind == "guide":
        return kind
    made: dict[str, Any] = {kind: duration(dice.long(label, 1, 20))}
    made["max"] = duration(dice.long(f"cap {label}", 2, 60))
    if dice.chance(label, 0.5):
        made["jitter"] = 0.5
    return made


def _unique(dice: Dice, label: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if dice.chance(label, 0.7):
        made["period"] = duration(dice.long(label, 5, 1_800))
    if dice.chance(label, 0.5):
        made["states"] = dice.one(label, UNIQUE_STATES)
    kind = dice.whole(label, 0, 3)
    if kind == 1:
        made["keys"] = ["n"]
    elif kind == 2:
        made["fields"] = dice.one(label, [["args"], ["worker"], ["queue", "args"]])
    if dice.chance(label, 0.2):
        made["timestamp"] = "scheduled_at"
    return made


def _runs(dice: Dice, label: str, options: Options) -> tuple[list[Any], bool]:
    """What the runs of one worker do: a bad one is followed by a good one, now and then by none."""
    runs: list[Any] = []
    hangs = False
    for _ in range(dice.whole(label, 1, 3)):
        run: dict[str, Any] = {"for": duration(_length(dice, label))}
        kind = dice.one(label, BAD if "workers" in options.faults else MILD)
        if kind == "hang":
            hangs, run = True, {"hang": True}
        elif kind == "ignores":
            run = {"for": duration(dice.long(label, 20, 200)), "ignores": True}
        elif kind == "snooze":
            run["snooze"] = duration(dice.long(label, 1, 60))
        elif kind == "insert":
            run["insert"] = {"worker": LEAF, "args": {"n": dice.whole(label, 1, 3)}}
            if dice.chance(label, 0.5):
                run["insert"]["schedule_in"] = duration(dice.long(label, 1, 60))
        elif kind == "raise":
            run["raise"] = "ValueError: odd"
        elif kind == "asyncio":
            run["error"] = "no\u2028line é"
        elif kind != "ok":
            run[kind] = "as drawn"
        runs.append(run)
    last = dice.one(label, ["ok", "ok", "ok", "error", "discard"])
    if last == "ok":
        runs.append({"for": duration(_length(dice, label))})
    else:
        runs.append({"for": "1s", last: "at last"})
    return runs, hangs


MILD = ("ok", "ok", "ok", "error", "snooze", "insert", "discard", "cancel")
BAD = (*MILD, "raise", "hang", "ignores", "error", "asyncio")


def _length(dice: Dice, label: str) -> float:
    """Seconds: most runs are short, some take none, few are longer than a lease."""
    return 0.0 if dice.chance(label, 0.15) else dice.long(label, 0.1, 60)
