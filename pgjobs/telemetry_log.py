"""How a telemetry event reads in the log: its level, its one line, and its fields as JSON values.

Every record carries the fields in ``record.pgjobs``, so that a formatter can write them as JSON:

| field | of | value |
|---|---|---|
| ``event`` | every event | its name |
| ``node`` | a node's events | its name |
| ``id worker queue attempt max_attempts state`` | a job's events, as far as they are known | |
| ``duration queue_time`` | starts and ends of runs | seconds |
| ``error`` | ends, ``pgjobs.store.error`` | its first line |
| ``stacktrace`` | ``pgjobs.job.exception`` | the whole of it |
| ``queues`` ``concurrency`` ``effect`` | a node's, a queue's, a store's events | |
| ``plugin`` ``count`` ``task`` | the events of recurring duties | |

Fields that an event does not have are absent. Texts come from rows and from workers: in the line
they are cut to one line of printable characters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pgjobs.rules.errors import ConfigurationError, nearest
from pgjobs.rules.job import Job, JobState

LINE_LIMIT = 500
"""Characters of an error that a line shows."""

_OF_THE_JOB = ("id", "worker", "queue", "attempt", "max_attempts", "state")
_GIVEN = (
    "id",
    "worker",
    "queue",
    "attempt",
    "state",
    "node",
    "concurrency",
    "effect",
    "plugin",
    "task",
)
_TROUBLE = (
    "pgjobs.job.late",
    "pgjobs.job.rescue",
    "pgjobs.plugin.error",
    "pgjobs.task.exception",
    "pgjobs.task.skip",
    "pgjobs.store.error",
)
_DONE = {
    "insert": "inserted",
    "conflict": "found in the place of a duplicate",
    "replace": "replaced in the place of a duplicate",
    "stage": "due",
    "start": "started",
    "late": "ended after its claim was lost",
    "release": "given back",
    "rescue": "rescued from a node that is gone",
    "cancel": "cancelled by hand",
    "retry": "retried by hand",
    "delete": "deleted by hand",
}
_DONE_TO_QUEUES = {"pause": "paused", "resume": "resumed", "reset": "reset", "scale": "scaled"}


def writing_to(
    logger: logging.Logger, level: int, least: int = logging.NOTSET
) -> Callable[[str, Mapping[str, float], Mapping[str, Any]], None]:
    """A telemetry handler that writes each event as one record of ``logger``.

    Records below ``least`` are left out: with WARNING only failures are told, whichever event tells them.
    """

    def write(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        at = level_of(event, metadata, level)
        if at >= least and logger.isEnabledFor(at):
            fields = fields_of(event, measurements, metadata)
            logger.log(at, "%s", line_of(fields), extra={"pgjobs": fields})

    return write


def level_of(event: str, metadata: Mapping[str, Any], level: int) -> int:
    """WARNING at least for failures and trouble, ERROR at least for a job that was discarded."""
    if event.startswith("pgjobs.job.") and metadata.get("state") is JobState.DISCARDED:
        return max(level, logging.ERROR)
    if event == "pgjobs.job.exception" or event in _TROUBLE:
        return max(level, logging.WARNING)
    return level


def fields_of(
    event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """What is known of an event, as JSON values."""
    fields: dict[str, Any] = {"event": event}
    job = metadata.get("job")
    if isinstance(job, Job):
        fields |= {name: getattr(job, name) for name in _OF_THE_JOB}
    fields |= {name: metadata[name] for name in _GIVEN if metadata.get(name) is not None}
    if "state" in fields:
        fields["state"] = str(fields["state"])
    if "queues" in metadata:
        fields["queues"] = list(metadata["queues"])
    fields |= measurements
    if metadata.get("error") is not None:
        fields["error"] = first_line(metadata["error"])
    if metadata.get("stacktrace"):
        fields["stacktrace"] = metadata["stacktrace"]
    return fields


def line_of(fields: Mapping[str, Any]) -> str:
    """An event in words."""
    kind, _, what = fields["event"].removeprefix("pgjobs.").partition(".")
    if kind == "job":
        return _of_job(what, fields)
    if kind == "queue" and what in _DONE_TO_QUEUES:
        to = f" to {fields.get('concurrency')}" if what == "scale" else ""
        return f"queue {printable(fields['queue'])} {_DONE_TO_QUEUES[what]}{to} by hand"
    if kind == "node" and "queues" in fields:
        served = printable(", ".join(fields["queues"]))
        done = "started" if what == "start" else "stopped"
        return f"node {printable(fields['node'])} {done}, queues: {served}"
    if kind in _OF_DUTIES and "node" in fields:
        said = _OF_DUTIES[kind](what, fields)
        return f"{said}: {fields['error']}" if fields.get("error") else said
    if fields["event"] == "pgjobs.store.error":
        return (
            f"the store failed at {fields.get('effect')}, to be tried again: {fields.get('error')}"
        )
    rest = [f"{name} {printable(str(value))}" for name, value in fields.items() if name != "event"]
    return f"{fields['event']} ({', '.join(rest)})" if rest else str(fields["event"])


def first_line(error: object) -> str:
    """The first line of an error's text, cut to ``LINE_LIMIT`` characters."""
    try:
        text = str(error) or type(error).__name__
    except Exception:  # a foreign __str__, and a handler that raises is detached
        text = type(error).__name__
    line = printable((text.splitlines() or [""])[0])
    return line if len(line) <= LINE_LIMIT else f"{line[: LINE_LIMIT - 3]}..."


