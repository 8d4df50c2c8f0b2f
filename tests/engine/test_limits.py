"""Queues that are limited over all nodes: never more than is allowed, never asked in vain, never stuck."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Claim, ClaimWithin, Count, Effect, Poll, Settle
from pgjobs.plugins import Stalled
from pgjobs.rules.job import FINAL, JobState
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.selection import OneOf, Selection
from pgjobs_testing.stores import LocalPostgres
from tests.engine.rig import ENDS, START, TICK, Deaf, Fault, FaultyStore, Rig

RATE = RateLimit(2, 10)
EXECUTING = Count(Selection((OneOf("state", (JobState.EXECUTING,)),)), "queue")


def seconds(at: datetime | None) -> float:
    assert at is not None
    return (at - START).total_seconds()


def begun(rig: Rig, queue: str = "default") -> list[float]:
    """When the jobs of a queue started, as their rows had it."""
    moments = [moment.job for moment in rig.of("start")]
    return [seconds(job.attempted_at) for job in moments if job is not None and job.queue == queue]


def fullest(starts: list[float], period: timedelta) -> int:
    """The most starts in any half-open window, counted in whole microseconds as instants are."""
    instants = [timedelta(seconds=start) for start in starts]
    return max((sum(a <= b < a + period for b in instants) for a in instants), default=0)


class Counting(FaultyStore):
    """A store that notes how many jobs of each queue execute at most, on all nodes."""

    def __init__(self, inside: LocalStore | None = None) -> None:
        super().__init__(inside)
        self.most: dict[str, int] = {}

    def carry_out(self, effect: Effect[Any]) -> Any:
        try:
            return super().carry_out(effect)
        finally:
            for queue, now in self.inside.carry_out(EXECUTING).items():
                self.most[queue] = max(now, self.most.get(queue, 0))


@pytest.mark.parametrize("elide", [False, True])
def test_jobs_start_the_instant_at_which_the_window_opens(elide: bool):
    rig = Rig({"default": Queue(10, rate_limit=RATE)}, elide=elide)
    for after in (0, 1, 0, 0, 0):
        rig.advance(after)
        rig.insert(takes=1)
    rig.advance(60)
    assert [0, 1, 10, 11, 20] == begun(rig)
    assert [1, 2, 11, 12, 21] == rig.at("completed")


def test_a_node_waits_for_the_window_without_asking():
    store = FaultyStore()
    rig = Rig({"default": Queue(10, rate_limit=RATE)}, store=store, elide=True)
    for _ in range(5):
        rig.insert()
    rig.advance(10 - 0.000001)
    assert 2 == len(store.of(ClaimWithin)) + len(store.of(Claim)) + 1
    assert [0, 0] == begun(rig)
    assert START + timedelta(seconds=10) == rig.flow.next_due()
    rig.advance(TICK)
    assert [0, 0, 10, 10] == begun(rig)
    rig.advance(3600)
    assert [0, 0, 10, 10, 20] == begun(rig)
    assert len(store.of(ClaimWithin)) <= 5
    assert [] == store.of(Claim)


def test_jobs_that_arrive_while_the_window_is_shut_cost_no_claim():
    store = FaultyStore()
    rig = Rig({"default": Queue(10, rate_limit=RateLimit(1, 100))}, store=store)
    rig.insert()
    rig.advance()
    asked = len(store.of(ClaimWithin))
    for _ in range(50):
        rig.insert()
        rig.advance(1)
    assert asked == len(store.of(ClaimWithin))


def test_a_slot_that_frees_before_the_window_opens_waits_for_it_and_one_after_it_does_not():
    rig = Rig({"default": Queue(1, rate_limit=RATE)})
    for takes in (3, 12, 1, 1):
        rig.insert(takes=takes)
    rig.advance(60)
    assert [0, 3, 15, 16] == begun(rig)


def test_the_next_job_starts_when_a_run_is_saved_where_all_nodes_are_limited():
    store = Counting()
    rig = Rig({"default": Queue(5, global_concurrency=1)}, store=store, elide=True)
    for _ in range(3):
        rig.insert(takes=2)
    rig.advance(60)
    assert [0, 2, 4] == begun(rig)
    assert {"default": 1} == store.most
    assert len(store.of(ClaimWithin)) <= 7
    assert len(store.of(Poll)) < 10  # its own runs are no reason to look


def test_a_run_that_ended_and_is_not_saved_holds_its_place():
    store = Counting()
    rig = Rig({"default": Queue(5, global_concurrency=1)}, store=store)
    rig.insert(takes=2)
    rig.insert(takes=2)
    store.faults = [Fault(Settle, "before", times=3)]
    rig.advance(60)
    first, second = begun(rig)
    assert 0 == first
    assert second > 2.5
    assert rig.at("completed")[0] == second
    assert {"default": 1} == store.most


@pytest.mark.parametrize("elide", [False, True])
def test_a_node_learns_by_polling_that_another_nodes_run_is_over(elide: bool):
    store = Counting()
    rig = Rig({"default": Queue(1, global_concurrency=1)}, store=store, elide=elide)
    rig.insert(takes=4.5)
    rig.advance()
    rig.add_node("b")
    rig.insert(takes=1)
    rig.advance(1)
    rig.stop(grace=60)  # the first node claims nothing any more
    rig.advance(10)
    assert [0, 5] == begun(rig)
    assert {"default": 1} == store.most


def test_a_full_queue_is_asked_once_a_poll_at_most():
    store = Counting()
    rig = Rig({"default": Queue(1, global_concurrency=1)}, store=store, nodes=("a", "b"))
    for _ in range(20):
        rig.insert(takes=100)
    rig.advance(90)
    assert 1 == len(begun(rig))
    assert len(store.of(ClaimWithin)) <= 2 + len(store.of(Poll))


def test_an_idle_queue_that_was_full_starts_the_next_job_at_once():
    rig = Rig({"default": Queue(1, global_concurrency=1)}, nodes=("a", "b"), elide=True)
    rig.insert(takes=3)
    rig.insert(takes=3)
    rig.advance(1_000.5)
    rig.insert()
    rig.advance()
    assert [0, 3, 1000.5] == begun(rig)


def test_a_cancelled_run_gives_its_place_to_the_next():
    rig = Rig({"default": Queue(5, global_concurrency=1)}, elide=True)
    first = rig.insert(takes=100)
    rig.insert()
    rig.advance(5)
    rig.call(rig.client.cancel(first))
    rig.advance(1)
    assert [0, 5] == begun(rig)


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_limited_claim_whose_answer_was_lost_is_found_and_run(how: str):
    store = Counting()
    rig = Rig({"default": Queue(5, rate_limit=RATE, global_concurrency=2)}, store=store)
    store.faults = [Fault(ClaimWithin, how, when=lambda effect: effect.demand > 0)]
    jobs = [rig.insert(takes=1) for _ in range(4)]
    rig.advance(60)
    assert {"completed": 4} == rig.states()
    assert [1, 1, 1, 1] == [rig.job(job).attempt for job in jobs]
    assert fullest(begun(rig), RATE.period) <= 2


def test_a_scale_by_hand_is_each_nodes_own_and_leaves_the_others_limits():
    store = Counting()
    configured = {"default": Queue(1, global_concurrency=3, rate_limit=RateLimit(5, 60))}
    rig = Rig(configured, store=store, nodes=("a", "b"))
    rig.call(rig.client.scale("default", 2))
    for _ in range(10):
        rig.insert(takes=4)
    rig.advance(59)
    assert {"default": 3} == store.most
    assert 5 == len(begun(rig))
    assert [2, 1] == [rig.executor_of(index).most for index in range(2)]


def test_a_rate_of_one_queue_leaves_the_others_alone():
    rig = Rig({"slow": Queue(10, rate_limit=RateLimit(1, 60)), "fast": 10})
    for _ in range(5):
        rig.insert(queue="slow")
        rig.insert(queue="fast")
    rig.advance(30)
    assert ([0], [0] * 5) == (begun(rig, "slow"), begun(rig, "fast"))


def test_jobs_held_back_by_a_rate_start_in_order():
    rig = Rig({"default": Queue(10, rate_limit=RateLimit(1, 5))}, nodes=("a", "b"))
    jobs = [rig.insert(priority=priority) for priority in (3, 1, 2, 1)]
    rig.advance(60)
    order = [moment.job.id for moment in rig.of("start") if moment.job is not None]
    assert [jobs[n].id for n in (1, 3, 2, 0)] == order


def test_without_any_signal_a_limited_queue_is_served_all_the_same():
    rig = Rig({"default": Queue(2, global_concurrency=2, rate_limit=RATE)}, session=Deaf)
    rig.advance(0.5)
    for _ in range(4):
        rig.insert(takes=1)
    rig.advance(60)
    assert [1, 1, 11, 11] == begun(rig)


jobs_of_a_workload = st.fixed_dictionaries(
    {
        "worker": st.sampled_from(["task", "thread", "limited", "missing"]),
        "after": st.sampled_from([0, 0, 0, 0.5, 1, 7, 30]),
        "takes": st.sampled_from([0, 0.5, 1, 5, 20]),
        "ends": st.sampled_from(sorted({*ENDS} - {"snooze"})),
        "priority": st.integers(0, 2),
        "max_attempts": st.integers(1, 2),
        "stubborn": st.booleans(),
    }
)
limited_queues = st.builds(
    Queue,
    st.integers(1, 4),
    global_concurrency=st.none() | st.integers(1, 4),
    rate_limit=st.none()
    | st.builds(RateLimit, st.integers(1, 4), st.sampled_from([0.5, 1, 3, 10])),
)


def play(
    queue: Queue,
    jobs: list[dict[str, Any]],
    *,
    nodes: str,
    elide: bool,
    loses: float | None,
    faults: list[Fault],
    inside: LocalStore | None = None,
) -> tuple[Rig, Counting]:
    """Play a workload to its end; at ``loses`` the first of several nodes is gone without a word."""
    store = Counting(inside)
    rig = Rig(
        {"default": queue},
        store=store,
        elide=elide,
        nodes=tuple(nodes),
        plugins=(Stalled(interval=10, rescue_after=15),),
    )
    rig.worker("limited", rig.registry.find("task").wrapped, timeout=3)
    store.faults = faults
    for job in jobs:
        rig.insert(**job)
    if loses is not None and len(nodes) > 1 and not elide:  # others look after it only by polling
        rig.advance(loses)
        rig.flow.members.pop(0).session.close()
    rig.advance(1_000)
    return rig, store


@given(
    queue=limited_queues,
    jobs=st.lists(jobs_of_a_workload, max_size=12),
    nodes=st.sampled_from(["a", "ab", "abc"]),
    elide=st.booleans(),
    loses=st.none() | st.sampled_from([0.25, 2, 8]),
    faults=st.lists(
        st.tuples(
            st.sampled_from([ClaimWithin, Settle, Poll]), st.sampled_from(["before", "after"])
        ),
        max_size=3,
    ),
)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_no_limit_is_exceeded_and_every_job_comes_to_an_end(
    queue: Queue,
    jobs: list[dict[str, Any]],
    nodes: str,
    elide: bool,
    loses: float | None,
    faults: list[tuple[type[Effect[Any]], str]],
):
    made = [Fault(kind, how) for kind, how in faults]
    rig, store = play(queue, jobs, nodes=nodes, elide=elide, loses=loses, faults=made)
    if queue.rate_limit is not None:
        assert fullest(begun(rig), queue.rate_limit.period) <= queue.rate_limit.allowed
    if queue.global_concurrency is not None:
        assert store.most.get("default", 0) <= queue.global_concurrency
    for member in range(len(rig.flow.members)):
        assert rig.executor_of(member).most <= queue.concurrency
    assert {*rig.states()} <= {state.value for state in FINAL}


@pytest.fixture(scope="module")
def postgres(server):
    store = PostgresStore(server.create_database("engine_limits"))
    store.migrate()
    yield LocalPostgres(store)
    store.close()
    server.drop_database("engine_limits")


@pytest.mark.postgres
@pytest.mark.pgjobs(mode="live")  # the test opens the database of its own
@pytest.mark.parametrize("elide", [False, True])
def test_limits_give_the_same_trace_on_both_stores(postgres, elide: bool):
    queue = Queue(3, global_concurrency=4, rate_limit=RateLimit(3, 7))
    names = ("task", "thread", "limited")
    jobs: list[dict[str, Any]] = [
        {
            "worker": names[n % 3],
            "after": (n * 7) % 11,
            "takes": (n * 5) % 9,
            "ends": sorted({*ENDS} - {"snooze"})[n % 5],
            "priority": n % 3,
            "max_attempts": 1 + n % 2,
        }
        for n in range(24)
    ]
    texts = []
    for inside in (None, postgres):
        if inside is not None:
            inside.clear()
        rig, store = play(queue, jobs, nodes="abc", elide=elide, loses=8, faults=[], inside=inside)
        assert fullest(begun(rig), timedelta(seconds=7)) == 3
        assert store.most["default"] <= 4
        assert {*rig.states()} <= {state.value for state in FINAL}
        texts.append(rig.trace.text())
    assert texts[0] == texts[1]
