"""Whether a worker can run twice: delivery is at least once, so a job may have run already.

A second run of the same job, as a rescue or a retry makes it, must leave what the first has left.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pgjobs.rules import outcome
from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.job import COLUMNS, Job, revised
from pgjobs.rules.lifecycle import Event
from pgjobs.worker import Worker
from pgjobs_testing.differing import ABSENT, Difference, differences

SHOWN = 10
"""Differences that a failure lists; of more it says how many."""
_COMPARED = tuple(name for name in COLUMNS if name != "id")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was there after a run: what ``observe`` returned, and the jobs in the store by id."""

    observed: Any
    jobs: dict[int, dict[str, Any]]


def check_observer(observe: object) -> None:
    """``ConfigurationError`` for an ``observe`` that cannot be called, before anything runs."""
    if observe is None:
        return
    try:
        if callable(observe):
            inspect.signature(observe).bind()
            return
    except ValueError:  # a builtin that tells no signature
        return
    except TypeError:
        pass
    raise ConfigurationError(
        f"observe takes a function without arguments, as in observe=lambda: list(ledger), not "
        f"{shown(observe)}"
    )


def check_first(worker: Worker[..., Any], job: Job, value: object) -> None:
    """``AssertionError`` where the first run asks to be retried: nothing was done that could be twice."""
    __tracebackhide__ = True
    if outcome.returned(value).event is Event.FAIL:
        raise AssertionError(
            f"worker {worker.name}: its first {_run(job)} failed, with {shown(value)}: only after one "
            "that succeeds can a second be judged"
        )


def seen(value: object, jobs: list[Job]) -> Seen:
    """What is there now, as a copy that later runs cannot change; ``value`` is what was observed."""
    rows = {job.id: {name: getattr(job, name) for name in _COMPARED} for job in jobs}
    remedy = "return plain values, as in observe=lambda: list(ledger)"
    if inspect.isawaitable(value) or inspect.isgenerator(value):
        if inspect.iscoroutine(value):
            value.close()
            remedy = "await assert_idempotent_async, or make it a plain function"
        raise ConfigurationError(f"observe returned {shown(value)}, not what is there: {remedy}")
    try:
        return Seen(copy.deepcopy(value), rows)
    except Exception as error:
        raise ConfigurationError(
            f"observe returned {shown(value)}, which cannot be copied to compare it later ({error}): "
            f"{remedy}"
        ) from error


def again(job: Job) -> Job:
    """The same job at its next attempt; after its last one, as ``retry_job`` lets it run once more."""
    changes = {"attempt": job.attempt + 1, "max_attempts": max(job.max_attempts, job.attempt + 1)}
    return revised(
        job, changes | {"args": copy.deepcopy(job.args), "meta": copy.deepcopy(job.meta)}
    )


def check_second(worker: Worker[..., Any], job: Job, value: object) -> None:
    """``AssertionError`` where the second run asks to be retried, though the first was well."""
    __tracebackhide__ = True
    if outcome.returned(value).event is Event.FAIL:
        raise AssertionError(
            f"{_head(worker, job)} failed, with {shown(value)}, where the first had succeeded"
        )


def raised_second(worker: Worker[..., Any], job: Job, error: Exception) -> AssertionError:
    """What is said where the second run raised, though the first was well."""
    return AssertionError(
        f"{_head(worker, job)} raised {type(error).__qualname__}: {error}\n"
        "  the first had succeeded: a job that has run already must be able to run again"
    )


def compare(worker: Worker[..., Any], job: Job, first: Seen, second: Seen) -> None:
    """``AssertionError`` where the second run changed anything, naming each place."""
    __tracebackhide__ = True
    found = list(differences(first.observed, second.observed, "observe()"))
    lines = [each.line("after the first run", "after the second") for each in found]
    lines += [_about_job(each) for each in _jobs(first, second)]
    if not lines:
        return
    more = len(lines) - SHOWN
    shown_lines = "".join(f"\n  {line}" for line in islice(lines, SHOWN))
    rest = f"\n  and {more} more" if more > 0 else ""
    raise AssertionError(
        f"{_head(worker, job)} changed what the first had left:{shown_lines}{rest}"
    )


def _jobs(first: Seen, second: Seen) -> list[Difference]:
    found: list[Difference] = []
    for job_id in sorted({*first.jobs, *second.jobs}):
        old, new = first.jobs.get(job_id, ABSENT), second.jobs.get(job_id, ABSENT)
        found += differences(old, new, f"job {job_id}")
    return found


def _about_job(each: Difference) -> str:
    if each.old is ABSENT and isinstance(each.new, dict) and "worker" in each.new:
        row = each.new
        return (
            f"{each.path} is new: {row['worker']} in queue {row['queue']}, args {shown(row['args'])}; "
            "give it unique=Unique(...), or insert it in the transaction that marks the work as done"
        )
    if each.new is ABSENT and isinstance(each.old, dict) and "worker" in each.old:
        return f"{each.path} is gone: {each.old['worker']}, args {shown(each.old['args'])}"
    return each.line("after the first run", "after the second")


def _head(worker: Worker[..., Any], job: Job) -> str:
    return f"worker {worker.name} is not idempotent: its second {_run(job)}"


def _run(job: Job) -> str:
    return f"run (job {job.id}, attempt {job.attempt}, args {shown(job.args)})"
