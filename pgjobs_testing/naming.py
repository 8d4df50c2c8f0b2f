"""Decides by which word a trace names what happened, and refuses a word that names nothing.

A moment of a job's end is named by the state that the job came to, any other by the last word of its
telemetry event; what no telemetry tells has a word of ``BEFALLS``.
"""

from __future__ import annotations

from pgjobs.rules.errors import ConfigurationError, reject_unknown
from pgjobs.rules.job import Job, JobState
from pgjobs.telemetry import EVENTS

NAMED_BY_STATE = ("pgjobs.job.stop", "pgjobs.job.exception")

BEFALLS = (
    *("crash", "restart", "stopping", "suspend", "resume", "partition", "heal"),
    *("skew", "drift", "slow", "trap", "commits"),
    *("drop", "deliver", "delay", "double", "single", "down", "up"),
    *("missing", "rollback"),
)
"""What is done to nodes from outside, and to what they share, and what callers do besides."""

WORDS = tuple(
    dict.fromkeys(
        (
            *(each.rpartition(".")[2] for each in EVENTS if each not in NAMED_BY_STATE),
            *map(str, JobState),
            *BEFALLS,
        )
    )
)


def word(event: str, job: Job | None) -> str:
    """The word for an event, after which ``job`` is as it is given."""
    if job is not None and event in NAMED_BY_STATE:
        return str(job.state)
    return event.rpartition(".")[2]


def in_full(given: object) -> str | None:
    """The telemetry event that alone is meant: ``start`` is that of a job; None for another word."""
    if given == "start":
        return "pgjobs.job.start"
    named = f"pgjobs.{given}"
    return named if named in EVENTS else None


def check_word(given: object) -> None:
    """``ConfigurationError`` for what names nothing that can happen."""
    if in_full(given):
        return
    if isinstance(given, str) and given in EVENTS:
        last = given.rpartition(".")[2]
        states = "the state that the job came to, such as 'completed'"
        of_jobs = given.startswith("pgjobs.job.")
        said = states if given in NAMED_BY_STATE else repr(last if of_jobs else given[7:])
        raise ConfigurationError(f"a trace has other words than {given!r}: expected {said}")
    reject_unknown((given,), WORDS, "event of a trace")  # type: ignore[arg-type]  # it names what is no text
