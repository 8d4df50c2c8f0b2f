"""Where a property holds: in memory, and on a real server. Examples of one test share its store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ON_BOTH_STORES = pytest.mark.parametrize(
    "mode", ["manual", pytest.param("postgres", marks=pytest.mark.postgres)]
)


def examples(count: int) -> Callable[[Any], Any]:
    """So many examples, each of which may take its time."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
