"""Workers whose jobs say how they run: what a machine, or a test, drives an engine with that has none.

A job's args are a script: one word for each run, the last word for all that follow; ``takes`` seconds
pass before an async run ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pgjobs import Cancel, Discard, Job, Retry, Snooze, Worker

WORDS = ("ok", "raise", "snooze", "cancel", "discard", "retry")
"""How a run may end; ``snooze`` is for 20 seconds."""

SNOOZED_S = 20


def answer(job: Job) -> Any:
    """What the script says of this run."""
    script = job.args["script"]
    word = script[min(job.attempt + job.snoozed, len(script)) - 1]
    match word:
        case "raise":
            raise ValueError("the script says so")
        case "snooze":
            return Snooze(SNOOZED_S)
        case "cancel":
            return Cancel("unwanted")
        case "discard":
            return Discard(LookupError("nothing to do"))
        case "retry":
            raise Retry("again")
    return word


async def _sleep_and_answer(job: Job) -> Any:
    await asyncio.sleep(job.args.get("takes", 0))  # noqa: TID251 - virtual
    return answer(job)


scripted: Worker[..., Any] = Worker(answer, {"name": "pgjobs_testing.scripted"})
"""Runs in no time."""

scripted_async: Worker[..., Any] = Worker(
    _sleep_and_answer, {"name": "pgjobs_testing.scripted_async", "timeout": 10}
)
"""Takes as long as its args say, 10 s at most."""
