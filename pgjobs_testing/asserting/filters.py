"""The filters of assertions, for editors and type checkers, which see a wrong name before it is run."""

from __future__ import annotations

from typing import Any, TypedDict


class RunFilters(TypedDict, total=False):
    """What can be asked of a run; for the editor and the type checker, which see a wrong name first."""

    worker: Any
    queue: Any
    args: Any
    meta: Any
    tags: Any
    priority: Any
    state: Any
    max_attempts: Any
    attempt: Any
    id: Any
    error: Any


class JobFilters(TypedDict, total=False):
    """What can be asked of a job."""

    worker: Any
    queue: Any
    args: Any
    meta: Any
    tags: Any
    priority: Any
    state: Any
    max_attempts: Any
    attempt: Any
    id: Any
    scheduled_at: Any
    scheduled_in: Any
