"""What the model expects of a worker's answer: which word it stands for, and how long a failure waits.

Written from the contract, without the engine's own rules, so that the two can disagree.
"""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

from pgjobs import Cancel, Discard, Job, Retry, Snooze, Worker
from pgjobs.rules.backoff import Backoff

GUIDE_S = (16, 31, 46, 61)
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
GUIDE_TAGS = ("ok", "error", "discard", "snooze", "cancel")


def meaning(value: Any, raised: bool) -> tuple[str, str]:
    """What an answer means, and what the text that is stored for it begins with."""
    if isinstance(value, Snooze):
        return "snooze", ""
    for kind, word in ((Retry, "fail"), (Discard, "discard"), (Cancel, "cancel")):
        if isinstance(value, kind):
            reason = value.reason
            return word, reason if isinstance(reason, str) else type(reason).__qualname__
    if raised:
        return "fail", type(value).__qualname__
    return ("fail", "InvalidResultError") if _is_a_mistake(value) else ("complete", "")


def _is_a_mistake(value: Any) -> bool:
    """Whether no worker can have meant to return this: see "Results" in the reference."""
    if isinstance(value, type):
        return issubclass(value, BaseException)
    guide = isinstance(value, tuple) and value[:1] and value[0] in GUIDE_TAGS
    unfinished = inspect.isgenerator(value) or inspect.isasyncgen(value)
    return bool(
        guide or unfinished or inspect.iscoroutine(value) or isinstance(value, BaseException)
    )


def after(now: datetime, seconds: float | timedelta) -> datetime:
    """``now`` and so long; the end of time where that is no instant."""
    try:
        span = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
        return now + max(timedelta(0), span)
    except OverflowError:
        return END_OF_TIME


def wait_s(worker: Worker[..., Any] | None, job: Job) -> float:
    """Seconds from the failure of ``job.attempt`` to the next attempt, without jitter."""
    if worker is None:
        return _guide_s(job.attempt)
    if worker.has_own_backoff or (worker.schedule is None):
        return worker.backoff_s(job, None)  # code of the project under test
    return scheduled_s(worker.schedule, job.attempt)


def scheduled_s(backoff: Backoff, attempt: int) -> float:
    """The delay of a schedule after failed attempt ``attempt``, as its documentation has it."""
    kinds = {
        "guide": lambda: _guide_s(attempt),
        "constant": lambda: backoff.first_s,
        "linear": lambda: backoff.first_s * attempt,
        "exponential": lambda: backoff.first_s * backoff.factor ** (attempt - 1),
    }
    try:
        return min(backoff.max_s, kinds[backoff.kind]())
    except OverflowError:
        return backoff.max_s


def _guide_s(attempt: int) -> float:
    return GUIDE_S[min(attempt, len(GUIDE_S)) - 1]
