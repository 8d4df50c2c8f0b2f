"""Who leads, and what a leader that was paused or cut off can still do: nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs.effects import Claim
from pgjobs.engine.heart import EVERY
from pgjobs.leading import Beat, Heartbeats, Lead, Leases, Prune, Rescue, Tick, Watermarks
from pgjobs.plugins import Cron, Plugin, Pruner, Stalled, beat_interval
from pgjobs.rules.job import NewJob
from tests.engine.rig import START, Fault, FaultyStore, Rig, SlowSession

MINUTE = 60
PLUGINS: tuple[Plugin, ...] = (Stalled(), Pruner(max_age=300))
EVERY_MINUTE = Cron([("* * * * *", NewJob("task", {}))])


def leaders(rig: Rig) -> list[str]:
    """The nodes that think that they lead now."""
    now = rig.clock.now()
    return [
        member.node.name
        for member in rig.flow.members
        if member.node.recurring.leader.fence(now) is not None
    ]


def elected(rig: Rig) -> list[tuple[float, str]]:
    return [
        ((moment.at - START).total_seconds(), moment.node) for moment in rig.trace.of("elected")
    ]


def test_one_node_leads_and_the_others_wait():
    rig = Rig(nodes=("a", "b", "c"), plugins=PLUGINS)
    for _ in range(30):
        rig.advance(MINUTE / 4)
        assert ["a"] == leaders(rig)
    assert [(0.0, "a")] == elected(rig)


def test_another_leads_at_once_when_the_leader_stops():
    rig = Rig(nodes=("a", "b"), plugins=PLUGINS)
    rig.advance(45)
    rig.stop(member=0)
    rig.advance(10)
    assert ["b"] == leaders(rig)
    assert [(0.0, "a"), (50.0, "b")] == elected(rig)


def test_another_leads_after_the_lease_of_a_leader_that_died():
    rig = Rig(nodes=("a", "b"), plugins=PLUGINS)
    rig.advance(45)
    rig.suspend("a")
    rig.advance(24)
    assert [] == leaders(rig)
    rig.advance(1)
    assert ["b"] == leaders(rig)
    assert [(0.0, "a"), (70.0, "b")] == elected(rig)


def test_a_leader_whose_renewals_fail_for_longer_than_its_lease_leads_again():
    store = FaultyStore()
    rig = Rig(store=store, plugins=PLUGINS)
    rig.advance(45)
    store.faults.append(Fault(Lead, "before", times=8))
    rig.advance(30)
    assert [] == leaders(rig)
    rig.advance(2 * MINUTE)
    assert ["a"] == leaders(rig)


def test_a_node_without_plugins_never_leads():
    rig = Rig(plugins=())
    rig.advance(MINUTE)
    assert {} == rig.store.run(Leases())


def test_a_leader_that_was_paused_past_its_lease_changes_nothing():
    store = FaultyStore()
    rig = Rig(store=store, nodes=("a", "b"), plugins=(*PLUGINS, EVERY_MINUTE))
    rig.advance(50)
    paused = rig.suspend("a")
    rig.advance(5 * MINUTE)
    rig.resume(paused)
    before = len(store.effects)
    rig.advance(5 * MINUTE)
    late = [
        effect
        for effect in store.effects[before:]
        if isinstance(effect, Rescue | Prune | Tick | Watermarks) and effect.fence.node == "a"
    ]
    assert [] == late
    assert ["b"] == leaders(rig)
    assert 10 == len(rig.of("insert"))


@pytest.mark.parametrize("kind", [Rescue, Prune, Tick])
def test_an_effect_that_is_carried_out_after_the_lease_is_fenced_off(kind: Any):
    rig = Rig(
        nodes=("a", "b"), plugins=(Stalled(10), Pruner(300), EVERY_MINUTE), session=SlowSession
    )
    rig.advance(50)
    session = rig.member.session
    assert isinstance(session, SlowSession)
    session.hold = kind
    rig.advance(12)
    assert session.held
    slow = rig.suspend("a")
    rig.advance(MINUTE)
    assert ["b"] == leaders(rig)
    session.let_go()
    rig.resume(slow)
    rig.advance(5 * MINUTE)
    assert ["b"] == leaders(rig)
    assert 7 == len(rig.of("insert"))
    assert {"completed"} <= set(rig.states())


def test_a_node_beats_before_it_claims_and_first_of_all_after_a_pause():
    store = FaultyStore()
    rig = Rig(store=store, nodes=("a",))
    rig.insert()
    rig.advance(25)
    kinds = [type(effect) for effect in store.effects if isinstance(effect, Beat | Claim)]
    assert [Beat, Claim] == kinds[:2]
    assert 3 == kinds.count(Beat)
    paused = rig.suspend("a")
    rig.insert()
    rig.advance(10 * MINUTE)
    rig.resume(paused)
    before = len(store.effects)
    rig.advance()
    assert isinstance(store.effects[before], Beat)
    assert {"completed": 2} == rig.states()


def test_a_node_whose_heartbeat_failed_beats_again():
    store = FaultyStore()
    rig = Rig(store=store)
    rig.advance(45)
    store.faults.append(Fault(Beat, "before", times=1))
    rig.advance(MINUTE)
    (heard,) = rig.store.run(Heartbeats())
    assert rig.clock.now() - heard.beat_at <= EVERY


def test_nothing_is_claimed_while_no_heartbeat_is_stored():
    store = FaultyStore()
    store.faults = [Fault(Beat, "before", 10**6)]
    rig = Rig(store=store)
    job = rig.insert()
    rig.advance(5 * MINUTE)
    assert "available" == rig.job(job).state
    store.faults = []
    rig.advance(MINUTE)
    assert "completed" == rig.job(job).state


def test_a_node_that_stopped_leaves_no_heartbeat():
    rig = Rig(nodes=("a", "b"))
    rig.insert(takes=5)
    rig.advance(1)
    rig.stop(member=0)
    rig.advance(MINUTE)
    assert ["b"] == [heard.node for heard in rig.store.run(Heartbeats())]


def test_jobs_of_a_node_that_died_run_again_elsewhere():
    rig = Rig(nodes=("a", "b"), plugins=(Stalled(interval=10, rescue_after=60),))
    jobs = [rig.insert(takes=1000, n=n) for n in range(4)]
    last = rig.insert(takes=1000, max_attempts=1)
    rig.advance(1)
    assert 5 == len(rig.of("start"))
    assert {"a"} == {moment.node for moment in rig.of("start")}
    rig.suspend("a")
    rig.advance(59)
    assert 5 == rig.states()["executing"]
    rig.advance(50)
    assert {"executing": 4, "discarded": 1} == rig.states()
    assert [2] * 4 == [rig.job(job).attempt for job in jobs]
    assert ["b"] * 4 == [rig.job(job).attempted_by[0] for job in jobs]
    assert "the last one" in str(rig.job(last).last_error)
    assert 5 == len(rig.of("rescue"))


@pytest.mark.long
def test_a_long_job_of_a_node_that_beats_is_never_rescued():
    rig = Rig(nodes=("a", "b"), plugins=PLUGINS)
    job = rig.insert(takes=86_400)
    rig.advance(86_400)
    assert (1, "completed") == (rig.job(job).attempt, rig.job(job).state)
    assert [] == rig.of("rescue")


def test_a_node_that_was_paused_for_long_settles_nothing_that_was_rescued():
    rig = Rig(nodes=("a", "b"), plugins=(Stalled(interval=10),))
    job = rig.insert(takes=120, ends="fail")
    rig.advance(1)
    paused = rig.suspend("a")
    rig.advance(100)
    assert "b" == rig.job(job).attempted_by[0]
    rig.resume(paused)
    rig.advance(30)
    assert ("executing", 2, ()) == (
        rig.job(job).state,
        rig.job(job).attempt,
        rig.job(job).errors,
    )
    rig.advance(200)
    assert 1 == len(rig.of("late"))


@pytest.mark.long
@pytest.mark.parametrize("rescue_after, interval", [(60, 10), (60, 3600), (30, 10), (6, 1)])
@pytest.mark.parametrize("lasts", [45, 90, 300])
def test_an_outage_lets_nobody_take_a_living_node_for_dead(
    rescue_after: float, interval: float, lasts: float
):
    store = FaultyStore()
    stalled = Stalled(interval=interval, rescue_after=rescue_after)
    beat = beat_interval([stalled], EVERY)
    rig = Rig({"default": 2}, store=store, nodes=(), plugins=(stalled,))
    for name in ("a", "b", "c"):
        rig.add_node(name, beat=beat)
    for n in range(6):
        rig.insert(takes=10_000, n=n)
    rig.advance(3590)
    store.faults = [Fault(object, "before", 10**9)]  # type: ignore[arg-type]  # every effect
    rig.advance(lasts)
    store.faults = []
    rig.advance(600)
    assert [] == rig.of("rescue")
    lost = rig.suspend("b")
    rig.advance(interval + max(rescue_after, 3 * beat.total_seconds()) + 60)
    assert len(lost.node.running) == len(rig.of("rescue")) == 2


@pytest.mark.long
def test_a_leader_that_stood_still_takes_nobody_for_dead_on_its_return():
    rig = Rig({"default": 2}, nodes=("a", "b"), plugins=(Stalled(interval=10),))
    for n in range(4):
        rig.insert(takes=10_000, n=n)
    rig.advance(55)
    asleep = [rig.suspend(name) for name in ("a", "b")]  # the whole machine
    rig.advance(600)
    for member in asleep:
        rig.resume(member)
    rig.advance(600)
    assert [] == rig.of("rescue")


def test_rescue_needs_no_free_slot():
    rig = Rig({"default": 2}, nodes=("a", "b"), plugins=(Stalled(interval=10),))
    for _ in range(4):
        rig.insert(takes=10_000)
    rig.advance(1)
    assert 4 == rig.states()["executing"]
    rig.suspend("a")
    rig.advance(90)
    assert {"executing": 2, "available": 2} == rig.states()


def test_more_than_a_page_is_rescued_and_pruned_at_once():
    rig = Rig({"default": 3000}, nodes=("a", "b"), plugins=(Stalled(interval=10),))
    rig.call(rig.client.insert_all([NewJob("task", {"takes": 70})] * 2500))
    rig.advance(1)
    lost = len(rig.suspend("a").node.running)
    assert lost > 1000
    rig.advance(70)
    assert lost == len(rig.of("rescue"))
    assert 1 == len({moment.at for moment in rig.of("rescue")})
    rig.advance(100)
    assert {"completed": 2500} == rig.states()
    pruning = rig.add_node("c", plugins=(Pruner(max_age=1, limit=400),), instance="other")
    rig.advance()
    assert {} == rig.states()
    assert pruning.node.recurring.leader.fence(rig.clock.now()) is not None


def test_finished_jobs_are_pruned_when_they_are_old_enough_and_not_before():
    rig = Rig(plugins=(Pruner(max_age=300, interval=30),))
    rig.insert()
    rig.insert(ends="discard")
    rig.insert(ends="cancel")
    rig.insert(takes=10)
    rig.advance(299)
    assert 4 == sum(rig.states().values())
    rig.advance(1)
    assert {"completed": 1} == rig.states()
    rig.advance(30)
    assert {} == rig.states()


def test_a_max_age_of_nothing_prunes_within_a_second():
    rig = Rig(plugins=(Pruner(max_age=0),))
    rig.advance(10.5)
    rig.insert()
    rig.advance(0.4)
    assert {"completed": 1} == rig.states()
    rig.advance(0.1)
    assert {} == rig.states()


@settings(deadline=None, max_examples=60)
@given(
    jobs=st.lists(
        st.tuples(st.floats(0, 500), st.sampled_from([0, 1, 40, 130])), min_size=1, max_size=12
    ),
    max_age=st.sampled_from([0, 1, 45, 300]),
    interval=st.sampled_from([0.5, 7, 30]),
)
def test_leaving_out_sweeps_that_find_nothing_changes_nothing(
    jobs: list[tuple[float, float]], max_age: float, interval: float
):
    traces = []
    for elide in (True, False):
        rig = Rig(elide=elide, plugins=(Pruner(max_age=max_age, interval=interval), Stalled()))
        for after, takes in sorted(jobs):
            rig.insert(after=after, takes=takes)
        for _ in range(10):
            rig.advance(100)
        traces.append([m for m in rig.trace.moments if m.event not in ("elected", "insert")])
        assert rig.states() in ({}, {"completed": len(jobs)}) or max_age
    assert [m.at for m in traces[0]] == [m.at for m in traces[1]]
    assert [m.event for m in traces[0]] == [m.event for m in traces[1]]


@pytest.mark.parametrize("kind", [Lead, Beat, Rescue, Prune, Watermarks, Tick])
@pytest.mark.parametrize("how", ["before", "after", "refuse"])
def test_a_failing_plugin_stops_no_queue_and_recovers(kind: Any, how: str):
    store = FaultyStore()
    store.faults = [Fault(kind, how, 3)]
    rig = Rig(store=store, plugins=(*PLUGINS, EVERY_MINUTE))
    for n in range(20):
        rig.insert(after=n * 10)
    rig.advance(4 * MINUTE)
    assert [] == [fault for fault in store.faults if fault.times > 0]
    mine = [moment for moment in rig.of("start") if moment.job and not moment.job.meta]
    assert 20 == len(mine)
    rig.advance(15 * MINUTE)
    assert {0, 1} >= {count for state, count in rig.states().items() if state != "completed"}
    assert rig.states()["completed"] <= 7
    ticks = {m.job.meta["cron_at"] for m in rig.of("insert") if m.job and m.job.meta}
    assert len(ticks) == sum(1 for m in rig.of("insert") if m.job and m.job.meta)
    assert 15 <= len(ticks) <= 19


@pytest.mark.parametrize("method", ["answered", "failed", "step"])
def test_a_duty_that_raises_at_an_answer_loses_no_answer_of_others(
    method: str, monkeypatch: pytest.MonkeyPatch
):
    store = FaultyStore()
    rig = Rig(store=store, plugins=(Stalled(interval=5), EVERY_MINUTE))
    rig.advance(59)
    if method == "failed":
        store.faults = [Fault(Tick, "before", 3)]

    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    duty = rig.node.recurring._duties["cron"]
    with monkeypatch.context() as broken_for_now:
        broken_for_now.setattr(duty, method, broken)
        rig.insert(after=1)
        rig.advance(1)
        for n in range(20):
            rig.insert(takes=1, n=n)
        rig.advance(30)
        assert [] == [run for run in rig.node.running if not run.settled]
        assert 21 <= rig.states()["completed"]
    rig.advance(5 * MINUTE)
    ticks = [
        moment.job.meta["cron_at"] for moment in rig.of("insert") if moment.job and moment.job.meta
    ]
    assert len(ticks) == len(set(ticks))
    assert "2025-03-01T12:04:00.000000Z" in ticks


def test_a_duty_that_raises_rests_and_disturbs_no_other(monkeypatch: pytest.MonkeyPatch):
    rig = Rig(plugins=PLUGINS)
    rig.advance(1)
    duty = rig.node.recurring._duties["stalled"]
    calls = []

    def broken(now: Any) -> None:
        calls.append(now)
        raise RuntimeError("a bug")

    monkeypatch.setattr(duty, "step", broken)
    rig.insert(after=100)
    rig.advance(10 * MINUTE)
    assert {} == rig.states()  # ran, and was pruned
    assert 9 <= len(calls) <= 11
    assert len(calls) == len(rig.trace.of("error"))


@settings(deadline=None, max_examples=40)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["pause", "resume", "stop", "add"]), st.integers(1, 80)),
        max_size=12,
    )
)
def test_whatever_becomes_of_nodes_each_tick_fires_once_and_one_leads(
    moves: list[tuple[str, int]],
):
    rig = Rig(nodes=("n0", "n1", "n2"), plugins=(Stalled(interval=10), EVERY_MINUTE))
    paused: list[Any] = []
    names = iter(f"m{n}" for n in range(100))
    rig.advance(1)
    for move, seconds in moves:
        if move == "pause" and len(rig.flow.members) > 1:
            paused.append(rig.suspend(rig.flow.members[0].node.name))
        elif move == "resume" and paused:
            rig.resume(paused.pop(0))
        elif move == "stop" and len(rig.flow.members) > 1:
            rig.stop(member=0)
            rig.suspend(rig.flow.members[0].node.name)
        elif move == "add":
            rig.add_node(next(names))
        rig.advance(seconds)
        assert len(leaders(rig)) <= 1
    rig.advance(3 * MINUTE)
    assert 1 == len(leaders(rig))
    ticks = [moment.job.meta["cron_at"] for moment in rig.of("insert") if moment.job]
    assert len(ticks) == len(set(ticks))
    minutes = (rig.clock.now() - START) // timedelta(minutes=1)
    assert minutes == len(ticks) or any(move == "pause" for move, _ in moves)
