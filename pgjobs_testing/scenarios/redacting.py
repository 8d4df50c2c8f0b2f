"""Rows without what they hold: equal values get equal placeholders, and keep their kind and shape.

Keys, queues, workers, tags and instants stay, since a scenario is of no use without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgjobs.rules.job import Job, revised
from pgjobs.rules.jsonb import normal_object
from pgjobs_testing.scenarios.recalling import ENGINES_OWN


def redacted(jobs: Sequence[Job]) -> list[Job]:
    """The same jobs with placeholders in args, in meta and in the messages of errors."""
    names = _Names()
    return [names.job(job) for job in jobs]


class _Names:
    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._numbers: dict[object, int] = {}

    def job(self, job: Job) -> Job:
        meta = {
            key: value if key in ENGINES_OWN else self._value(value)
            for key, value in job.meta.items()
        }
        return revised(
            job,
            {
                "args": normal_object(self._value(job.args), "args"),
                "meta": normal_object(meta, "meta"),
                "errors": tuple(self._error(entry) for entry in job.errors),
            },
        )

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int | float):
            return self._numbers.setdefault(value, len(self._numbers) + 1)
        if isinstance(value, Mapping):
            return {key: self._value(each) for key, each in value.items()}
        return [self._value(each) for each in value]

    def _text(self, value: str) -> str:
        return self._texts.setdefault(value, f"text {len(self._texts) + 1}") if value else ""

    def _error(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The kind of an exception stays, as it is the first thing to look for."""
        line = str(entry.get("error", "")).split("\n", 1)[0]
        kind, colon, message = line.partition(": ")
        known = colon and kind.isidentifier()
        said = f"{kind}: {self._text(message)}" if known else self._text(line)
        return {**entry, "error": said}
