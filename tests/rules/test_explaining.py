"""From facts to reasons: each reason where it holds, in order, and in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pgjobs.rules.control import EVERY_QUEUE, Control
from pgjobs.rules.explaining import RULES, Explanation, explain
from pgjobs.rules.facts import Beat, Facts, Rescue, UnderTest
from pgjobs.rules.job import JobState
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.reasons import values
from pgjobs.rules.schedule import micros
from pgjobs.rules.unique import UniqueRule
from pgjobs.rules.wording import shown_at, shown_span
from tests.rules.factory import NOW, job

SECOND = timedelta(seconds=1)
HERE = Beat("a", NOW - SECOND, 10 * SECOND)


def told(state: JobState = JobState.AVAILABLE, **given: Any) -> Explanation:
    """What is said of a job in a queue that node ``a`` serves; fields of the job, or facts."""
    known = {name for name in Facts.__dataclass_fields__ if name != "job"}
    facts: dict[str, Any] = {"configured": Queue(2), "served": ("default",), "beats": (HERE,)}
    facts |= {name: given.pop(name) for name in tuple(given) if name in known}
    return explain(Facts(job(state, **given), facts.pop("now", NOW), **facts))


def test_every_state_has_its_rules():
    assert set(RULES) == set(JobState)


def test_a_job_that_nothing_holds_back_is_ready_and_false_in_a_condition():
    found = told()
    assert (found.ready, found.blocked, bool(found), found.reasons) == (True, False, False, ())
    assert found.earliest == NOW
    assert str(found) == (
        "job 7 of shop.ship in queue default: available, and nothing holds it back: it starts at the "
        "next step of a node"
    )


def test_all_that_holds_is_told_in_the_order_in_which_it_must_end():
    found = told(
        JobState.SCHEDULED,
        scheduled_at=NOW + 300 * SECOND,
        controls={"default": Control(paused=True)},
        workers=frozenset({"shop.shop"}),
        test=UnderTest("test", "manual", started=True),
    )
    assert found.kinds == ("scheduled", "paused", "unknown_worker", "not_run_yet")
    assert (found.blocked, found.ready, found.earliest) == (True, False, None)
    assert str(found) == (
        "job 7 of shop.ship in queue default: scheduled\n"
        "  - it is scheduled for 2025-03-01 12:05:00Z, in 5 min\n"
        "  - the queue 'default' is paused by pause_queue: resume_queue starts it again\n"
        "  - no worker named 'shop.ship' is registered in this process (did you mean 'shop.shop'?): "
        "where none is, the attempt fails with UnknownWorkerError\n"
        "  - nothing runs it by itself: advance(...) does once it may start, and "
        "drain_queue(with_scheduled=True) now, whatever is paused or limited; "
        "start() was called, and under test starts nothing"
    )


def test_a_scheduled_job_can_start_when_it_is_due():
    found = told(JobState.SCHEDULED, scheduled_at=NOW + 300 * SECOND)
    assert found.earliest == NOW + 300 * SECOND
    assert str(found).endswith("can start at 2025-03-01 12:05:00Z at the earliest")


def test_one_that_is_due_and_not_yet_staged_is_ready():
    assert told(JobState.RETRYABLE, scheduled_at=NOW).ready


def test_a_retryable_job_names_the_error_it_waits_after():
    error = {"at": "2025-03-01T11:59:44Z", "attempt": 1, "error": "ValueError: no\n  trace"}
    found = told(JobState.RETRYABLE, scheduled_at=NOW + 16 * SECOND, errors=(error,))
    assert str(found.reasons[0]) == (
        "attempt 1 of 20 failed (ValueError: no), and the next is due at 2025-03-01 12:00:16Z, in 16 s"
    )


@pytest.mark.parametrize(
    "configured, controls, by",
    [
        (Queue(2, paused=True), {}, "configuration"),
        (Queue(2), {"default": Control(paused=True, paused_over=False)}, "pause_queue"),
        (Queue(2), {EVERY_QUEUE: Control(paused=True)}, "pause_all_queues"),
        (
            Queue(2, paused=True),
            {"default": Control(paused=True, paused_over=False)},
            "configuration",
        ),
        (None, {"default": Control(paused=True, paused_over=True)}, "pause_queue"),
        (Queue(2), {"default": Control(paused=True, paused_over=True)}, None),
        (Queue(2), {EVERY_QUEUE: Control(paused=True), "default": Control(paused=False)}, None),
    ],
)
def test_a_pause_is_told_with_who_paused(configured, controls, by):
    found = told(configured=configured, controls=controls)
    reasons: Any = [each for each in found.reasons if each.kind == "paused"]
    assert [each.by for each in reasons] == ([] if by is None else [by])


def test_slots_are_those_of_the_nodes_that_live():
    running = [job(id=n, attempted_by=("a", "t")) for n in (1, 2)]
    gone = [job(id=n, attempted_by=("dead", "t")) for n in (3, 4)]
    found = told(executing=(*running, *gone))
    assert found.kinds == ("no_free_slot",)
    assert str(found.reasons[0]) == "no slot is free: 2 of 2 run (jobs 1, 2)"
    assert told(executing=tuple(running[:1])).ready
    beats = (HERE, Beat("b", NOW, 10 * SECOND))
    assert told(executing=tuple(running), beats=beats).ready


def test_a_global_limit_counts_jobs_of_nodes_that_are_gone():
    gone = tuple(job(id=n, attempted_by=("dead", "t")) for n in (3, 4))
    found = told(executing=gone, configured=Queue(2, global_concurrency=2))
    assert str(found.reasons[0]) == "global_concurrency is reached: 2 of 2 run (jobs 3, 4)"


def test_a_rate_window_tells_what_fills_it_and_when_it_opens():
    limited = Queue(5, rate_limit=RateLimit(3, 60))
    window = ((micros(NOW - 50 * SECOND), 1), (micros(NOW - 20 * SECOND), 2))
    found = told(configured=limited, window=window)
    assert found.earliest == NOW + 10 * SECOND
    assert str(found.reasons[0]) == (
        "its rate limit is used up: 3 of 3 starts in 1 min (1 at 2025-03-01 11:59:10Z, 2 at "
        "2025-03-01 11:59:40Z); it opens at 2025-03-01 12:00:10Z, in 10 s"
    )


def test_a_rate_window_matters_to_a_later_job_if_it_opens_later_still():
    limited: dict[str, Any] = {
        "configured": Queue(5, rate_limit=RateLimit(1, 60)),
        "window": ((micros(NOW), 1),),
    }
    before = told(JobState.SCHEDULED, scheduled_at=NOW + 30 * SECOND, **limited)
    after = told(JobState.SCHEDULED, scheduled_at=NOW + 60 * SECOND, **limited)
    assert before.kinds == ("scheduled", "rate_limit")
    assert before.earliest == NOW + 60 * SECOND
    assert after.kinds == ("scheduled",)


def test_jobs_ahead_hold_back_where_there_is_no_room_for_all():
    assert told(ahead=1).ready
    found = told(ahead=2)
    assert str(found.reasons[0]) == (
        "2 jobs of its queue come first (by priority, scheduled_at, id), and 2 can start now"
    )
    assert found.earliest is None


def test_without_a_node_that_lives_nothing_starts():
    assert str(told(beats=()).reasons[0]) == (
        "no node is alive, and none has left a heartbeat: start one with `pgjobs run`"
    )
    silent = Beat("a", NOW - 61 * SECOND, 10 * SECOND)
    assert str(told(beats=(silent,)).reasons[0]) == (
        "no node is alive: the last was a, heard of at 2025-03-01 11:58:59Z"
    )


def test_a_queue_that_is_not_listed_is_judged_under_test_alone():
    unknown = told(configured=None, served=("defalt",))
    assert unknown.kinds == ("queue_not_known",)
    assert (unknown.ready, unknown.blocked) == (False, False)
    test = UnderTest("test", "manual", started=False)
    refused = told(configured=None, served=("defalt",), test=test)
    assert refused.blocked
    assert str(refused.reasons[0]) == (
        "no node serves the queue 'default' (served: defalt): did you mean 'defalt'?"
    )


def test_a_job_without_an_attempt_left_is_never_taken():
    found = told(attempt=3, max_attempts=3)
    assert found.kinds == ("attempts_used",)
    assert found.blocked


def test_an_unknown_worker_does_not_keep_a_job_from_starting():
    found = told(workers=frozenset({"mail.send"}))
    assert (found.kinds, found.ready, found.earliest) == (("unknown_worker",), True, NOW)


def test_a_conflict_tells_the_job_it_stands_for_and_when_it_is_free():
    rule = UniqueRule("f", timedelta(minutes=5))
    found = told(JobState.COMPLETED, completed_at=NOW, conflict=True, rule=rule)
    assert found.kinds == ("conflict", "completed")
    assert str(found.reasons[0]) == (
        "the insert stored nothing: job 7, inserted at 2025-03-01 11:59:00Z and now completed, has the "
        "same fingerprint; by its age it is in the way until 2025-03-01 12:04:00Z"
    )
    later = told(JobState.COMPLETED, conflict=True, rule=rule, now=NOW + timedelta(minutes=4))
    assert "in the way no more" in str(later.reasons[0])
    for_ever = told(conflict=True, rule=UniqueRule("f", None))
    assert "for as long as it is in such a state" in str(for_ever.reasons[0])


def test_a_silent_node_is_told_with_when_its_job_is_rescued():
    executing = {"attempted_at": NOW - 90 * SECOND}
    rescue = Rescue(60 * SECOND, 30 * SECOND)
    well = told(JobState.EXECUTING, beats=(Beat("node-a", NOW, 10 * SECOND),), **executing)
    assert str(well.reasons[0]) == (
        "attempt 1 runs on node node-a since 2025-03-01 11:58:30Z, for 1 min 30 s"
    )
    assert len(well.reasons) == 1
    silent = Beat("node-a", NOW - 40 * SECOND, 10 * SECOND)
    found = told(JobState.EXECUTING, beats=(silent,), rescue=rescue, **executing)
    assert str(found.reasons[1]) == (
        "node node-a has not beaten since 2025-03-01 11:59:20Z: after 2025-03-01 12:00:20Z Stalled "
        "rescues the job, if a node leads (it looks every 30 s)"
    )
    alone = told(JobState.EXECUTING, beats=(silent,), **executing)
    assert str(alone.reasons[1]).endswith(
        "this instance has no Stalled, which would rescue the job: add one"
    )
    foreign: Any = told(JobState.EXECUTING, rescue=rescue, **executing).reasons[1]
    assert foreign.beat_at is None
    assert foreign.rescued_from == NOW - 90 * SECOND + timedelta(minutes=60)


def test_what_ended_is_told_with_its_reason():
    error = {"at": "2025-03-01T12:00:00.000000Z", "attempt": 1, "error": "Discard: useless"}
    discarded = told(JobState.DISCARDED, discarded_at=NOW, errors=(error,))
    assert str(discarded.reasons[0]) == (
        "it was discarded at 2025-03-01 12:00:00Z, after attempt 1 of 20: Discard: useless"
    )
    by_worker = told(JobState.CANCELLED, cancelled_at=NOW, errors=(error,))
    assert str(by_worker.reasons[0]).startswith("its worker cancelled it at 2025")
    by_hand = told(JobState.CANCELLED, cancelled_at=NOW + SECOND, errors=(error,))
    assert str(by_hand.reasons[0]) == (
        "it was cancelled at 2025-03-01 12:00:01Z from outside its worker"
    )
    assert not by_hand.waiting
    suspended = told(JobState.SUSPENDED)
    assert (suspended.blocked, suspended.waiting) == (True, False)


def test_reasons_become_json():
    running = tuple(job(id=n, attempted_by=("a", "t"), attempted_at=NOW) for n in (1, 2))
    assert values(told(executing=running).reasons[0]) == {
        "kind": "no_free_slot",
        "text": "no slot is free: 2 of 2 run (jobs 1, 2)",
        "blocks": True,
        "concurrency": 2,
        "nodes": ["a"],
        "running": [{"id": n, "worker": "shop.ship", "node": "a", "since": NOW} for n in (1, 2)],
    }


def test_instants_and_spans_are_as_exact_as_they_are_useful():
    assert shown_at(NOW + timedelta(milliseconds=1500)) == "2025-03-01 12:00:01.5Z"
    spans = {0.25: "0.25 s", 59: "59 s", 60: "1 min", 3661: "1 h 1 min", 90_000: "1 d 1 h"}
    assert {s: shown_span(timedelta(seconds=s)) for s in spans} == spans
