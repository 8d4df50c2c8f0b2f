"""What clients do to running jobs and queues, seen from the node: cancel, delete, pause, scale, reset."""

from __future__ import annotations

import pytest

from pgjobs import Unique
from pgjobs.ports import Signal
from pgjobs.rules.options import Queue
from tests.engine.rig import Rig


def test_a_cancel_of_a_running_job_counts_at_once_and_tells_the_run():
    rig = Rig({"default": 1})
    job, waiting = rig.insert(takes=100), rig.insert()
    rig.advance(10)
    assert "cancelled" == rig.call(rig.client.cancel(job)).state
    rig.advance()
    assert [job.id] == [run.job.id for run in rig.executor.told]
    assert rig.executor.told[0].job.cancelled.is_set()
    assert ("cancelled", "completed") == (rig.job(job).state, rig.job(waiting).state)
    assert () == rig.job(job).errors


def test_a_thread_whose_job_was_cancelled_keeps_its_slot_and_its_outcome_is_late():
    rig = Rig({"default": 1})
    job, waiting = rig.insert("thread", takes=100), rig.insert()
    rig.advance(10)
    rig.call(rig.client.cancel(job))
    rig.advance(89)
    assert "available" == rig.job(waiting).state
    rig.advance(1)
    assert ("cancelled", "completed") == (rig.job(job).state, rig.job(waiting).state)
    assert [100.0] == rig.at("late")


def test_a_cancel_reaches_the_node_that_runs_the_job_and_no_other():
    rig = Rig({"default": 1}, nodes=("a", "b"))
    jobs = [rig.insert(takes=100) for _ in range(2)]
    rig.advance(10)
    rig.call(rig.client.cancel(jobs[1]))
    rig.advance(1)
    told = [[run.job.id for run in rig.executor_of(n).told] for n in (0, 1)]
    assert [[], [jobs[1].id]] == sorted(told)
    assert "executing" == rig.job(jobs[0]).state


def test_a_job_retried_by_hand_after_its_cancel_runs_beside_its_first_run():
    rig = Rig({"default": 2})
    job = rig.insert("thread", takes=100)
    rig.advance(10)
    rig.call(rig.client.cancel(job))
    rig.call(rig.client.retry(job))
    rig.advance(85)
    assert ("executing", 2) == (rig.job(job).state, rig.job(job).attempt)
    assert 2 == len(rig.executor.running)
    assert [True, False] == [run.job.cancelled.is_set() for run in rig.executor.started]
    rig.advance(10)
    assert "executing" == rig.job(job).state
    rig.advance(20)
    assert ("completed", 110.0) == (rig.job(job).state, rig.at("completed")[0])


@pytest.mark.parametrize("worker, late", [("task", []), ("thread", [100.0])])
def test_a_neighbour_that_asks_for_a_cancel_has_the_node_save_it(worker: str, late: list[float]):
    rig = Rig({"default": 3}, nodes=("a", "b"))
    job, other = rig.insert(worker, takes=100), rig.insert(takes=50)
    rig.advance(10)
    for _ in range(2):  # doubled, as one to each of two nodes is
        asked = Signal("kill", job_id=job.id)
        for member in rig.flow.members:
            member.session._hear(asked)
    rig.advance()
    after = rig.job(job)
    assert ("cancelled", rig.clock.now(), ()) == (after.state, after.cancelled_at, after.errors)
    (told,) = [run for n in (0, 1) for run in rig.executor_of(n).told]
    assert (job.id, True) == (told.job.id, told.job.cancelled.is_set())
    rig.advance(100)
    assert ("cancelled", "completed") == (rig.job(job).state, rig.job(other).state)
    assert late == rig.at("late")


def test_a_neighbours_cancel_counts_for_the_run_that_it_met_and_no_later_one():
    rig = Rig({"default": 1})
    job = rig.insert(takes=10)
    rig.advance(11)
    rig.member.session._hear(Signal("kill", job_id=job.id))
    rig.call(rig.client.retry(job))
    rig.advance(11)
    assert ("completed", 2) == (rig.job(job).state, rig.job(job).attempt)
    assert [] == rig.executor.told


def test_a_neighbours_cancel_of_a_unique_job_is_that_jobs_alone():
    rig = Rig({"default": 1})
    task = rig.registry.by_name["task"]
    (job,) = rig.call(rig.client.insert_all([task.new({"takes": 100}, unique=Unique())]))
    rig.advance(1)
    other = task.new({"takes": 100}, unique=Unique(states=("scheduled",)), schedule_in=1_000)
    (twin,) = rig.call(rig.client.insert_all([other]))
    rig.member.session._hear(Signal("kill", job_id=job.id))
    rig.advance()
    assert job.meta.items() & twin.meta.items()  # one fingerprint
    assert ("cancelled", "scheduled") == (rig.job(job).state, rig.job(twin).state)


def test_a_job_deleted_while_it_runs_is_told_and_stops_nothing():
    rig = Rig({"default": 1})
    job, waiting = rig.insert(takes=100), rig.insert()
    rig.advance(10)
    rig.call(rig.client.delete(job))
    rig.advance()
    assert [job.id] == [run.job.id for run in rig.executor.told]
    assert {"completed": 1} == rig.states()
    assert "completed" == rig.job(waiting).state


def test_a_thread_whose_job_was_deleted_ends_late_and_stops_nothing():
    rig = Rig({"default": 1})
    job, waiting = rig.insert("thread", takes=10), rig.insert()
    rig.advance(5)
    rig.call(rig.client.delete(job))
    rig.advance(10)
    assert {"completed": 1} == rig.states()
    assert [10.0] == rig.at("late")
    assert "completed" == rig.job(waiting).state