def printable(text: str) -> str:
    """The text with every control character, line break and lone surrogate escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def checked_level(level: object) -> int:
    """A level of ``logging``, given as a number or by name."""
    names = logging.getLevelNamesMapping()
    if isinstance(level, str):
        if level.upper() not in names:
            raise ConfigurationError(f"unknown level {level!r}{nearest(level.upper(), names)}")
        return names[level.upper()]
    if isinstance(level, bool) or not isinstance(level, int):
        raise ConfigurationError(f'level takes a number or a name such as "INFO", not {level!r}')
    return level


def _of_leader(what: str, fields: Mapping[str, Any]) -> str:
    return f"node {printable(fields['node'])} leads{'' if what == 'elected' else ' no more'}"


def _of_plugin(what: str, fields: Mapping[str, Any]) -> str:
    if what == "prune":
        return f"{fields.get('count')} finished job(s) pruned by {printable(fields['node'])}"
    return f"the plugin {printable(str(fields.get('plugin')))} failed"


def _of_task(what: str, fields: Mapping[str, Any]) -> str:
    done = {"start": "started", "stop": "ended", "exception": "failed", "skip": "skipped"}
    took = f" in {fields['duration']:.3f} s" if "duration" in fields else ""
    return f"the leader's task {printable(str(fields.get('task')))} {done.get(what, what)}{took}"


_OF_DUTIES: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
    "leader": _of_leader,
    "plugin": _of_plugin,
    "task": _of_task,
}


def _of_job(what: str, fields: Mapping[str, Any]) -> str:
    name = f"job {fields.get('id')}"
    if "worker" in fields:
        name += f" {printable(fields['worker'])}"
    known = [f"queue {printable(fields['queue'])}"] if "queue" in fields else []
    if "duration" in fields or what == "start":
        known.append(f"attempt {fields.get('attempt')} of {fields.get('max_attempts')}")
    done = _DONE.get(what) or _ended(what, fields)
    taking = "after" if what == "release" else "in"
    times = [f"{taking} {fields['duration']:.3f} s"] if "duration" in fields else []
    if what == "start" and "queue_time" in fields:
        times = [f"{fields['queue_time']:.3f} s after it was due"]
    about = [f"({', '.join(known)})"] if known else []
    said = " ".join([name, *about, done, *times])
    error = f": {fields['error']}" if fields.get("error") else ""
    return said + error


def _ended(what: str, fields: Mapping[str, Any]) -> str:
    state = fields.get("state")
    if what == "exception":
        return f"failed, now {state}," if state else "failed"
    if what != "stop":
        return what
    return "snoozed" if state == JobState.SCHEDULED else str(state)
