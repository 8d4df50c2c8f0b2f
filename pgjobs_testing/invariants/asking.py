"""What must hold of whole effects of nodes and operators: polls tell the truth, orders are obeyed, nothing
that counts is refused."""

from __future__ import annotations

from pgjobs.effects import Poll, Transition
from pgjobs.rules.job import Job
from pgjobs_testing.invariants.passages import Passage
from pgjobs_testing.invariants.passing import LAWFUL
from pgjobs_testing.invariants.sight import Sight, few


def staged_when_due(sight: Sight, passage: Passage) -> None:
    """A job is staged when it is due and not before, those that have waited longest first (edges 3, 16; bugs
    8, 10, 97)."""
    before = passage.before
    if before is None or type(sight.effect) is not Poll:
        return
    if before.scheduled_at > passage.at:
        sight.alarm(
            "staged_when_due",
            f"job {passage.id} is staged {before.scheduled_at - passage.at} early",
            passage.id,
        )
    first = sight.ledger.due[0][1]
    if first != passage.id:
        sight.alarm(
            "staged_when_due", f"job {passage.id} is staged before job {first}", passage.id, first
        )


def poll_is_true(sight: Sight) -> None:
    """One poll tells all that a node must know: every due job staged, what is ready, what is due next, which
    claims are lost, and the controls (edges 9, 16; bug 100)."""
    effect, polled, ledger = sight.effect, sight.answer, sight.ledger
    due = ledger.due[0] if ledger.due else None
    if due is not None and due[0] <= effect.stage.at and len(polled.staged) < effect.limit:
        sight.alarm("poll_is_true", f"job {due[1]} is due, and not staged", due[1])
    if polled.next_due != (None if due is None else due[0]):
        sight.alarm("poll_is_true", f"{polled.next_due} is due next by a poll, and {due} in truth")
    ready = tuple([queue for queue in effect.queues if ledger.ready.get(queue)])
    if polled.ready != ready:
        sight.alarm("poll_is_true", f"a poll finds {polled.ready} ready, and {ready} are")
    if effect.held:
        lost = tuple([job_id for job_id, token in effect.held if not ledger.held(job_id, token)])
        if polled.lost != lost:
            sight.alarm("poll_is_true", f"a poll finds {polled.lost} lost, and {lost} are", *lost)
    if (polled.controls or ledger.controls) and dict(polled.controls) != ledger.controls:
        sight.alarm(
            "poll_is_true", f"a poll reads {polled.controls}, where {ledger.controls} is set"
        )


def not_refused(sight: Sight) -> None:
    """An outcome of the claim that the row has is taken (edge 8; bugs 56, 62, 65)."""
    effect, answer = sight.effect, sight.answer
    if len(answer) != len(effect.settlements):
        sight.alarm("not_refused", f"{len(effect.settlements)} outcomes have {len(answer)} answers")
    for settlement, counted in zip(effect.settlements, answer, strict=True):
        if not counted and sight.ledger.held(settlement.id, settlement.token):
            sight.alarm(
                "not_refused", f"the outcome of job {settlement.id} is refused", settlement.id
            )


def obeyed(sight: Sight) -> None:
    """An order by hand reaches every job that it means and may take, and no other (edges 9, 10; bug 61)."""
    effect, rows = sight.effect, sight.ledger.rows
    found = [job.id for job in sight.answer]
    meant: list[Job] = [row for row in rows.values() if effect.selection.matches(row)]
    if isinstance(effect, Transition):
        may = LAWFUL[str(effect.change.event)][0]
        meant = [row for row in meant if row.state in may]
    meant.sort(key=lambda row: (row.scheduled_at, row.id))
    expected = [row.id for row in meant[: effect.limit]]
    if found != expected:
        sight.alarm(
            "obeyed",
            f"jobs {few(found)} are changed, and {few(expected)} are meant",
            *found,
            *expected,
        )
