"""Behind a pooler in transaction mode: no notification is heard, and all is found by polling."""

from __future__ import annotations

import threading

import psycopg
import pytest

from pgjobs import Job, PgJobs, worker
from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing.conformance.sessions import listening, opened
from pgjobs_testing.servers import Server
from tests.pooler.pgbouncer import Pooled

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live")]

POLL_S = 0.5
SLACK_S = 1.0
PATIENCE_S = 30


@pytest.fixture
def pooled(server: Server) -> Pooled:
    if not isinstance(server, Pooled):
        pytest.skip("no PgBouncer stands before the server: `make test-pooler` puts one there")
    return server


@pytest.fixture
def dsn(pooled: Pooled, database: str) -> str:
    migrate(database)
    return database


@pytest.fixture
def jobs(dsn: str) -> PgJobs:
    return PgJobs(dsn, queues={"default": 10}, poll_interval=POLL_S)


def test_a_due_job_starts_within_the_poll_interval(jobs: PgJobs):
    started: list[float] = []
    ran = threading.Semaphore(0)

    @worker(name="due")
    def due(job: Job) -> None:
        started.append((job.attempted_at - job.scheduled_at).total_seconds())  # type: ignore[operator]  # a run has both
        ran.release()

    with jobs.running():
        for _ in range(3):
            jobs.insert(due.new())
            assert ran.acquire(timeout=PATIENCE_S)
        jobs.insert(due.new({}, schedule_in=0.7))
        assert ran.acquire(timeout=PATIENCE_S)
    assert max(started) < POLL_S + SLACK_S


def test_a_cancel_of_a_running_job_is_seen_within_the_poll_interval(jobs: PgJobs, dsn: str):
    started, told = threading.Event(), threading.Event()

    @worker(name="patient")
    def patient(job: Job) -> None:
        started.set()
        if job.cancelled.wait(PATIENCE_S):
            told.set()

    with jobs.running():
        job = jobs.insert(patient.new())
        assert started.wait(PATIENCE_S)
        assert "cancelled" == PgJobs(dsn, queues=False).cancel_job(job).state
        assert told.wait(POLL_S + SLACK_S)
    assert "cancelled" == jobs.get_job(job).state


def test_a_pause_and_a_resume_are_seen_within_the_poll_interval(jobs: PgJobs, dsn: str):
    ran = threading.Semaphore(0)

    @worker(name="quick")
    def quick(job: Job) -> None:
        ran.release()

    operator = PgJobs(dsn, queues=False)
    with jobs.running():
        jobs.insert(quick.new())
        assert ran.acquire(timeout=PATIENCE_S)
        operator.pause_queue("default")
        assert not ran.acquire(timeout=POLL_S + SLACK_S)  # by then it is seen
        jobs.insert(quick.new())
        assert not ran.acquire(timeout=2 * POLL_S)
        operator.resume_queue("default")
        assert ran.acquire(timeout=POLL_S + SLACK_S)


def test_a_thousand_jobs_of_two_nodes_run_once_each_though_no_session_lasts(dsn: str):
    ran: list[int] = []
    done = threading.Semaphore(0)

    @worker(name="count")
    async def count(job: Job) -> None:
        ran.append(job.id)
        done.release()

    nodes = [PgJobs(dsn, name=name, queues={"default": 20}) for name in ("one", "two")]
    with nodes[0].running(), nodes[1].running():
        for _ in range(10):
            nodes[0].insert_all(count.new() for _ in range(100))
        for _ in range(1_000):
            assert done.acquire(timeout=PATIENCE_S)
    assert [*range(1, 1_001)] == sorted(ran)
    assert {"completed": 1_000} == nodes[0].count_jobs("state")


def test_no_server_process_is_left_listening(pooled: Pooled, jobs: PgJobs, dsn: str):
    """The pooler would hand such a process, and what it hears, to clients that never asked."""
    with psycopg.connect(pooled.past(dsn), autocommit=True) as ear, jobs.running():
        clients = [psycopg.connect(dsn, autocommit=True) for _ in range(20)]
        for client in clients:
            client.execute("BEGIN")  # holds a process of its own
            assert [] == client.execute("SELECT pg_listening_channels()").fetchall()
        for client in clients:
            client.close()
        assert (
            []
            == ear.execute(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
                " AND query LIKE 'LISTEN%'"
            ).fetchall()
        )


def test_a_pooler_in_session_mode_leaves_notifications_as_they_are(pooled: Pooled, dsn: str):
    with Pooled(pooled.behind, "session") as sessions:
        store = PostgresStore(sessions.through(dsn))
        with opened(store) as session:
            listening(store, session)
        store.close()


def test_migrating_again_and_again_leaves_nothing_in_the_way_of_the_next(dsn: str):
    for n in range(12):
        assert [] == migrate(dsn)
        assert migrate(dsn, f"other_{n}")
