"""What must hold of each row's way through an effect, whatever the effect: state, attempts, fence, answer.

The table of lawful ways is written down here once more, apart from the engine's own: a mistake in that one
must not excuse itself.
"""

from __future__ import annotations

from datetime import timedelta

from pgjobs.rules import backoff
from pgjobs.rules.backoff import Backoff
from pgjobs.rules.job import Job, JobState
from pgjobs_testing.invariants.ledger import columns, differing
from pgjobs_testing.invariants.passages import WAITING, Passage
from pgjobs_testing.invariants.sight import Sight, named

A, S, E, R, C, D, X, P = (
    JobState.AVAILABLE,
    JobState.SCHEDULED,
    JobState.EXECUTING,
    JobState.RETRYABLE,
    JobState.COMPLETED,
    JobState.DISCARDED,
    JobState.CANCELLED,
    JobState.SUSPENDED,
)

LAWFUL: dict[str, tuple[tuple[JobState, ...], tuple[JobState, ...], int]] = {
    "stage": ((S, R), (A,), 0),
    "claim": ((A,), (E,), 1),
    "complete": ((E,), (C,), 0),
    "fail": ((E,), (R, D), 0),
    "discard": ((E,), (D,), 0),
    "snooze": ((E,), (S,), -1),
    "release": ((E,), (A,), -1),
    "cancel": ((A, S, R, E, P), (X,), 0),
    "rescue": ((E,), (A, D), 0),
    "retry": ((S, R, C, D, X, P), (A,), 0),
    "prune": ((C, D, X), (), 0),
}
"""event: the states that it leaves, the states that it reaches, what it adds to the attempt."""

MICROSECOND = timedelta(microseconds=1)


def known(sight: Sight, passage: Passage) -> None:
    """Only what an insert stored, and nothing deleted, is ever seen again: an insert that was rolled back or
    failed before its commit never runs (bugs 1, 62)."""
    if passage.event == "insert":
        if passage.before is not None:
            sight.alarm(
                "known", f"an insert answers with id {passage.id} a second time", passage.id
            )
    elif passage.before is None:
        sight.alarm(
            "known", f"{passage.event} of job {passage.id}, which no insert stored", passage.id
        )


def lawful(sight: Sight, passage: Passage) -> None:
    """A job passes through the states as the contract's table has it, and no other way (bugs 11, 52, 109)."""
    law, before, after = LAWFUL.get(passage.event), passage.before, passage.after
    if law is None or before is None:
        return
    left, reached, _ = law
    if before.state not in left:
        sight.alarm("lawful", f"{passage.event} of {named(before)}", passage.id)
    if after is not None and after.state not in reached:
        sight.alarm("lawful", f"{passage.event} makes {named(before)} {after.state}", passage.id)


def counted(sight: Sight, passage: Passage) -> None:
    """``attempt`` never passes ``max_attempts``; a claim adds one, a snooze and a release take it back, and
    nothing else moves it; a snooze leaves ``max_attempts`` alone (contract 1; bugs 47, 50, 53)."""
    law, before, after = LAWFUL.get(passage.event), passage.before, passage.after
    if after is None:
        return
    if not 0 <= after.attempt <= after.max_attempts:
        sight.alarm("counted", f"{passage.event} leaves {named(after)}", passage.id)
    if law is None or before is None or passage.event == "retry":
        return
    if after.attempt != before.attempt + law[2] or after.max_attempts != before.max_attempts:
        sight.alarm(
            "counted", f"{passage.event} makes of {named(before)} {named(after)}", passage.id
        )


def can_run(sight: Sight, passage: Passage) -> None:
    """A job that waits has an attempt left: else it waits for ever, and nobody is told (bugs 50, 53)."""
    before, after = passage.before, passage.after
    if after is None or not stuck(after) or (before is not None and stuck(before)):
        return
    sight.alarm(
        "can_run", f"{passage.event} leaves {named(after)}, which can never start", passage.id
    )


