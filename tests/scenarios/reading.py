"""Short ways to read and play the texts of tests."""

from __future__ import annotations

import textwrap
from typing import Any

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.real import Imports
from pgjobs_testing.scenarios.replay import Replay, replay

JOB = "{at: 0s, insert: {as: x, worker: W}}"
"""A step, for scenarios whose steps do not matter."""


def mistakes(text: str, imports: Imports | None = None) -> list[str]:
    """What is wrong with ``text``: "line:column: message" for each mistake."""
    try:
        read_text(textwrap.dedent(text), "f", imports)
    except InvalidScenarioError as error:
        return [line.removeprefix("f:") for line in str(error).split("\n")]
    return []


def played(text: str, store: LocalStore | None = None, **options: Any) -> Replay:
    """A scenario's replay, in memory unless said otherwise."""
    scenario, source = read_text(textwrap.dedent(text), "f")
    return replay(scenario, source, MemoryStore() if store is None else store, **options)


def told(text: str, **options: Any) -> list[str]:
    """The failures of a scenario, as text."""
    scenario, source = read_text(textwrap.dedent(text), "f")
    result = replay(scenario, source, MemoryStore(), **options)
    return [failure.text(source) for failure in result.failures]
