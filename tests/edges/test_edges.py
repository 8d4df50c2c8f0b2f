"""Each edge of the contract, told once as a user would meet it, on both stores.

The numbers are the contract's. What else holds each edge is listed in ``docs/reference/guarantees.md``.
"""

from __future__ import annotations

import itertools
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgjobs import telemetry
from pgjobs.effects import Claim, Settle
from pgjobs.leading import Beat, Prune, Rescue, Tick
from pgjobs.plugins import Cron, Pruner, Stalled
from pgjobs.rules import backoff
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.unique import Unique
from tests.engine.rig import START, Deaf, Fault, FaultyStore, Rig

MINUTE = 60


async def _perform(job: Job) -> None:
    """Never called: the executor plays a script."""


def test_edge_1_finished_jobs_stay_until_they_are_pruned_by_the_age_of_their_final_state():
    rig = Rig(plugins=(Pruner(max_age=100, interval=10),))
    rig.insert(takes=50)
    rig.insert(ends="discard")
    rig.insert(takes=30, ends="cancel")
    rig.advance(99)
    assert {"completed": 1, "discarded": 1, "cancelled": 1} == rig.states()
    rig.advance(1)
    assert {"completed": 1, "cancelled": 1} == rig.states()
    rig.advance(30)
    assert {"completed": 1} == rig.states()
    rig.advance(20)
    assert {} == rig.states()


def test_edge_1_with_a_max_age_of_nothing_completed_jobs_go_at_once():
    rig = Rig(plugins=(Pruner(max_age=0),))
    rig.insert(after=5)
    rig.advance(6)
    assert {} == rig.states()


def test_edge_2_the_default_backoff_is_the_guides_table():
    rig = Rig()
    rig.insert(ends="fail", max_attempts=6)
    rig.advance(5 * MINUTE)
    starts = [0.0, 16.0, 16.0 + 31, 47.0 + 46, 93.0 + 61, 154.0 + 61]
    assert starts == rig.at("start")


@pytest.mark.parametrize(
    "chosen, waits",
    [
        (backoff.constant(5), [5, 5, 5]),
        (backoff.linear(10), [10, 20, 30]),
        (backoff.exponential(60), [60, 120, 240]),
        (backoff.exponential(10**9, factor=10**9, max=50), [50, 50, 50]),
        (lambda attempt: -attempt, [0, 0, 0]),
        (lambda attempt: 1 / 0, [16, 31, 46]),
    ],
)
def test_edge_2_backoffs_never_are_negative_nor_overflow(chosen: Any, waits: list[float]):
    rig = Rig()

    rig.worker("waiting", _perform, backoff=chosen)
    rig.insert("waiting", ends="fail", max_attempts=4)
    rig.advance(10 * MINUTE)
    starts = rig.at("start")
    assert waits == [after - before for before, after in itertools.pairwise(starts)]


def test_edge_3_what_is_due_in_the_past_is_available_and_order_is_priority_instant_id():
    rig = Rig({"default": 1})
    paused = rig.client.pause("default")
    rig.call(paused)
    late = [rig.insert(n=n, priority=5) for n in range(2)]
    past = rig.insert(n=2, priority=5, scheduled_at=START - timedelta(days=400))
    urgent = rig.insert(n=3, priority=0)
    assert "available" == past.state
    rig.call(rig.client.resume("default"))
    rig.advance(1)
    assert [urgent.id, past.id, late[0].id, late[1].id] == [
        moment.job.id for moment in rig.of("start") if moment.job
    ]


def test_edge_4_a_duplicate_is_answered_with_the_job_that_is_there_until_the_period_is_over():
    rig = Rig(queues={"default": 1})
    rig.worker("sync", _perform, unique=Unique(period=60, keys=("a.b",)))
    sync = rig.registry.find("sync")

    def insert(*args: dict[str, Any]) -> list[Job]:
        return rig.call(rig.client.insert_all([sync.new(each) for each in args]))

    first, again, other, absent = insert(
        {"a": {"b": 1}, "n": 1}, {"a": {"b": 1.0}}, {"a": {"b": True}}, {"a": {}}
    )
    assert [False, True, False, False] == [j.conflict for j in (first, again, other, absent)]
    assert (first.id, {"a": {"b": 1}, "n": 1}) == (again.id, again.args)
    rig.advance(59.999999)
    (duplicate,) = insert({"a": {"b": 1}})
    assert (first.id, "completed", True) == (duplicate.id, duplicate.state, duplicate.conflict)
    rig.advance(0.000001)
    (fresh,) = insert({"a": {"b": 1}})
    assert not fresh.conflict
    assert 4 == sum(rig.states().values())


