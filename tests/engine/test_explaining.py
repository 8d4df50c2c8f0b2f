"""What ``explain`` says comes true: a job that nothing holds back starts, one that is held back does not.

Moves of any kind are made on a rig at rest. Before a node may act on one, every waiting job is
explained; then the nodes act, and what started is held against what was said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgjobs.gathering import Surroundings
from pgjobs.plugins import Stalled
from pgjobs.rules.explaining import Explanation
from pgjobs.rules.job import FINAL, WAITING, Job, JobState
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.reasons import GlobalLimit, NoFreeSlot
from pgjobs_testing.clock import SeededRng
from tests.engine.rig import SECOND, Rig

Choose = Callable[[int], int]
"""A whole number from 0 up to, and without, its argument."""

LASTING = ("paused", "no_node", "suspended", "attempts_used")
"""Reasons that only a hand ends."""
STALLED = Stalled(interval=10, rescue_after=30)
GONE_AFTER_S = 45
QUEUES = ("wide", "narrow", "global", "rated", "closed", "ghosts")


def queues() -> dict[str, Queue]:
    return {
        "wide": Queue(concurrency=5),
        "narrow": Queue(concurrency=1),
        "global": Queue(concurrency=2, global_concurrency=3),
        "rated": Queue(concurrency=2, rate_limit=RateLimit(allowed=2, period=60)),
        "closed": Queue(concurrency=1, paused=True),
        "ghosts": Queue(concurrency=50),
    }


class Play:
    """A rig, the moves that are made on it, and what was said of its jobs."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.rig = Rig(queues(), nodes=("a", "b"), plugins=(STALLED,))
        self.rig.advance()
        self.nodes = 2
        self.said: Counter[str] = Counter()
        self.moves = (
            *[self.insert] * 6,
            self.pause,
            self.resume,
            self.everywhere,
            self.scale,
            self.cancel,
            self.retry,
            *[self.let_pass] * 3,
            *[self.leap] * 2,
            self.crash,
            self.boot,
        )

    def run(self, moves: int) -> None:
        for _ in range(moves):
            self.pick(self.moves)()
            self.observe()

    def pick(self, among: Any) -> Any:
        return among[self.choose(len(among))]

    # Moves

    def insert(self) -> None:
        queue, wait = self.pick(QUEUES), self.pick((None, 10, 10, 60))
        for _ in range(1 + self.choose(4)):
            self.rig.insert(
                "nobody" if queue == "ghosts" else "task",
                queue=queue,
                after=self.pick((None, wait)),
                takes=self.pick((20, 50, 100)),
                ends=self.pick(("ok", "fail", "snooze", "discard")),
                priority=self.choose(2),
                max_attempts=1 + self.choose(3),
            )

    def pause(self) -> None:
        self.rig.call(self.rig.client.pause(self.pick(QUEUES)))

    def resume(self) -> None:
        self.rig.call(self.rig.client.resume(self.pick(QUEUES)))

    def everywhere(self) -> None:
        client = self.rig.client
        self.rig.call(client.resume_all() if self.choose(2) else client.pause_all())

    def scale(self) -> None:
        """But of ghosts, which fail where they start, and make room for others at that instant."""
        self.rig.call(self.rig.client.scale(self.pick(QUEUES[:-1]), 1 + self.choose(3)))

    def cancel(self) -> None:
        if jobs := self.jobs():
            self.rig.call(self.rig.client.cancel(self.pick(jobs)))

    def retry(self) -> None:
        if jobs := self.jobs():
            self.rig.call(self.rig.client.retry(self.pick(jobs)))

    def let_pass(self) -> None:
        self.watch(self.pick((1, 10, 30)))

    def leap(self) -> None:
        """Time has passed that no node has acted in yet, and in which no run ends by itself."""
        members = self.rig.flow.members
        alive = {member.node.name for member in members}
        executing = [job for job in self.jobs() if job.state is JobState.EXECUTING]
        target = self.rig.clock.now() + 10 * SECOND
        ends = [member.executor.next_due() for member in members]
        if all(end is None or end > target + SECOND for end in ends) and all(
            job.attempted_by[0] in alive for job in executing
        ):
            self.rig.clock.set(target)

    def crash(self) -> None:
        """A node is gone, for so long that all know it."""
        members = self.rig.flow.members
        if members:
            self.rig.suspend(self.pick(members).node.name)
            self.watch(GONE_AFTER_S)

    def boot(self) -> None:
        if len(self.rig.flow.members) < 2:
            self.nodes += 1
            self.rig.add_node(f"node{self.nodes}")
            self.rig.advance()

    # What is said, and what comes of it

    def jobs(self) -> list[Job]:
        return self.rig.call(self.rig.client.find(None, "id", None, {}))

    def explained(self) -> dict[int, tuple[Job, Explanation]]:
        around = Surroundings(queues(), self.rig.registry, (STALLED,))
        waiting = [job for job in self.jobs() if job.state in WAITING]
        said = {
            job.id: (job, self.rig.call(self.rig.client.explain(job.id, around))) for job in waiting
        }
        self.said.update(kind for _, each in said.values() for kind in each.kinds or ("ready",))
        return said

    def observe(self) -> None:
        """The instant at which something was done, and the poll that follows."""
        said = self.explained()
        self.rig.advance()
        for job, explanation in said.values():
            if explanation.blocked:
                assert not self.started(job), f"it started all the same: {explanation}"
        if any(self.comes_due_within_a_poll(job) for job, _ in said.values()):
            return
        self.rig.advance(SECOND)
        for job, explanation in said.values():
            if explanation.ready:
                assert self.started(job), f"it did not start: {explanation}"

    def watch(self, seconds: float) -> None:
        """A while in which nobody's hand does anything."""
        said = self.explained()
        self.rig.advance(seconds)
        now = {job.id: job for job in self.jobs()}
        for job, explanation in said.values():
            if not self.started(job):
                continue
            assert not set(explanation.kinds) & set(LASTING), f"it started: {explanation}"
            at = self.first_start(job, now[job.id])
            assert at is None or at >= (explanation.earliest or at), f"too early: {explanation}"
            for reason in explanation.reasons:
                if isinstance(reason, NoFreeSlot | GlobalLimit):
                    over = [
                        each
                        for each in reason.running
                        if now[each.id].state is not JobState.EXECUTING
                        or now[each.id].attempted_at != each.since
                    ]
                    assert over, f"it started, and all of them run on: {explanation}"

    @staticmethod
    def first_start(before: Job, after: Job) -> Any:
        """When it started; None where it has started more than once since."""
        return after.attempted_at if after.attempt - before.attempt == 1 else None

    def started(self, job: Job) -> bool:
        return self.rig.job(job.id).attempted_at != job.attempted_at

    def comes_due_within_a_poll(self, job: Job) -> bool:
        now = self.rig.clock.now()
        return now < job.scheduled_at <= now + SECOND


