"""What every mapping of a scenario file is: a frozen model, strict about keys; how much files may hold."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from pgjobs_testing.scenarios.mistakes import did_you_mean

NODES, SOME, MANY = 100, 1_000, 10_000
"""At most so many nodes; queues, workers, entries of a crontab, expectations; steps, runs, jobs at once."""


class Part(BaseModel):
    """A mapping of the file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Those of ``names`` that the file gives, with their values."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


def short(value: Any, word: str, accepted: str) -> Any:
    """The mapping that a single word stands for."""
    if value == word:
        return {}
    if isinstance(value, dict | BaseModel):
        return value
    hint = did_you_mean(value, [word]) if isinstance(value, str) else ""
    raise PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": hint})