def test_edge_5_a_conflict_may_replace_fields_and_the_state_follows_scheduled_at():
    rig = Rig(queues={"other": 1})
    rig.worker(
        "sync",
        _perform,
        unique=Unique(period=None, fields=("worker",)),
        replace={"scheduled": ("args", "scheduled_at"), "available": True},
    )
    sync = rig.registry.find("sync")
    first = rig.call(rig.client.insert(sync.new({"n": 1}, schedule_in=600, tags=("old",))))
    later = rig.call(rig.client.insert(sync.new({"n": 2}, schedule_in=60, tags=("new",))))
    assert (first.id, True, True) == (later.id, later.conflict, later.replaced)
    assert ({"n": 2}, ("old",), "scheduled") == (later.args, later.tags, later.state)
    assert START + timedelta(seconds=60) == later.scheduled_at
    now = rig.call(rig.client.insert(sync.new({"n": 3})))
    assert (first.id, "available") == (now.id, now.state)
    moved = rig.call(rig.client.insert(sync.new({"n": 4}, queue="other", schedule_in=5)))
    assert ("other", "scheduled", {"n": 4}) == (moved.queue, moved.state, moved.args)
    rig.advance(5)
    assert ("completed", {"n": 4}) == (rig.job(first).state, rig.job(first).args)
    ended = rig.call(rig.client.insert(sync.new({"n": 5})))
    assert (True, False, {"n": 4}) == (ended.conflict, ended.replaced, ended.args)


def test_edge_6_all_limits_hold_together_over_two_nodes():
    limits = Queue(2, global_concurrency=3, rate_limit=RateLimit(allowed=5, period=60))
    rig = Rig({"default": limits}, nodes=("a", "b"))
    rig.call(rig.client.insert_all([NewJob("task", {"takes": 4, "n": n}) for n in range(12)]))
    running: list[tuple[int, int]] = []
    for _ in range(50):
        rig.advance(0.5)
        mine = [len(member.node.running) for member in rig.flow.members]
        running.append((max(mine), sum(mine)))
    rig.advance(200)
    assert {"completed": 12} == rig.states()
    assert (2, 3) == (max(most for most, _ in running), max(every for _, every in running))
    starts = rig.at("start")
    assert all(after - before >= 60 for before, after in zip(starts, starts[5:], strict=False))
    assert 5 == sum(at < 60 for at in starts)


def test_edge_7_a_timeout_is_a_failure_and_a_thread_keeps_its_slot_until_it_returns():
    rig = Rig({"default": 1})
    rig.worker("limited", lambda job: None, timeout=10)
    stuck = rig.insert("limited", takes=100, max_attempts=1)
    waiting = rig.insert()
    rig.advance(10)
    assert "discarded" == rig.job(stuck).state
    assert "JobTimeoutError" in str(rig.job(stuck).last_error)
    assert "available" == rig.job(waiting).state
    assert 1 == len(rig.node.running)
    rig.advance(90)
    assert "completed" == rig.job(waiting).state
    assert 1 == len(rig.of("late"))


def test_edge_8_an_outcome_counts_only_for_the_claim_that_produced_it():
    rig = Rig(nodes=("a", "b"), plugins=(Stalled(interval=10),))
    job = rig.insert(takes=120, ends="fail")
    rig.advance(1)
    paused = rig.suspend("a")
    rig.advance(100)
    claimed = rig.job(job)
    assert ("executing", 2, "b") == (claimed.state, claimed.attempt, claimed.attempted_by[0])
    rig.resume(paused)
    rig.advance(5)
    assert (claimed.attempted_by, ()) == (rig.job(job).attempted_by, rig.job(job).errors)
    assert ["a"] == [moment.node for moment in rig.of("late")]


