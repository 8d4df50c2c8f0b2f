"""The whole of it at once: any program of effects has the same answers and rows as in memory.

Jobs are known by the order of their insertion, since two stores give different ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import (
    Claim,
    Controls,
    Count,
    Delete,
    Effect,
    Find,
    Insert,
    Poll,
    Polled,
    ResetControl,
    SetControl,
    Settle,
    Transition,
)
from pgjobs.ports import Store
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.control import EVERY_QUEUE, Control
from pgjobs.rules.job import Cancel, Discard, Job, NewJob, Retry, Snooze
from pgjobs.rules.selection import OneOf, Selection
from pgjobs_testing.conformance.given import NOW, examples

QUEUES = ("a", "b")


@dataclass
class Side:
    """One store, with the jobs that were inserted and the claims that were made."""

    store: Store
    ordinals: dict[int, int] = field(default_factory=dict)
    claims: list[Job] = field(default_factory=list)

    def run(self, effect: Effect[Any]) -> Any:
        answer = self.store.run(effect)
        if isinstance(effect, Insert):
            for job in answer:
                self.ordinals[job.id] = len(self.ordinals)
        if isinstance(effect, Claim):
            self.claims += answer
        return self.named(answer)

    def named(self, answer: Any) -> Any:
        """The answer with ordinals in place of ids."""
        if isinstance(answer, list):
            return [self.named(item) for item in answer]
        if isinstance(answer, Job):
            return replace(answer, id=self.ordinals[answer.id])
        if isinstance(answer, Polled):
            staged = tuple((self.ordinals[job_id], queue) for job_id, queue in answer.staged)
            lost = tuple(self.ordinals[job_id] for job_id in answer.lost)
            return replace(answer, staged=staged, lost=lost)
        return answer


Step = Callable[[Side, datetime], Effect[Any]]


def _insert(jobs: tuple[NewJob, ...]) -> Step:
    return lambda _, now: Insert(jobs, now)


def _claim(queue: str | None, demand: int, token: str) -> Step:
    chosen = selection.claimable(queue)
    return lambda _, now: Claim(chosen, demand, lifecycle.claim("node", token, now))


def _settle(answers: list[tuple[int, Any]]) -> Step:
    def step(side: Side, now: datetime) -> Effect[Any]:
        chosen = [(side.claims[-1 - n], answer) for n, answer in answers if n < len(side.claims)]
        return Settle(
            tuple(
                lifecycle.release(job, now)
                if answer == "release"
                else lifecycle.settle(job, outcome.returned(answer), now, 2.0)
                for job, answer in chosen
            )
        )

    return step


def _transition(retry: bool, queue: str, limit: int) -> Step:
    chosen = Selection((OneOf("queue", (queue,)),))
    change = lifecycle.retry if retry else lifecycle.cancel
    return lambda _, now: Transition(chosen, change(now), limit)


def _delete(queue: str, limit: int) -> Step:
    return lambda _, __: Delete(Selection((OneOf("queue", (queue,)),)), limit)


def _poll(limit: int) -> Step:
    def step(side: Side, now: datetime) -> Effect[Any]:
        held = tuple((job.id, job.token) for job in side.claims)
        return Poll(lifecycle.stage(now), limit, QUEUES, held)

    return step


def _control(queue: str, control: Control | None) -> Step:
    if control is None:
        return lambda _, now: ResetControl(queue, now)
    return lambda _, now: SetControl(queue, control, now)


def steps() -> st.SearchStrategy[Step]:
    queue = st.sampled_from(QUEUES)
    limit = st.integers(0, 4)
    answers = st.sampled_from([None, Retry("r"), Snooze(3), Discard("d"), Cancel("c"), "release"])
    job = st.builds(
        NewJob,
        worker=st.just("tests.work"),
        args=st.fixed_dictionaries({"n": st.integers(0, 3)}),
        queue=queue,
        max_attempts=st.integers(1, 2),
        priority=st.integers(0, 1),
        schedule_in=st.none() | st.sampled_from([timedelta(0), timedelta(seconds=2)]),
    )
    control = st.builds(Control, paused=st.booleans(), concurrency=st.none() | st.integers(1, 9))
    return st.one_of(
        st.builds(_insert, st.lists(job, max_size=4).map(tuple)),
        st.builds(_claim, st.none() | queue, limit, st.sampled_from(["t1", "t2", "t3"])),
        st.builds(_settle, st.lists(st.tuples(st.integers(0, 5), answers), max_size=5)),
        st.builds(_transition, st.booleans(), queue, limit),
        st.builds(_delete, queue, limit),
        st.builds(_poll, limit),
        st.builds(_control, st.sampled_from([*QUEUES, EVERY_QUEUE]), st.none() | control),
    )


class Programs:
    """Tests of effects in any order."""

    @examples(80)
    @given(
        program=st.lists(st.tuples(st.integers(0, 3), steps()), max_size=20),
    )
    def test_any_program_of_effects_has_the_same_answers_and_rows_as_in_memory(
        self, store: Store, program: list[tuple[int, Step]]
    ) -> None:
        self._empty(store)
        sides = Side(MemoryStore(1)), Side(store)
        now = NOW
        for pause, step in program:
            now += timedelta(seconds=pause)
            expected, found = (side.run(step(side, now)) for side in sides)
            assert expected == found
        for effect in (Find(Selection()), Count(Selection(), "state"), Controls()):
            expected, found = (side.run(effect) for side in sides)
            assert expected == found

    def _empty(self, store: Store) -> None:
        store.run(Delete(Selection(), 100_000))
        for queue in store.run(Controls()):
            store.run(ResetControl(queue, NOW))
