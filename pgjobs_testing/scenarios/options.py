"""The options of an insert as a scenario writes them: those that are not the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgjobs.rules.job import NewJob
from pgjobs.rules.unique import DEFAULT_STATES, FIELDS, META_KEY, TIMESTAMPS, UniqueRule

WORKERS = ("queue", "max_attempts", "priority", "tags", "meta", "unique", "replace")
"""Options that a worker can have for all its jobs."""

_DEFAULTS: Mapping[str, Any] = {
    "queue": "default",
    "max_attempts": 20,
    "priority": 0,
    "tags": [],
    "meta": {},
    "unique": None,
    "replace": {},
}


def options_of(new: NewJob, *, split: bool = False) -> dict[str, Any]:
    """Everything that an insert says but its worker, in the order of the format.

    ``split``: jobs of its worker are told as jobs of several, which are to be duplicates all the same.
    """
    found: dict[str, Any] = {"args": new.args} if new.args else {}
    meta = {key: value for key, value in new.meta.items() if key != META_KEY}
    values = {
        "queue": new.queue,
        "max_attempts": new.max_attempts,
        "priority": new.priority,
        "tags": list(new.tags),
        "meta": meta,
        "unique": None if new.unique is None else _unique(new.unique, split=split),
        "replace": {str(state): list(fields) for state, fields in new.replace},
    }
    found |= {name: value for name, value in values.items() if value != _DEFAULTS[name]}
    if new.schedule_in is not None:
        found["schedule_in"] = new.schedule_in
    elif new.scheduled_at is not None:
        found["scheduled_at"] = new.scheduled_at
    return found


def options_beside(usual: NewJob, new: NewJob) -> dict[str, Any]:
    """What an insert of ``new`` says beside its worker, whose job of the same args is ``usual``.

    An option that the worker has and the job has not is said to be the default.
    """
    usually, given = options_of(usual), options_of(new)
    if "unique" not in given:
        usually.pop("replace", None)  # which comes with it
    differs = [name for name in {**usually, **given} if given.get(name) != usually.get(name)]
    args = {"args": new.args} if new.args else {}
    return args | {name: given.get(name, _DEFAULTS.get(name)) for name in differs}


def _unique(rule: UniqueRule, *, split: bool) -> dict[str, Any]:
    """A rule's options; what is left out has its default, as a worker is given none that differ."""
    how = rule.how
    found: dict[str, Any] = {"period": rule.period}
    given = how is not None and isinstance(how.fields, tuple)
    fields = list(how.fields if how is not None and given else FIELDS)
    if split and len(fields) > 1:
        fields = [name for name in fields if name != "worker"]
    if fields != list(FIELDS):
        found["fields"] = fields
    if how is not None and isinstance(how.keys, tuple):
        found["keys"] = list(how.keys)
    if rule.states != DEFAULT_STATES:
        found["states"] = [str(state) for state in rule.states]
    if rule.timestamp != TIMESTAMPS[0]:
        found["timestamp"] = rule.timestamp
    return found