@pytest.mark.parametrize("heard", [True, False])
def test_edge_9_a_cancel_reaches_the_run_on_any_node_within_a_second(heard: bool):
    given = {} if heard else {"session": Deaf}
    rig = Rig({"default": 1}, nodes=("a", "b"), **given)  # type: ignore[arg-type]  # keywords
    jobs = [rig.insert(takes=1000) for _ in range(2)]
    rig.advance(10)
    for job in jobs:
        assert "cancelled" == rig.call(rig.client.cancel(job)).state
    rig.advance(1)
    assert [1, 1] == [len(rig.executor_of(n).told) for n in range(2)]
    assert [] == [run for member in rig.flow.members for run in member.node.running]


def test_edge_10_a_retry_by_hand_revives_every_state_but_available_and_executing():
    rig = Rig()
    done = rig.insert()
    useless = rig.insert(ends="discard", max_attempts=1)
    cancelled = rig.insert(ends="cancel")
    scheduled = rig.insert(after=1000)
    failed = rig.insert(ends="fail")
    running = rig.insert(takes=500)
    rig.advance(1)
    for job in (done, useless, cancelled, scheduled, failed):
        retried = rig.call(rig.client.retry(job))
        assert "available" == retried.state
        assert retried.max_attempts >= retried.attempt + 1
    assert "executing" == rig.call(rig.client.retry(running)).state
    rig.advance(1)
    assert 10 == len(rig.of("start"))


def test_edge_11_the_jobs_of_a_silent_node_are_rescued_and_no_others():
    rig = Rig({"default": 2}, nodes=("a", "b"), plugins=(Stalled(interval=10, rescue_after=60),))
    long = [rig.insert(takes=3000, n=n) for n in range(3)]
    last = rig.insert(takes=3000, n=3, max_attempts=1)
    rig.advance(1)
    owners = {job.id: rig.job(job).attempted_by[0] for job in (*long, last)}
    rig.suspend("a")
    rig.advance(59)
    assert {"executing": 4} == rig.states()
    rig.advance(40)
    for job in (*long, last):
        now = rig.job(job)
        if owners[job.id] == "b":
            assert ("executing", 1) == (now.state, now.attempt)
        else:
            assert "discarded" == now.state if job.id == last.id else "available" == now.state


def test_edge_12_a_stop_gives_back_what_outlives_the_grace_with_its_attempt():
    rig = Rig(nodes=("a",))
    job = rig.insert(takes=1000)
    thread = rig.insert("thread", takes=100)
    rig.advance(5)
    rig.stop(grace=15)
    rig.insert(n=9)
    rig.advance(14.9)
    assert {"executing": 2, "available": 1} == rig.states()
    rig.advance(0.2)
    released = rig.job(job)
    assert ("available", 0, 1) == (released.state, released.attempt, released.meta["released"])
    assert "executing" == rig.job(thread).state
    rig.stop(grace=0)
    assert not rig.stopped()
    rig.advance(85)
    assert "completed" == rig.job(thread).state
    assert rig.stopped()


def test_edge_13_each_tick_is_inserted_once_through_leader_changes():
    entry = Cron([("* * * * *", NewJob("task", {}))])
    rig = Rig(nodes=("a", "b"), plugins=(entry,))
    rig.advance(2 * MINUTE + 30)
    rig.stop(member=0)
    rig.advance(2 * MINUTE)
    rig.add_node("c")
    rig.suspend("b")
    rig.advance(3 * MINUTE)
    ticks = [moment.job.meta["cron_at"][11:16] for moment in rig.of("insert") if moment.job]
    assert [f"12:{minute:02}" for minute in range(1, 8)] == ticks


def test_edge_13_a_wall_time_that_is_skipped_or_comes_twice_runs_once():
    entries = Cron(
        [("30 2 9 3 *", NewJob("task", {})), ("30 1 2 11 *", NewJob("task", {}))],
        timezone="America/New_York",
    )
    rig = Rig(nodes=(), elide=True, plugins=(entries,))
    rig.add_node("a")
    rig.advance(datetime(2025, 11, 3, tzinfo=UTC) - START)
    ticks = [moment.job.meta["cron_at"] for moment in rig.of("insert") if moment.job]
    assert ["2025-03-09T07:00:00.000000Z", "2025-11-02T05:30:00.000000Z"] == ticks


