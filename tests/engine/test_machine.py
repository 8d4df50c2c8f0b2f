"""Any order of inserts, time, and operators' hands keeps the engine's invariants."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pgjobs.effects import Claim, Effect
from pgjobs.rules.job import FINAL, Job, JobState
from pgjobs.rules.lifecycle import TRANSITIONS, Event
from pgjobs.rules.selection import claim_order
from tests.engine.rig import ENDS, START, FaultyStore, Rig

pytestmark = pytest.mark.long

LEGAL = {
    (before, after)
    for event, (left, reached) in TRANSITIONS.items()
    if event not in (Event.INSERT, Event.DELETE)
    for before in left
    for after in reached
}
QUEUES = ("one", "two")
WAITS = st.sampled_from([None, 0.0, 0.000001, 1.0, 16.0, 60.0, 600.0])


class Watched(FaultyStore):
    """A store that looks at every passage of every row."""

    def __init__(self) -> None:
        super().__init__()
        self.paused: dict[str, bool] = dict.fromkeys(QUEUES, False)

    def rows(self) -> dict[int, Job]:
        return dict(self.inside.tables.jobs.by_id)  # type: ignore[attr-defined]  # the rows of the memory store

    def carry_out(self, effect: Effect[Any]) -> Any:
        before = self.rows()
        answer = super().carry_out(effect)
        after = self.rows()
        for job_id, row in after.items():
            if job_id in before:
                self._passed(before[job_id], row)
        if isinstance(effect, Claim):
            self._claimed(effect, answer, before)
        return answer

    def _passed(self, old: Job, new: Job) -> None:
        assert old.state == new.state or (old.state, new.state) in LEGAL, (old, new)
        assert 0 <= new.attempt <= new.max_attempts
        assert len(new.errors) >= len(old.errors)
        assert new.snoozed >= old.snoozed
        stamped = [state for state in FINAL if getattr(new, f"{state}_at") is not None]
        assert ([new.state] if new.state in FINAL else []) == stamped

    def _claimed(self, effect: Claim, answer: list[Job], before: dict[int, Job]) -> None:
        now = effect.change.at
        assert answer == sorted(answer, key=claim_order)
        assert len(answer) <= effect.demand
        for job in answer:
            assert not self.paused[job.queue], "a job started from a paused queue"
            assert before[job.id].state is JobState.AVAILABLE
            assert max(job.inserted_at, job.scheduled_at) <= now, "a job started early"
        if answer:
            queue, last = answer[0].queue, claim_order(answer[-1])
            passed_over = [
                job
                for job in before.values()
                if job.state is JobState.AVAILABLE and job.queue == queue
                if job.attempt < job.max_attempts and claim_order(job) < last
            ]
            assert {job.id for job in answer} >= {job.id for job in passed_over}


class Machine(RuleBasedStateMachine):
    """Two nodes, two queues, an operator."""

    @initialize(one=st.integers(1, 3), two=st.integers(1, 3), elide=st.booleans())
    def begin(self, one: int, two: int, elide: bool) -> None:
        self.store, self.elide = Watched(), elide
        self.rig = Rig(
            {"one": one, "two": two}, store=self.store, nodes=("a", "b"), elide=elide, jitter=True
        )
        self.concurrency = {"one": one, "two": two}
        self.rig.advance()

    @rule(
        queue=st.sampled_from(QUEUES),
        after=WAITS,
        takes=st.sampled_from([0, 0.5, 5, 100]),
        ends=st.sampled_from(sorted(ENDS)),
        thread=st.booleans(),
        priority=st.integers(0, 3),
        most=st.integers(1, 3),
    )
    def insert(self, thread: bool, most: int, **given: Any) -> None:
        worker = "thread" if thread else "task"
        self.rig.insert(worker, max_attempts=most, **given)

    @rule(seconds=st.sampled_from([0, 0.000001, 0.5, 1, 16, 61, 700]))
    def advance(self, seconds: float) -> None:
        self.rig.advance(seconds)

    @rule(data=st.data(), what=st.sampled_from(["cancel", "retry", "delete"]))
    @precondition(lambda self: hasattr(self, "store") and self.store.rows())
    def change(self, data: st.DataObject, what: str) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.store.rows())))
        self.rig.call(getattr(self.rig.client, what)(chosen))

    @rule(queue=st.sampled_from(QUEUES), paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        client = self.rig.client
        self.store.paused[queue] = False  # until the nodes have heard of a pause
        self.rig.call(client.pause(queue) if paused else client.resume(queue))
        self.rig.advance()
        self.store.paused[queue] = paused

    @rule(queue=st.sampled_from(QUEUES), concurrency=st.integers(1, 4))
    def scale(self, queue: str, concurrency: int) -> None:
        self.rig.call(self.rig.client.scale(queue, concurrency))
        self.rig.advance()
        self.concurrency[queue] = max(self.concurrency[queue], concurrency)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "store"):
            return
        rows = self.store.rows()
        for index, member in enumerate(self.rig.flow.members):
            running = self.rig.executor_of(index).running
            for queue in QUEUES:
                mine = [run for run in running if run.queue == queue]
                assert len(mine) <= self.concurrency[queue]
                assert set(mine) == set(member.node.queues[queue].running)
        held = {
            (run.job.id, run.job.token)
            for index in range(2)
            for run in self.rig.executor_of(index).running
        }
        executing = {
            (job.id, job.token) for job in rows.values() if job.state is JobState.EXECUTING
        }
        assert executing <= held, "a job executes that nobody runs"

    def teardown(self) -> None:
        if not hasattr(self, "store") or not self.elide:  # hours of polls are slow
            return
        for job in self.store.rows().values():
            if job.args["ends"] == "snooze":
                self.rig.call(self.rig.client.delete(job))
        for queue in QUEUES:
            self.store.paused[queue] = False
            self.rig.call(self.rig.client.resume(queue))
        self.rig.advance(3 * 3_600)
        left = {job.state for job in self.store.rows().values()} - set(FINAL)
        assert set() == left, "with time, every job comes to an end"


def test_the_invariants_hold_in_any_order_of_events():
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_the_machine_starts_at_the_rigs_epoch():
    assert START == Rig().clock.now()
