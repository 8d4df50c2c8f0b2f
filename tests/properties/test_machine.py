"""The engine does nothing that the model forbids, on both stores; and the machine would notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, run_state_machine_as_test

from pgjobs import ConfigurationError, Worker, worker
from pgjobs.adapters.memory import rows as memory_rows
from pgjobs.engine import serving
from pgjobs.rules import lifecycle, ratelimit, replacing
from pgjobs.rules.control import effective
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.lifecycle import Change, Event
from pgjobs.rules.unique import UniqueRule
from pgjobs_testing import JobsMachine
from pgjobs_testing.executor import StuckWorkerError
from pgjobs_testing.properties.machine import chosen_settings
from pgjobs_testing.properties.model import ModelError
from tests.properties.machines import Counting, Dense, InMemory, OnPostgres

TestInMemory = InMemory.TestCase
TestInMemory.settings = chosen_settings(max_examples=40)


@pytest.mark.usefixtures("server")
def test_the_engine_is_as_the_model_has_it_on_postgresql():
    run_state_machine_as_test(OnPostgres, settings=chosen_settings(max_examples=8))


def test_everything_happens_in_some_runs_of_the_machine():
    """What hypothesis draws depends on which modules are loaded, even where it is not random: so there are
    a few tries, each of which draws something else by its name."""
    Counting.seen.clear()
    wanted = [
        *("insert", "conflict", "replace", "cancelled with its group"),
        *("complete", "fail", "snooze", "discard", "cancel"),
        *("by hand: cancel", "by hand: retry", "by hand: delete"),
        *("Staged", "Started", "Controlled", "Drained"),
    ]
    missing = wanted
    for n in range(10):
        machine = type(f"Counting{n}", (Counting,), {})
        run_state_machine_as_test(
            machine, settings=chosen_settings(max_examples=60, derandomize=True, database=None)
        )
        missing = [name for name in wanted if not Counting.seen[name]]
        if not missing:
            break
    assert [] == missing


# What the machine would notice: each of these was a bug of somebody's queue


def _snooze_takes_an_attempt(patch: pytest.MonkeyPatch) -> None:
    settled = lifecycle._settled

    def wrong(*given: Any) -> Change:
        change = settled(*given)
        return replace(change, attempt_by=0) if change.event is Event.SNOOZE else change

    patch.setattr(lifecycle, "_settled", wrong)


def _the_edge_of_a_period_still_counts(patch: pytest.MonkeyPatch) -> None:
    def wrong(rule: UniqueRule, job: Job, now: Any) -> bool:
        after = rule.after(now)
        since = getattr(job, rule.timestamp)
        return job.state in rule.states and (after is None or since >= after)

    patch.setattr(UniqueRule, "counts", wrong)


def _priorities_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory_rows, "claim_order", lambda job: (0, job.scheduled_at, job.id))


def _pauses_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(serving, "effective", lambda *given: replace(effective(*given), paused=False))


def _scaling_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        serving,
        "effective",
        lambda name, configured, controls: replace(
            configured, paused=effective(name, configured, controls).paused
        ),
    )


def _a_window_lets_one_more_start(patch: pytest.MonkeyPatch) -> None:
    permits = ratelimit.permits
    patch.setattr(ratelimit, "permits", lambda *given: permits(*given) + 1)


def _a_retry_by_hand_brings_no_attempt(patch: pytest.MonkeyPatch) -> None:
    retry = lifecycle.retry
    patch.setattr(lifecycle, "retry", lambda now: replace(retry(now), revive=False))


def _a_replaced_job_keeps_its_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replacing, "first_state", lambda *_: JobState.SCHEDULED)


def _a_backoff_is_one_microsecond_short(patch: pytest.MonkeyPatch) -> None:
    wait = Worker.backoff_s
    patch.setattr(Worker, "backoff_s", lambda *given: wait(*given) - 0.000_001)


FAULTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    _snooze_takes_an_attempt,
    _the_edge_of_a_period_still_counts,
    _priorities_are_ignored,
    _pauses_are_ignored,
    _scaling_is_ignored,
    _a_window_lets_one_more_start,
    _a_retry_by_hand_brings_no_attempt,
    _a_replaced_job_keeps_its_state,
    _a_backoff_is_one_microsecond_short,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_of_the_engine_is_noticed(fault, monkeypatch):
    fault(monkeypatch)
    chosen = chosen_settings(
        max_examples=300,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises(ModelError):
        run_state_machine_as_test(Dense, settings=chosen)


# What is a worker's own mistake


@worker
async def never(job: Job) -> None:
    await asyncio.Event().wait()


class Waiting(JobsMachine):
    """A worker that hangs, which only a drain notices: elsewhere it may wait for ever."""

    workers: ClassVar[Any] = {never: st.just({})}
    queues: ClassVar[Any] = {"default": 1}
    mode = "manual"


def test_a_worker_that_hangs_is_told_with_its_line_and_no_fault_of_the_engine():
    chosen = chosen_settings(
        max_examples=20, derandomize=True, database=None, phases=[Phase.generate]
    )
    with pytest.raises(
        StuckWorkerError, match=r"job \d+ of tests.*never waits in never at .*test_machine"
    ):
        run_state_machine_as_test(Waiting, settings=chosen)


class Elsewhere(JobsMachine):
    """Its worker's queue is served by no node."""

    queues: ClassVar = {"mine": 1}

    def resume_what_nobody_serves(self, made: Worker[..., Any]) -> None:
        self.begin([made.new()])
        for resume in (self.jobs.resume_all_queues, lambda: self.jobs.resume_queue("default")):
            resume()
            self.advance(timedelta(minutes=1))
            self.everything_is_as_it_ought_to_be()
        assert {"available": 1} == {
            state: n for state, n in self.jobs.count_jobs(by="state").items() if n
        }