def test_edge_14_a_leader_that_was_paused_past_its_lease_changes_nothing():
    store = FaultyStore()
    duties = (Stalled(interval=10), Pruner(max_age=0), Cron([("* * * * *", NewJob("task", {}))]))
    rig = Rig(store=store, nodes=("a", "b"), plugins=duties)
    rig.advance(50)
    paused = rig.suspend("a")
    rig.advance(2 * MINUTE)
    rig.resume(paused)
    before = len(store.effects)
    rig.advance(2 * MINUTE)
    acted = {
        effect.fence.node
        for effect in store.effects[before:]
        if isinstance(effect, Rescue | Prune | Tick)
    }
    assert {"b"} == acted
    assert 4 == len({moment.job.meta["cron_at"] for moment in rig.of("insert") if moment.job})


def test_edge_15_a_node_without_its_database_goes_on_and_settles_afterwards(
    caplog: pytest.LogCaptureFixture,
):
    store = FaultyStore()
    rig = Rig({"default": 20}, store=store)
    for n in range(20):
        rig.insert(takes=5 + n)
    rig.advance(1)
    store.faults = [Fault(object, "before", 10**6)]  # type: ignore[arg-type]  # every effect
    with caplog.at_level(logging.WARNING, "pgjobs"):
        rig.advance(60)
    assert 2 >= caplog.text.count("the store failed at")
    assert {"executing": 20} == {
        str(job.state): 20 for job in rig.call(rig.client.find(None, "id", None, {}))
    }
    store.faults = []
    rig.advance(45)
    assert {"completed": 20} == rig.states()
    assert 20 == len(rig.of("start"))


def test_edge_15_one_outcome_that_the_store_refuses_stops_no_queue():
    store = FaultyStore()
    rig = Rig(store=store)
    bad = rig.insert(n=0)
    store.faults = [
        Fault(
            Settle, "refuse", 50, lambda effect: any(_is_bad(s, bad.id) for s in effect.settlements)
        )
    ]
    good = [rig.insert(n=n) for n in range(1, 6)]
    rig.advance(60)
    assert ["completed"] * 5 == [rig.job(job).state for job in good]
    assert "could not be saved" in str(rig.job(bad).last_error)


def test_edge_16_with_every_notification_lost_all_is_seen_within_the_poll_interval():
    rig = Rig({"default": 5, "held": 5}, session=Deaf)
    rig.advance(10)
    due = rig.insert(after=5.5)
    now = rig.insert()
    rig.advance(1)
    assert "completed" == rig.job(now).state
    rig.advance(5.5)
    assert "completed" == rig.job(due).state
    rig.call(rig.client.pause("held"))
    rig.advance(1)
    held = rig.insert(queue="held")
    rig.advance(5)
    assert "available" == rig.job(held).state


def test_edge_16_one_combined_statement_a_node_looks_for_everything():
    store = FaultyStore()
    rig = Rig({f"q{n}": 1 for n in range(30)}, store=store)
    rig.advance(10)
    before = len(store.effects)
    rig.advance(10)
    asked = [effect for effect in store.effects[before:] if not isinstance(effect, Beat)]
    assert 10 == len(asked)
    assert [] == store.of(Claim)[30:]  # each queue looked once, when the node started


def test_edge_17_a_handler_that_raises_is_detached_and_touches_no_job():
    rig = Rig()
    told: list[str] = []

    def broken(event: str, measurements: Any, metadata: Any) -> None:
        told.append(event)
        raise RuntimeError("no")

    hub = telemetry.Telemetry()
    rig.recorder._passing_on = hub
    hub.attach("broken", ["pgjobs.job.start", "pgjobs.job.stop"], broken)
    seen: list[tuple[str, list[str]]] = []
    hub.attach(
        "fine",
        ["pgjobs.job.start", "pgjobs.job.stop", "pgjobs.job.exception"],
        lambda event, measurements, metadata: seen.append((event, sorted(measurements))),
    )
    rig.insert(takes=2)
    rig.insert(ends="fail")
    rig.advance(3)
    assert ["pgjobs.job.start"] == told
    assert {
        ("pgjobs.job.start", ("queue_time",)),
        ("pgjobs.job.stop", ("duration", "queue_time")),
        ("pgjobs.job.exception", ("duration", "queue_time")),
    } == {(event, tuple(names)) for event, names in seen}
    assert {"completed": 1, "retryable": 1} == rig.states()


def _is_bad(settlement: Any, job_id: int) -> bool:
    error = settlement.change.error
    return settlement.id == job_id and not (error and "could not be saved" in error)
