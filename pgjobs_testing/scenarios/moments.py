"""How single moments are told: the end of a run, an error, a fault, the options of a drain."""

from __future__ import annotations

import ast
from datetime import datetime, timedelta
from typing import Any

from pgjobs.engine.drain import DrainPlan
from pgjobs.rules.outcome import summary
from pgjobs.rules.schedule import LAST_INSTANT
from pgjobs_testing.nodes.traps import LATE
from pgjobs_testing.scenarios.times import span
from pgjobs_testing.scenarios.told import Ran, Step
from pgjobs_testing.scenarios.values import builtin_exception
from pgjobs_testing.scenarios.versions import restarted_with
from pgjobs_testing.trace import Moment

MOMENT = timedelta(milliseconds=1)
"""A run that ended longer than this before it was settled was settled late: the store was away."""

ON_A_NODE = {
    "crash": "crash",
    "restart": "restart",
    "stopping": "stop",
    "suspend": "suspend",
    "partition": "partition",
    "heal": "heal",
    "skew": "skew",
    "drift": "drift",
    "slow": "slow",
    "trap": "trap",
}
"""Steps of faults, by their names in a timeline."""


def end_of_run(run: Ran, moment: Moment) -> datetime:
    """When a run ended, which was settled later where the store could not be reached."""
    if moment.took_s is None:
        return moment.at
    ended = run.started + timedelta(seconds=moment.took_s)
    return ended if moment.at - ended > MOMENT else moment.at


def failure(error: str) -> tuple[str, str]:
    """How a scripted run fails with this error: as an exception that Python knows, or with a text."""
    line = first_line(error)
    name, _, message = line.partition(":")
    kind = builtin_exception(name)
    if kind is not None and issubclass(kind, Exception):
        made = kind(message.strip()) if message.strip() else kind()
        if summary(made) == line and "\\" not in line:
            return ("raise", line)
    return ("error", line)


def first_line(error: str) -> str:
    """What the story of a job tells of an error."""
    return error.split("\n", 1)[0]


def late_error(detail: str) -> str:
    """The error in the text of a late outcome, which is written as Python does."""
    _, _, rest = detail.partition(", ")
    try:
        return str(ast.literal_eval(rest)) if rest else ""
    except (SyntaxError, ValueError):
        return rest


def drain_options(plan: DrainPlan, now: datetime) -> dict[str, Any]:
    """A drain as a step has it."""
    made: dict[str, Any] = {}
    if plan.queue is not None:
        made["queue"] = plan.queue
    if plan.until >= LAST_INSTANT:
        made["with_scheduled"] = True
    elif plan.until > now:
        made["with_scheduled"] = plan.until - now
    if not plan.recursion:
        made["with_recursion"] = False
    return made


def fault_step(moment: Moment) -> Step | None:
    """The step that did this to a node; None where an earlier one has: a trap that sprang."""
    key, node, said = ON_A_NODE[moment.event], moment.node, moment.detail
    if key == "crash" and said:
        return None
    if key == "trap":
        return _trap_step(moment)
    value: Any = node
    if key == "stop":
        value = {"node": node, "grace": _span(said.removeprefix("grace "))}
    elif key == "suspend":
        value = {"node": node, "for": _span(said.removeprefix("for "))}
    elif key in ("skew", "slow"):
        value = {"node": node, "by": _span(said.removeprefix("by "))}
    elif key == "drift":
        value = {"node": node, "ppm": int(said.removesuffix(" ppm"))}
    elif key == "restart" and said:
        value = {"node": node, **restarted_with(said)}
    return Step(moment.at, key, value)


def delay_told(detail: str) -> timedelta:
    """By how much signals are late."""
    return _span(detail.removeprefix("notifications by "))


def _trap_step(moment: Moment) -> Step:
    what, *rest = moment.detail.split()
    if what == "crash":
        when, effect = rest
        return Step(moment.at, "crash", {"node": moment.node, when: effect})
    effect, how, *rest = rest
    fail: dict[str, Any] = {"node": moment.node, "effect": effect, "how": how}
    if rest[-1:] == ["times"]:
        fail["times"] = int(rest[-2])
    if how == LATE:
        fail["by"] = _span(rest[1])
    return Step(moment.at, "fail", fail)


def _span(text: str) -> timedelta:
    found = span(text.removeprefix("-"))
    assert found is not None, f"a timeline wrote {text!r} for a duration"
    return -found if text.startswith("-") else found