def test_no_hand_makes_a_node_serve_a_queue_that_it_does_not_have():
    made = worker(name="elsewhere")(lambda job: None)
    machine = Elsewhere()
    try:
        machine.resume_what_nobody_serves(made)
    finally:
        machine.teardown()


@pytest.mark.parametrize(
    "own, message",
    [
        ({"worker": {}}, r"a machine has no setting 'worker': did you mean 'workers'\?"),
        ({"modes": "manual"}, r"no setting 'modes': did you mean 'mode'\?"),
        ({"longest": 5}, r"no setting 'longest': did you mean 'longest_s'\?"),
        ({"queue": {"a": 1}}, r"Wrong.queue is a method of a machine.*did you mean 'queues'\?"),
        ({"check": 3}, "Wrong.check is a method of a machine, not a setting"),
    ],
)
def test_a_misspelt_setting_of_a_machine_is_refused_as_its_class_is_made(own, message):
    with pytest.raises(ConfigurationError, match=message):
        type("Wrong", (JobsMachine,), own)


@worker(queue="load")
def load(job: Job) -> None: ...


@pytest.mark.parametrize(
    "queues", [{"laod": 1}, {"default": 1, "loads": 2}], ids=["alone", "beside another"]
)
def test_a_misspelt_queue_of_a_machine_is_refused_with_that_of_its_worker(queues):
    own = {"workers": {load: st.just({})}, "queues": queues}
    with pytest.raises(
        ConfigurationError, match=r"not 'load', which one is: did you mean 'load'\?"
    ):
        type("Wrong", (JobsMachine,), own)


@pytest.mark.parametrize(
    "queues", [{"load": 1, "loads": 1}, {"mail": 1}, {}], ids=["an extra one", "another", "none"]
)
def test_a_machine_may_serve_other_queues_than_its_workers_have(queues):
    own = {"workers": {load: st.just({})}, "queues": queues}
    assert queues == type("Right", (JobsMachine,), own).queues  # type: ignore[attr-defined]  # of a type that is made here


def test_what_a_machine_has_of_its_own_is_no_mistake():
    own = {"nodes": 2, "queued": Bundle("queued"), "worker": lambda self: None, "mode": "manual"}
    right: Any = type("Right", (JobsMachine,), own)
    assert "manual" == right.mode
