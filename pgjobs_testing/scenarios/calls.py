"""What the functions of a leader did, as a scenario has it: each call as a run of its script."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pgjobs.plugins import CronEntry, LeaderTasks
from pgjobs_testing.scenarios.moments import failure
from pgjobs_testing.trace import Moment

SCRIPTED = "scenario"
"""The module of functions that a file scripts, of which the keys of their entries tell."""
TOLD_TO_STOP = "CancelledError"
_OF_TASKS = "pgjobs.task."


def lines_of(plugin: LeaderTasks, moments: Iterable[Moment]) -> list[list[Any]]:
    """The entries of ``plugin`` as pairs of a file, with what each call did in ``moments``.

    A call that nothing tells the end of hangs, and so does one that ended when it was told to stop.
    """
    told, names, lines = list(moments), dict[str, int](), list[list[Any]]()
    for entry in plugin.entries:
        name = getattr(entry.what, "__qualname__", type(entry.what).__qualname__)[-90:]
        names[name] = names.get(name, 0) + 1
        own = name if names[name] == 1 else f"{name} {names[name]}"
        runs = _runs(entry, told)
        lines.append([str(entry.crontab), {"task": own, "runs": runs} if runs else own])
    return lines


def _runs(entry: CronEntry, moments: Iterable[Moment]) -> list[Any]:
    runs: list[dict[str, Any]] = []
    under_way: dict[str, tuple[dict[str, Any], datetime]] = {}
    stopping: set[str] = set()
    for moment in moments:
        node = moment.node
        if moment.event == "stopping":
            stopping.add(node)
        elif moment.event in ("crash", "restart"):
            under_way.pop(node, None)
            stopping.discard(node)
        elif moment.name.startswith(_OF_TASKS) and (error := _error(entry, moment)) is not None:
            if moment.event == "start":
                under_way[node] = {"hang": True}, moment.at
                runs.append(under_way[node][0])
            elif moment.event != "skip" and node in under_way:
                run, began = under_way.pop(node)
                if error.startswith(TOLD_TO_STOP):
                    continue
                run.clear()
                run["for"] = moment.at - began
                if error:
                    run["raise"] = failure(error)[1]
                if node in stopping:
                    run["ignores"] = True
    while len(runs) > 1 and runs[-1] == runs[-2]:
        runs.pop()
    return list(runs)


def _error(entry: CronEntry, moment: Moment) -> str | None:
    """What a call of this entry raised, empty where it did not; None where it is of another entry."""
    _, mine, rest = moment.detail.partition(f":{entry.key}")
    if not mine or (rest and not rest.startswith(": ")):
        return None
    return rest.removeprefix(": ") if moment.event == "exception" else ""