def stuck(row: Job) -> bool:
    """Whether a row waits and can never start."""
    return row.attempt >= row.max_attempts and row.state in WAITING


def fenced(sight: Sight, passage: Passage) -> None:
    """An outcome counts for the claim that the row has: by id, state and token (edge 8; bugs 52, 53)."""
    settlement, before = passage.settlement, passage.before
    if settlement is None:
        return
    if before is None or before.state is not E or before.token != settlement.token:
        row = f"job {passage.id}" if before is None else named(before)
        sight.alarm("fenced", f"an outcome of an older claim counted for {row}", passage.id)


def at_its_last_attempt(sight: Sight, passage: Passage) -> None:
    """A failure, and a rescue, discards a job at its last attempt and no earlier (edges 2, 11; bug 53)."""
    before, after = passage.before, passage.after
    if passage.event not in ("fail", "rescue") or before is None or after is None:
        return
    if (after.state is D) != (before.attempt >= before.max_attempts):
        sight.alarm(
            "at_its_last_attempt",
            f"{passage.event} makes {named(before)} {after.state}",
            passage.id,
        )


def backed_off(sight: Sight, passage: Passage) -> None:
    """A failed job waits as its worker's backoff says, jitter included, and never less (edge 2; bugs 43, 44,
    46, 49). Of a backoff that is a function of the user's only the sign is known."""
    before, after = passage.before, passage.after
    if passage.event != "fail" or before is None or after is None or after.state is not R:
        return
    delay = after.scheduled_at - passage.at
    worker = sight.facts.registry.by_name.get(before.worker)
    schedule = backoff.DEFAULT if worker is None else worker.schedule
    if schedule is None:
        if delay < timedelta(0):
            sight.alarm("backed_off", f"{named(before)} waits {delay}", passage.id)
        return
    least = bounded(schedule, before.attempt, 0.0)
    most = bounded(schedule, before.attempt, schedule.jitter if sight.facts.jitter else 0.0)
    if not least - MICROSECOND <= delay <= most + MICROSECOND:
        sight.alarm(
            "backed_off", f"{named(before)} waits {delay}, not {least} to {most}", passage.id
        )


def bounded(schedule: Backoff, attempt: int, jitter: float) -> timedelta:
    """The delay after failed attempt ``attempt`` with so much jitter, by the contract's formulas."""
    try:
        base = {
            "guide": lambda: 16.0 + 15.0 * min(attempt - 1, 3),
            "constant": lambda: schedule.first_s,
            "linear": lambda: schedule.first_s * attempt,
            "exponential": lambda: schedule.first_s * schedule.factor ** (attempt - 1),
        }[schedule.kind]()
        return timedelta(seconds=min(schedule.max_s, base * (1.0 + jitter)))
    except OverflowError:
        return timedelta(seconds=min(schedule.max_s, timedelta.max.total_seconds() - 1))


def same_args(sight: Sight, passage: Passage) -> None:
    """Every attempt gets the args of the insert, byte for byte (contract 1; bug 107)."""
    ledger, told = sight.ledger, passage.told
    if passage.event in ("insert", "replace") and passage.after is not None:
        ledger.texts[passage.id] = repr(passage.after.args)
    elif passage.event == "claim" and told is not None and passage.before is not None:
        asked, got = ledger.texts.get(passage.id), repr(told.args)
        if asked is not None and asked != got:
            sight.alarm(
                "same_args", f"job {passage.id} was given {asked}, and runs with {got}", passage.id
            )


def as_told(sight: Sight, passage: Passage) -> None:
    """The row that an effect answers with is the row as the effect leaves it, column by column."""
    told, after = passage.told, passage.after
    if told is None:
        return
    if after is None:
        after = passage.before
    if after is not None and columns(told) != columns(after):
        sight.alarm(
            "as_told", f"{passage.event}: job {passage.id} {differing(after, told)}", passage.id
        )
