"""``pgjobs doctor`` as a role that may not do what a node does; and that a node needs what it names."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from pgjobs import (
    Cron,
    PgJobs,
    Pruner,
    Queue,
    RateLimit,
    Stalled,
    Unique,
    telemetry,
    worker,
)
from pgjobs.adapters.postgres.privileges import FUNCTIONS, NEEDED

pytestmark = pytest.mark.pgjobs(mode="live")

ELIXIR = Path(__file__).parents[1] / "stores" / "elixir.sql"


@pytest.fixture
def role(empty_shell):
    """A role of this test that may log in, and nothing else."""
    ((database,),) = empty_shell.query("SELECT current_database()")
    name = f"role_{database}"
    empty_shell.query(f"CREATE ROLE {name} LOGIN PASSWORD 'open'")
    yield name
    empty_shell.query(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def as_role(empty_shell, role):
    """The DSN for that role."""
    parts = urlsplit(empty_shell.dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:open@{host}"))


def found(shell, dsn, *options, code):
    told = shell.json("doctor", "--max-offset", "60", "--dsn", dsn, *options, code=code)
    return {check["check"]: check for check in told["checks"]}


def grant_all(shell, role):
    for table, needed in NEEDED.items():
        shell.query(f"GRANT {', '.join(needed)} ON {table} TO {role}")


def test_a_role_that_may_only_read_cannot_serve(shell, role, as_role):
    shell.query(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    told = found(shell, as_role, code=2)
    assert ["server", "privileges", "migrations", "table", "clock"] == [*told]
    expected = (
        f"the role {role} lacks what a node needs: INSERT, UPDATE, DELETE on oban_jobs; "
        "INSERT, UPDATE on pgjobs_leases; INSERT, UPDATE, DELETE on pgjobs_nodes; "
        "INSERT, UPDATE on pgjobs_queues; INSERT, UPDATE on pgjobs_ticks; "
        "INSERT, UPDATE on pgjobs_unique. GRANT it, or use another role"
    )
    assert ("error", expected) == (told["privileges"]["level"], told["privileges"]["text"])


def test_a_role_that_may_read_nothing_is_told_all_that_it_lacks(shell, role, as_role):
    told = found(shell, as_role, code=2)
    assert ["server", "privileges"] == [*told]
    assert {table: [*needed] for table, needed in NEEDED.items()} == (
        told["privileges"]["details"]["lacking"]
    )


def test_a_role_that_may_not_look_into_the_schema_is_told_so(shell, role, as_role):
    shell.said("migrate", "--schema", "jobs")
    told = found(shell, as_role, "--schema", "jobs", code=2)["privileges"]
    assert ["USAGE"] == told["details"]["lacking"]["the schema"]


def test_the_sequence_and_the_functions_are_looked_at(empty_shell, role, as_role):
    empty_shell.query(ELIXIR.read_text())
    empty_shell.said("migrate")
    grant_all(empty_shell, role)
    for function in FUNCTIONS:
        empty_shell.query(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    lacking = found(empty_shell, as_role, code=2)["privileges"]["details"]["lacking"]
    assert {
        "oban_jobs_id_seq": ["USAGE"],
        "pgjobs_insert": ["EXECUTE"],
        "pgjobs_oldest": ["EXECUTE"],
    } == lacking


def test_a_client_that_may_not_serve_is_noted(shell, role, as_role, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"client_{role}"
    (tmp_path / f"{name}.py").write_text("from pgjobs import PgJobs\njobs = PgJobs(queues=False)\n")
    shell.query(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    result = shell("doctor", f"{name}:jobs", "--max-offset", "60", PGJOBS_DSN=as_role)
    assert 0 == result.exit_code, result.output
    assert "note   privileges" in result.stdout


def test_what_is_named_is_enough_to_serve(shell, role, as_role, caplog):
    grant_all(shell, role)
    told = found(shell, as_role, code=0)["privileges"]
    assert f"the role {role} may do what a node does" == told["text"]
    elected, ran = threading.Event(), threading.Semaphore(0)
    telemetry.attach("privileges", "pgjobs.leader.elected", lambda *_: elected.set())
    add = worker(name="privileges.add", unique=Unique())(lambda job: ran.release())
    queues = {"default": Queue(concurrency=5, rate_limit=RateLimit(allowed=100, period=60))}
    jobs = PgJobs(as_role, queues=queues, plugins=[Pruner(max_age=0), Stalled(), Cron([])])
    jobs.insert(add.new({"n": 0}))
    with jobs.running():
        jobs.insert_all([add.new({"n": n}) for n in range(300)])
        assert elected.wait(30)
        assert all(ran.acquire(timeout=30) for _ in range(100))
        jobs.pause_queue("default")
        jobs.reset_queue("default")
        jobs.delete_all_jobs(state="available")
    telemetry.detach("privileges")
    jobs.store.close()
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]
