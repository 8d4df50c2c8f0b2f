"""What the model keeps of one job, and when it takes two for duplicates of one another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

from pgjobs import Job, NewJob

FINAL = ("completed", "discarded", "cancelled")
UNFINISHED = ("available", "scheduled", "retryable", "executing", "suspended")
OURS = ("pgjobs_unique", "snoozed", "released")
"""Keys of ``meta`` that pgjobs keeps."""

Group = tuple[Any, ...]
"""What duplicates have in common."""


@dataclass
class Row:
    """One job as it ought to be."""

    id: int
    worker: str
    queue: str
    args: str
    meta: str
    tags: tuple[str, ...]
    state: str
    max_attempts: int
    priority: int
    inserted_at: datetime
    scheduled_at: datetime
    group: Group | None
    attempt: int = 0
    snoozed: int = 0
    attempted_at: datetime | None = None
    ended_at: datetime | None = None
    errors: list[tuple[int, str]] = field(default_factory=list)
    token: str = ""

    @property
    def place(self) -> tuple[int, datetime, int]:
        """Its place among those that may start."""
        return self.priority, self.scheduled_at, self.id

    def end(self, state: str, at: datetime) -> None:
        self.state, self.ended_at = state, at

    def differences(self, job: Job) -> list[str]:
        """Where the stored job is not as it ought to be."""
        stamps = {state: getattr(job, f"{state}_at") for state in FINAL}
        stamps_expected = {s: self.ended_at if s == self.state else None for s in FINAL}
        pairs = {
            name: (getattr(self, name), getattr(job, name))
            for name in (*_ALIKE, "snoozed", "attempted_at", "token")
        } | {
            "args": (self.args, text_of(job.args)),
            "meta": (self.meta, text_of(without_ours(job.meta))),
            "stamps": (stamps_expected, stamps),
            "attempts with an error": ([n for n, _ in self.errors], attempts_of(job)),
        }
        found = [
            f"{name} is {is_!r}, and should be {should!r}"
            for name, (should, is_) in pairs.items()
            if should != is_
        ]
        for (_, begins), error in zip(self.errors, job.errors, strict=False):
            if not error["error"].startswith(begins):
                found.append(f"an error is {error['error']!r}, and should begin with {begins!r}")
        return found


_ALIKE = (
    "id",
    "worker",
    "queue",
    "tags",
    "state",
    "attempt",
    "max_attempts",
    "priority",
    "inserted_at",
    "scheduled_at",
)


def text_of(value: object) -> str:
    """JSON as bytes would have it: equal for the same values in the same order."""
    return json.dumps(value, ensure_ascii=False)


def without_ours(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in meta.items() if name not in OURS}


def attempts_of(job: Job) -> list[int]:
    return [error["attempt"] for error in job.errors]


def group_of(asked: NewJob) -> Group | None:
    """What a new job has in common with its duplicates; None where it has none."""
    if asked.unique is None or asked.unique.how is None:
        return None
    how = asked.unique.how
    names = how.fields if isinstance(how.fields, tuple) else ("worker", "queue", "args")
    parts: dict[str, Any] = {"worker": asked.worker, "queue": asked.queue, "args": asked.args}
    if isinstance(how.keys, tuple):
        parts["args"] = [[key, *_at(asked.args, key)] for key in how.keys]
    return tuple((name, alike(parts[name])) for name in names)


def alike(value: Any) -> Any:
    """A value that equals that of another JSON value just where jsonb takes the two for equal."""
    if value is None or isinstance(value, bool | str):
        return type(value).__name__, value
    if isinstance(value, int | float):
        return "number", Fraction(str(value))
    if isinstance(value, Mapping):
        return "object", tuple((key, alike(value[key])) for key in sorted(value))
    return "array", tuple(alike(item) for item in value)


def _at(args: Mapping[str, Any], key: str) -> list[list[Any]]:
    """What stands under a key and, where it has dots, at the path that it spells: nothing or one value."""
    found: list[list[Any]] = [[args[key]] if key in args else []]
    if "." in key:
        at: Any = [args]
        for step in key.split("."):
            inside = at[0] if at else None
            at = [inside[step]] if isinstance(inside, Mapping) and step in inside else []
        found.append(at)
    return found
