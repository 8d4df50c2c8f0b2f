"""How a right history is made wrong, in each way that the checker names: one deed at a time.

Each function takes a history and says what it becomes, or None where it has nothing to do that to.
``SETTING`` gives each something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pgjobs_testing.simulation.histories.lives import FINAL, Life, lives
from pgjobs_testing.simulation.histories.model import (
    Answer,
    Ended,
    Entry,
    Execution,
    History,
    Insert,
    Row,
    Told,
)

Deed = Callable[[History], History | None]

SETTING = [
    ("insert_plain", 0),  # job 1 runs, fails and runs again
    ("claim", 1),
    ("finish", 1),
    ("stage", 0),
    ("claim", 1),
    ("finish", 0),
    ("retry", 0),  # completed, and brought back
    ("claim", 1),
    ("rescue", 1),
    ("straggle", 0),
    ("delete", 0),
    ("insert_unknown", 0),  # jobs 2 and 3
    ("insert_plain", 0),  # job 4 stays
    ("cancel", 3),
    ("insert_unique", 0),  # job 5, and a call that meets it
    ("insert_unique", 0),
    ("insert_unique", 0),
    ("cancel", 4),
    ("insert_unique", 0),  # job 6 takes its place, and is met
    ("insert_unique", 0),
    ("insert_plain", 0),  # job 7 is given back
    ("claim", 1),
    ("release", 0),
    *[
        step
        for _ in range(6)
        for step in (("insert_limited", 0), ("claim_limited", 9), ("finish", 0))
    ],
]


def _without(things: tuple[Any, ...], gone: Any) -> tuple[Any, ...]:
    return tuple(each for each in things if each is not gone)


def _with(things: tuple[Any, ...], old: Any, new: Any) -> tuple[Any, ...]:
    return tuple(new if each is old else each for each in things)


def _answered(history: History, *, conflict: bool) -> Iterator[tuple[Insert, int, Answer]]:
    for insert in history.inserts:
        if insert.call.ended is Ended.OK:
            for place, answer in enumerate(insert.answers):
                if answer.conflict is conflict:
                    yield insert, place, answer


def _never_was(history: History, job: int) -> History:
    journal = tuple(each for each in history.journal if each.job != job)
    rows = {each: row for each, row in history.rows.items() if each != job}
    return replace(history, journal=journal, rows=rows)


def _lives(history: History) -> list[Life]:
    return [*lives(history.journal).values()]


def a_stored_job_vanishes(history: History) -> History | None:
    for _, _, answer in _answered(history, conflict=False):
        if answer.job in history.rows:
            rows = {job: row for job, row in history.rows.items() if job != answer.job}
            return replace(history, rows=rows)
    return None


def an_answered_insert_was_rolled_back(history: History) -> History | None:
    for _, _, answer in _answered(history, conflict=False):
        return _never_was(history, answer.job)
    return None


def a_job_is_deleted_by_nobody(history: History) -> History | None:
    for life in _lives(history):
        if life.entries[-1].after is None:
            orders = tuple(each for each in history.orders if each.job != life.job)
            return replace(history, orders=orders)
    return None


def a_failed_insert_is_there(history: History) -> History | None:
    for insert, _, _ in _answered(history, conflict=False):
        call = replace(insert.call, ended=Ended.FAILED)
        return replace(history, inserts=_with(history.inserts, insert, replace(insert, call=call)))
    return None


def a_job_comes_from_nowhere(history: History) -> History | None:
    for insert, _, _ in _answered(history, conflict=False):
        return replace(history, inserts=_without(history.inserts, insert))
    return None


def a_deleted_job_is_there(history: History) -> History | None:
    for life in _lives(history):
        if life.entries[-1].after is None:
            rows = {**history.rows, life.job: Row(life.birth.key, "available", 0)}
            return replace(history, rows=rows)
    return None


def a_job_is_stored_twice(history: History) -> History | None:
    for life in _lives(history):
        if life.job in history.rows:
            twin = replace(life.birth, job=9_999, n=history.journal[-1].n + 1)
            rows = {**history.rows, 9_999: Row(twin.key, str(twin.after), twin.attempt)}
            return replace(history, journal=(*history.journal, twin), rows=rows)
    return None


def half_of_a_call_is_stored(history: History) -> History | None:
    for insert in history.inserts:
        if insert.call.ended is Ended.UNKNOWN and all(new.rule is None for new in insert.new):
            jobs = [each.job for each in history.journal if each.key == insert.new[0].key]
            if jobs and len(insert.new) > 1:
                return _never_was(history, jobs[0])
    return None


def one_call_is_stored_in_two_transactions(history: History) -> History | None:
    for insert in history.inserts:
        born = [
            each
            for new in insert.new
            for each in history.journal
            if each.key == new.key and each.before is None
        ]
        if len(born) > 1:
            other = replace(born[0], transaction=born[0].transaction + 1_000)
            return replace(history, journal=_with(history.journal, born[0], other))
    return None


def an_answered_delete_did_nothing(history: History) -> History | None:
    for life in _lives(history):
        *_, last, gone = (None, *life.entries)
        if gone is not None and gone.after is None and last is not None:
            answered = any(
                (each.what, each.job, each.call.ended) == ("delete", life.job, Ended.OK)
                for each in history.orders
            )
            if answered:
                rows = {**history.rows, life.job: Row(last.key, str(last.after), last.attempt)}
                return replace(history, journal=_without(history.journal, gone), rows=rows)
    return None


def a_finished_job_comes_back_by_itself(history: History) -> History | None:
    for life in _lives(history):
        if any(each.before in FINAL and each.after == "available" for each in life.entries):
            orders = tuple(
                each for each in history.orders if (each.what, each.job) != ("retry", life.job)
            )
            return replace(history, orders=orders)
    return None


def a_state_is_passed_over(history: History) -> History | None:
    for life in _lives(history):
        for entry in life.entries[1:-1]:
            if entry.after == "executing":
                return replace(history, journal=_without(history.journal, entry))
    return None


def a_job_changes_for_nobody(history: History) -> History | None:
    for life in _lives(history):
        last = life.entries[-1]
        if last.after is not None:
            change = replace(last, n=history.journal[-1].n + 1, before=last.after)
            if all(
                each.call.ended is Ended.OK for each in history.inserts if _may_meet(each, life)
            ):
                return replace(history, journal=(*history.journal, change))
    return None


def _may_meet(insert: Insert, life: Life) -> bool:
    return any(new.group == life.birth.group for new in insert.new)


def an_attempt_is_counted_twice(history: History) -> History | None:
    for entry in history.journal:
        if entry.after == "executing":
            more = replace(entry, attempt=entry.attempt + 1)
            return replace(history, journal=_with(history.journal, entry, more))
    return None


def two_claims_share_a_token(history: History) -> History | None:
    for life in _lives(history):
        tokens = [*dict.fromkeys(claim.token for claim in life.claims())]
        if len(tokens) > 1:
            journal = tuple(
                replace(each, token=tokens[0]) if each.token == tokens[1] else each
                for each in history.journal
            )
            return replace(history, journal=journal)
    return None


def a_job_runs_unclaimed(history: History) -> History | None:
    for run in history.executions:
        other = replace(run, token="another")
        return replace(history, executions=(*history.executions, other))
    return None


def a_job_runs_as_another_attempt(history: History) -> History | None:
    for run in history.executions:
        other = replace(run, attempt=run.attempt + 1)
        return replace(history, executions=_with(history.executions, run, other))
    return None


def a_claim_is_run_twice(history: History) -> History | None:
    for run in history.executions:
        if run.ended is not None:
            again = replace(run, process="another", began=run.ended + 1, ended=run.ended + 2)
            return replace(history, executions=(*history.executions, again))
    return None


def an_outcome_counts_after_a_rescue(history: History) -> History | None:
    for life in _lives(history):
        for claim in life.claims():
            if claim.rescued:
                told = Told("p", "settled", life.job, claim.token, "completed", 1e6)
                return replace(history, told=(*history.told, told))
    return None


def an_outcome_counts_twice(history: History) -> History | None:
    for told in history.told:
        if told.what == "settled":
            return replace(history, told=(*history.told, told))
    return None


def what_was_rescued_is_given_back(history: History) -> History | None:
    for life in _lives(history):
        for claim in life.claims():
            if claim.rescued:
                told = Told("p", "released", life.job, claim.token, "available", 1e6)
                return replace(history, told=(*history.told, told))
    return None


def a_job_is_given_back_twice(history: History) -> History | None:
    for told in history.told:
        if told.what == "released":
            return replace(history, told=(*history.told, told))
    return None


def a_job_is_completed_by_no_run(history: History) -> History | None:
    found = _completed(history)
    if found is None:
        return None
    return replace(history, executions=_without(history.executions, found))


def a_job_is_completed_by_a_run_without_end(history: History) -> History | None:
    found = _completed(history)
    if found is None:
        return None
    executions = _with(history.executions, found, replace(found, ended=None))
    return replace(history, executions=executions)


def _completed(history: History) -> Execution | None:
    for life in _lives(history):
        for claim in life.claims():
            if claim.end is not None and claim.end.after == "completed":
                return next(each for each in history.executions if each.token == claim.token)
    return None


def a_job_runs_beside_itself(history: History) -> History | None:
    for life in _lives(history):
        runs = {run.token: run for run in history.executions if run.job == life.job}
        claims = [claim for claim in life.claims() if claim.token in runs]
        for one, other in pairwise(claims):
            first, second = runs[one.token], runs[other.token]
            if one.settled and first.ended is not None:
                early = replace(second, began=(first.began + first.ended) / 2)
                executions = _with(history.executions, second, early)
                return replace(history, executions=executions)
    return None


def a_job_runs_before_it_is_asked_for(history: History) -> History | None:
    for insert, _, answer in _answered(history, conflict=False):
        runs = [run for run in history.executions if run.job == answer.job]
        if runs:
            began = min(run.began for run in runs)
            call = replace(insert.call, invoked=began + 1, returned=began + 99)
            other = replace(insert, call=call)
            return replace(history, inserts=_with(history.inserts, insert, other))
    return None


def a_job_is_given_back_before_it_is_asked_for(history: History) -> History | None:
    for told in history.told:
        if told.what == "released":
            return replace(history, told=_with(history.told, told, replace(told, at=-1.0)))
    return None


def a_duplicate_is_stored(history: History) -> History | None:
    found = _met_for_ever(history)
    if found is None:
        return None
    insert, place, answer = found
    new = insert.new[place]
    job = 9_999
    birth = next(each for each in history.journal if each.job == answer.job)
    entry = replace(birth, n=history.journal[-1].n + 1, job=job, key=new.key)
    answers = list(insert.answers)
    answers[place] = Answer(job)
    return replace(
        history,
        inserts=_with(history.inserts, insert, replace(insert, answers=tuple(answers))),
        journal=(*history.journal, entry),
        rows={**history.rows, job: Row(new.key, str(entry.after), entry.attempt)},
    )


def _met_for_ever(history: History) -> tuple[Insert, int, Answer] | None:
    """A call that met a job which stood in its way from before it till after it."""
    known = lives(history.journal)
    for insert, place, answer in _answered(history, conflict=True):
        rule = insert.new[place].rule
        entries = known[answer.job].entries
        assert rule is not None
        stays = rule.period_us is None and all(each.after in rule.states for each in entries)
        if stays and all(each.job != answer.job for each in history.orders):
            return insert, place, answer
    return None


def a_call_meets_nobody(history: History) -> History | None:
    for insert, place, _ in _answered(history, conflict=True):
        answers = list(insert.answers)
        answers[place] = Answer(9_999, conflict=True)
        other = replace(insert, answers=tuple(answers))
        return replace(history, inserts=_with(history.inserts, insert, other))
    return None


def a_call_meets_a_job_that_is_gone(history: History) -> History | None:
    known = lives(history.journal)
    for insert, _, answer in _answered(history, conflict=True):
        entries: tuple[Entry, ...] = known[answer.job].entries
        orders = [each for each in history.orders if each.job == answer.job]
        if entries[-1].after == "cancelled" and all(each.what == "cancel" for each in orders):
            if any(each.call.ended is Ended.UNKNOWN for each in orders) or not orders:
                continue
            over = max(each.call.until for each in orders)
            call = replace(insert.call, invoked=over + 1, returned=over + 2)
            other = replace(insert, call=call)
            return replace(history, inserts=_with(history.inserts, insert, other))
    return None


def a_rate_is_passed(history: History) -> History | None:
    starts = [
        each for each in history.journal if each.queue == "limited" and each.after == "executing"
    ]
    if len(starts) < 4:
        return None
    journal = tuple(
        replace(each, attempted_at=starts[0].attempted_at) if each in starts[:4] else each
        for each in history.journal
    )
    return replace(history, journal=journal)


def too_many_run_at_a_time(history: History) -> History | None:
    """The ends of three claims come after the third began."""
    known = [life for life in _lives(history) if life.birth.queue == "limited"]
    ends = [
        life.entries[-1]
        for life in known
        if len([*life.claims()]) == 1 and life.entries[-1].before == "executing"
    ]
    if len(ends) < 3:
        return None
    late = {end.n: history.journal[-1].n + 1 + place for place, end in enumerate(ends)}
    journal = tuple(replace(each, n=late.get(each.n, each.n)) for each in history.journal)
    return replace(history, journal=journal)


DEEDS: dict[str, tuple[Deed, ...]] = {
    "lost": (
        a_stored_job_vanishes,
        an_answered_insert_was_rolled_back,
        a_job_is_deleted_by_nobody,
    ),
    "unexpected": (a_failed_insert_is_there, a_job_comes_from_nowhere, a_deleted_job_is_there),
    "doubled": (a_job_is_stored_twice,),
    "torn": (half_of_a_call_is_stored, one_call_is_stored_in_two_transactions),
    "disobeyed": (an_answered_delete_did_nothing,),
    "risen": (a_finished_job_comes_back_by_itself,),
    "illegal-move": (a_state_is_passed_over, a_job_changes_for_nobody),
    "attempt-jump": (an_attempt_is_counted_twice,),
    "token-reused": (two_claims_share_a_token,),
    "unclaimed-start": (a_job_runs_unclaimed, a_job_runs_as_another_attempt),
    "started-twice": (a_claim_is_run_twice,),
    "unfenced": (
        an_outcome_counts_after_a_rescue,
        an_outcome_counts_twice,
        what_was_rescued_is_given_back,
        a_job_is_given_back_twice,
    ),
    "unearned": (a_job_is_completed_by_no_run, a_job_is_completed_by_a_run_without_end),
    "overlap": (a_job_runs_beside_itself,),
    "out-of-time": (
        a_job_runs_before_it_is_asked_for,
        a_job_is_given_back_before_it_is_asked_for,
    ),
    "duplicate": (a_duplicate_is_stored,),
    "ghost": (a_call_meets_nobody, a_call_meets_a_job_that_is_gone),
    "over-rate": (a_rate_is_passed,),
    "over-concurrency": (too_many_run_at_a_time,),
}
"""By the name of the anomaly that each makes."""
