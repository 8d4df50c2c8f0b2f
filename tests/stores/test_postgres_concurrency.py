"""Many at once: no job is claimed twice, no outcome counts twice, nothing waits for another for ever."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Count, Delete, Poll, Settle, Transition
from pgjobs.rules import lifecycle, outcome
from pgjobs.rules.errors import StoreError, StoreUnavailableError
from pgjobs.rules.job import JobState
from pgjobs.rules.selection import Selection, claim_order
from pgjobs_testing.conformance.given import NOW, SECOND, claim, every, ids, insert, new
from tests.stores.conftest import blocked

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


def together(*functions):
    """Run them in threads that begin at the same time; their results."""
    barrier = threading.Barrier(len(functions))

    def begin(function):
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(begin, functions))


@pytest.mark.parametrize("count,queue,demand", [(2_000, "q0", 37), (300, None, 1)])
def test_four_claimers_of_many_jobs_never_get_one_twice(postgres, count, queue, demand):
    queues = 7 if queue is None else 1
    insert(postgres, *[new(priority=n % 4, queue=f"q{n % queues}") for n in range(count)])

    def claimer(name):
        def run():
            taken: list[int] = []
            while batch := claim(postgres, f"{name}-{len(taken)}", queue=queue, demand=demand):
                assert sorted(batch, key=claim_order) == batch
                taken += ids(batch)
            return taken

        return run

    taken = together(*map(claimer, "abcd"))
    assert {1} == set(Counter(job_id for one in taken for job_id in one).values())
    assert count == sum(map(len, taken))


def test_one_outcome_counts_when_two_nodes_settle_the_same_claims(postgres):
    insert(postgres, *[new() for _ in range(200)])
    jobs = claim(postgres, demand=200)
    done = tuple(lifecycle.settle(job, outcome.COMPLETED, NOW) for job in jobs)
    failed = tuple(lifecycle.settle(job, outcome.returned(None), NOW) for job in reversed(jobs))
    while True:
        try:
            first, second = together(
                lambda: postgres.run(Settle(done)), lambda: postgres.run(Settle(failed))
            )
        except StoreError:  # opposing orders may deadlock: one is rolled back, and sent again
            continue
        break
    counts = [one + other for one, other in zip(first, reversed(second), strict=True)]
    assert max(counts) <= 1
    assert {"completed": 200} == postgres.run(Count(Selection(), "state"))


def test_a_cancellation_and_an_outcome_at_the_same_time_leave_one_of_them(postgres):
    for _ in range(20):
        (job,) = insert(postgres, new())
        (job,) = claim(postgres)
        settlement = lifecycle.settle(job, outcome.COMPLETED, NOW)
        (counted,), cancelled = together(
            lambda one=settlement: postgres.run(Settle((one,))),
            lambda: postgres.run(Transition(Selection(), lifecycle.cancel(NOW), 10)),
        )
        assert counted != bool(cancelled)
        (found,) = [one for one in every(postgres) if one.id == job.id]
        assert found.state is (JobState.COMPLETED if counted else JobState.CANCELLED)


def test_nodes_that_poll_at_the_same_time_stage_each_job_once(postgres):
    jobs = insert(postgres, *[new(schedule_in=SECOND) for _ in range(3_000)])
    poll = Poll(lifecycle.stage(NOW + SECOND), 700, ("default",))
    polled = together(*[lambda: [postgres.run(poll) for _ in range(3)]] * 4)
    staged = [job_id for polls in polled for one in polls for job_id, _ in one.staged]
    assert sorted(ids(jobs)) == sorted(staged)


def test_a_poll_does_not_wait_for_rows_that_another_node_is_staging(dsn, postgres):
    first, second = insert(postgres, new(schedule_in=SECOND), new(schedule_in=2 * SECOND))
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (first.id,))
        polled = postgres.run(Poll(lifecycle.stage(NOW + SECOND), 10, ()))
        assert () == polled.staged
        assert second.scheduled_at == polled.next_due


def test_a_claim_does_not_wait_for_rows_that_another_node_is_claiming(dsn, postgres):
    first, second = insert(postgres, new(), new())
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (first.id,))
        assert [second.id] == ids(claim(postgres))
    assert [first.id] == ids(claim(postgres, "later"))


def test_inserts_from_many_threads_keep_their_order_each(postgres):
    def inserter(name):
        def run():
            return [
                insert(postgres, *[new(args={"name": name, "n": n}) for n in range(50)])
                for _ in range(5)
            ]

        return run

    for batches in together(*map(inserter, "abcdef")):
        for batch in batches:
            assert sorted(ids(batch)) == ids(batch)
            assert [*range(50)] == [job.args["n"] for job in batch]
    assert 6 * 5 * 50 == len(every(postgres))


def test_a_large_insert_is_all_or_nothing(postgres):
    jobs = [new() for _ in range(12_000)]
    jobs[11_999] = new(queue="")  # the table refuses it
    with pytest.raises(StoreError):
        insert(postgres, *jobs)
    assert [] == every(postgres)
    assert 1 == len(insert(postgres, new()))


def test_mass_changes_of_the_same_jobs_do_not_wait_for_one_another_in_a_ring(dsn, postgres):
    """However their ids and their due instants run against one another."""
    jobs = insert(postgres, *[new(schedule_in=(400 - n) * SECOND) for n in range(400)])
    chosen = Selection().named(ids(jobs))
    changes = [
        Transition(chosen, lifecycle.cancel(NOW), 1_000),
        Transition(Selection(), lifecycle.cancel(NOW), 1_000),
        Transition(chosen.named(ids(reversed(jobs))), lifecycle.retry(NOW), 1_000),
        Delete(chosen, 1_000),
        Delete(Selection(), 300),
    ]
    with psycopg.connect(dsn) as other, ThreadPoolExecutor(len(changes)) as pool:
        middle = jobs[200].id
        other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (middle,))
        done = [pool.submit(postgres.run, change) for change in changes]
        for _ in range(10_000):
            if len(blocked(other)) == len(changes):
                break
        else:
            raise AssertionError("not all of them came to wait for the row in the middle")
        other.rollback()
        assert 400 <= sum(len(each.result(timeout=30)) for each in done)
    assert [] == every(postgres)


def test_a_deadlock_is_told_as_unavailable_and_leaves_the_connection_usable(dsn, postgres):
    first, second = insert(postgres, new(), new())
    cancel = Transition(Selection(), lifecycle.cancel(NOW), 10)
    with psycopg.connect(dsn) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SET LOCAL deadlock_timeout = '1min'")  # it is not the one to notice
        other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (second.id,))
        cancelling = pool.submit(postgres.run, cancel)  # locks the first, waits for the second
        for _ in range(10_000):
            if blocked(other):
                break
        other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (first.id,))
        with pytest.raises(StoreUnavailableError, match="deadlock"):
            cancelling.result(timeout=30)
    assert 2 == len(postgres.run(cancel))


def test_two_stores_on_one_database_see_the_same(dsn, postgres):
    other = PostgresStore(dsn, pool_size=1)
    jobs = insert(postgres, new(), new())
    assert jobs == every(other)
    other.close()