@pytest.mark.parametrize("state, ends", [("scheduled", None), ("retryable", "fail")])
def test_a_waiting_job_that_is_cancelled_never_starts(state: str, ends: str | None):
    rig = Rig()
    job = rig.insert(after=5) if ends is None else rig.insert(ends=ends)
    rig.advance(1)
    assert state == rig.job(job).state
    rig.call(rig.client.cancel(job))
    starts = len(rig.of("start"))
    rig.advance(100)
    assert starts == len(rig.of("start"))
    assert "cancelled" == rig.job(job).state


@pytest.mark.parametrize("state", ["completed", "discarded", "cancelled"])
def test_a_finished_job_retried_by_hand_runs_again_at_once(state: str):
    rig = Rig()
    ends = {"completed": "ok", "discarded": "discard", "cancelled": "cancel"}[state]
    job = rig.insert(ends=ends, max_attempts=1)
    rig.advance(5)
    assert state == rig.job(job).state
    rig.call(rig.client.retry(job))
    rig.advance()
    assert [0, 5] == rig.at("start")
    assert (2, 2) == (rig.job(job).attempt, rig.job(job).max_attempts)


def test_a_paused_queue_starts_nothing_and_what_runs_goes_on():
    rig = Rig({"default": 1, "other": 1})
    first = rig.insert(takes=10)
    rig.advance(1)
    rig.call(rig.client.pause("default"))
    second, elsewhere = rig.insert(), rig.insert(queue="other")
    rig.advance(100)
    assert ["completed", "available", "completed"] == [
        rig.job(job).state for job in (first, second, elsewhere)
    ]
    rig.call(rig.client.resume("default"))
    rig.advance()
    assert "completed" == rig.job(second).state


def test_a_pause_that_was_heard_of_holds_before_it_is_read():
    rig = Rig()
    rig.advance(1)
    rig.call(rig.client.pause("default"))
    job = rig.insert()
    rig.advance(10)
    assert "available" == rig.job(job).state


def test_a_queue_scaled_up_fills_at_once_and_scaled_down_drains_first():
    rig = Rig({"default": 2})
    for _ in range(20):
        rig.insert(takes=10)
    rig.advance(1)
    rig.call(rig.client.scale("default", 5))
    rig.advance()
    assert 5 == len(rig.executor.running)
    rig.call(rig.client.scale("default", 1))
    rig.advance(9.5)
    assert 3 == len(rig.executor.running)
    rig.advance(10)
    assert 1 == len(rig.executor.running)
    assert 5 == rig.executor.most


def test_a_reset_queue_is_served_as_it_is_configured():
    rig = Rig({"default": 2})
    rig.call(rig.client.scale("default", 1))
    rig.call(rig.client.pause("default"))
    for _ in range(4):
        rig.insert(takes=10)
    rig.advance(1)
    assert 0 == len(rig.executor.started)
    rig.call(rig.client.reset("default"))
    rig.advance()
    assert 2 == len(rig.executor.running)


def test_every_queue_is_paused_and_resumed_with_the_exception_of_later_ones_by_hand():
    rig = Rig({"a": 1, "b": Queue(1, paused=True)})
    rig.call(rig.client.pause("a"))
    rig.call(rig.client.pause_all())
    rig.call(rig.client.resume("a"))
    one, two = rig.insert(queue="a"), rig.insert(queue="b")
    rig.advance(5)
    assert ("completed", "available") == (rig.job(one).state, rig.job(two).state)
    rig.call(rig.client.resume_all())
    rig.advance()
    assert "completed" == rig.job(two).state


def test_a_pause_of_every_queue_replaces_what_single_queues_were_set_to():
    rig = Rig({"a": 1})
    rig.call(rig.client.resume("a"))
    rig.call(rig.client.pause_all())
    job = rig.insert(queue="a")
    rig.advance(5)
    assert "available" == rig.job(job).state


def test_a_queue_reset_while_every_queue_is_paused_is_served_as_it_is_configured():
    rig = Rig({"a": 1, "b": 1})
    rig.call(rig.client.pause_all())
    rig.call(rig.client.reset("a"))
    one, two = rig.insert(queue="a"), rig.insert(queue="b")
    rig.advance(5)
    assert ("completed", "available") == (rig.job(one).state, rig.job(two).state)
    assert not rig.call(rig.client.check("a")).paused


def test_what_was_set_by_hand_outlives_the_node():
    rig = Rig({"a": 1})
    rig.call(rig.client.pause("a"))
    rig.advance(1)
    rig.stop(grace=0)
    rig.advance(1)
    rig.add_node("b")
    job = rig.insert(queue="a")
    rig.advance(5)
    assert "available" == rig.job(job).state


def test_a_changed_configuration_wins_over_the_hand():
    rig = Rig({"a": 1})
    rig.call(rig.client.scale("a", 5))
    rig.stop(grace=0)
    rig.advance(1)
    rig.queues = {"a": Queue(3)}
    rig.add_node("b")
    for _ in range(9):
        rig.insert(queue="a", takes=10)
    rig.advance(5)
    assert 3 == len(rig.executor_of(1).running)


def test_the_check_of_a_queue_counts_over_all_nodes():
    rig = Rig({"default": 1}, nodes=("a", "b"))
    for _ in range(5):
        rig.insert(takes=10)
    rig.advance(5)
    rig.call(rig.client.scale("default", 1))
    status = rig.call(rig.client.check("default"))
    assert ("default", 1, False, 2, 3) == (
        status.queue,
        status.concurrency,
        status.paused,
        status.running,
        status.available,
    )