@pytest.mark.long
@given(st.data(), st.integers(3, 20))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_what_is_said_of_waiting_jobs_comes_true(data: st.DataObject, moves: int) -> None:
    Play(lambda n: data.draw(st.integers(0, n - 1))).run(moves)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_said_of_waiting_jobs_comes_true_on_every_store(seed: int) -> None:
    rng = SeededRng(seed)
    Play(lambda n: int(rng.random("moves") * n)).run(25)


@pytest.mark.long
def test_long_plays_meet_every_reason_that_can_hold() -> None:
    said: Counter[str] = Counter()
    for seed in range(6):
        rng = SeededRng(seed)

        def choose(n: int, rng: SeededRng = rng) -> int:
            return int(rng.random("moves") * n)

        play = Play(choose)
        play.run(50)
        said += play.said
    assert set(said) >= {
        "ready",
        "scheduled",
        "retryable",
        "paused",
        "no_node",
        "no_free_slot",
        "global_limit",
        "rate_limit",
        "jobs_ahead",
        "unknown_worker",
    }


def test_a_job_that_ended_is_told_as_ended() -> None:
    rig = Rig()
    around = Surroundings(rig.queues, rig.registry)
    for ends in ("ok", "discard", "cancel"):
        job = rig.insert(ends=ends)
        rig.advance()
        told = rig.call(rig.client.explain(job, around))
        assert told.job.state in FINAL
        assert told.kinds == (told.job.state.value,)
        assert (told.waiting, told.ready, told.blocked, told.earliest) == (
            False,
            False,
            False,
            None,
        )


def test_a_silent_node_is_told_and_rescued_no_earlier_than_said() -> None:
    rig = Rig(nodes=("a", "b"), plugins=(Stalled(interval=5, rescue_after=60),))
    around = Surroundings(rig.queues, rig.registry, (Stalled(interval=5, rescue_after=60),))
    rig.advance()
    job = rig.insert(takes=10_000)
    rig.advance()
    node = rig.job(job).attempted_by[0]
    assert rig.call(rig.client.explain(job, around)).kinds == ("executing",)
    rig.suspend(node)
    rig.advance(25)
    told = rig.call(rig.client.explain(job, around))
    assert told.kinds == ("executing", "node_silent")
    silent: Any = told.reasons[1]
    assert silent.node == node
    rig.advance(silent.rescued_from - rig.clock.now())
    assert rig.job(job).attempt == 1
    rig.advance(timedelta(seconds=6))
    assert rig.job(job).attempt == 2
