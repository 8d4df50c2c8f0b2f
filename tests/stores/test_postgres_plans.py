"""How PostgreSQL carries statements out when its statistics are at their worst."""

import json
import os
from datetime import timedelta

import psycopg
import pytest

from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.statements import plan
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Claim, Delete, Find, Poll, Settle
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.job import JobState
from pgjobs.rules.lifecycle import Change, Event, Settlement
from pgjobs.rules.selection import AtMost, OneOf, Selection
from pgjobs_testing.conformance.given import NOW

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

BY_STATE = "oban_jobs_state_queue_priority_scheduled_at_id_index"
STAGING = "oban_jobs_staging_index"
KEY = "oban_jobs_pkey"

FILL = """
INSERT INTO oban_jobs (state, queue, worker, attempt, attempted_by, inserted_at, scheduled_at, completed_at)
SELECT (%s::text)::oban_job_state, %s, 'w', 1, '{n,t}', t, t + n * interval '1 ms',
  CASE %s::text WHEN 'completed' THEN t END
FROM generate_series(1, %s) AS n, (SELECT '2029-01-01'::timestamp AS t) AS x
"""


@pytest.fixture(scope="module")
def dsn(server):
    yield server.create_database(f"plans{os.getpid()}")
    server.drop_database(f"plans{os.getpid()}")


@pytest.fixture(scope="module")
def connection(dsn):
    """A large table: 60,000 completed, 20,000 available in two queues, 20,000 scheduled far ahead."""
    migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE oban_jobs SET (autovacuum_enabled = false)")
        for state, queue, count in (
            ("completed", "default", 60_000),
            ("available", "default", 10_000),
            ("available", "mail", 10_000),
            ("scheduled", "default", 20_000),
        ):
            connection.execute(FILL, (state, queue, state, count))
        connection.execute(
            "UPDATE oban_jobs SET scheduled_at = scheduled_at + interval '10 years' "
            "WHERE state = 'scheduled'"
        )
        connection.execute("VACUUM ANALYZE oban_jobs")
        yield connection


def explained(connection, effect, *, generic=False):
    """Every node of the plan of ``effect``."""
    (statement,) = plan(effect, Names("public")).statements
    mode = "force_generic_plan" if generic else "force_custom_plan"
    connection.execute(f"SET plan_cache_mode = {mode}")
    cursor = psycopg.RawCursor(connection)
    types = ", ".join(["text"] * len(statement.parameters))
    values = ", ".join(
        "NULL" if value is None else psycopg.sql.quote(value) for value in statement.parameters
    )
    cursor.execute(f"PREPARE explained ({types}) AS {statement.sql}")
    try:
        cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE explained ({values})")
        ((found,),) = cursor.fetchall()
    finally:
        cursor.execute("DEALLOCATE explained")
    found = json.loads(found) if isinstance(found, str) else found
    return list(nodes(found[0]["Plan"]))


def nodes(node):
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


def scanned(found):
    """The indexes that are used, and the tables that are scanned whole."""
    indexes = {node["Index Name"] for node in found if "Index Name" in node}
    whole = {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"}
    return indexes, whole


@pytest.mark.parametrize("generic", [False, True])
def test_a_claim_reads_the_head_of_its_queue_and_sorts_nothing(connection, generic):
    claim = Claim(selection.claimable("mail"), 200, lifecycle.claim("node", "token", NOW))
    found = explained(connection, claim, generic=generic)
    assert ({BY_STATE, KEY}, set()) == scanned(found)
    assert "Sort" not in {node["Node Type"] for node in found}
    head = next(node for node in found if node.get("Index Name") == BY_STATE)
    for column in ("state", "queue"):
        assert f"({column} = " in head["Index Cond"]


@pytest.mark.parametrize("generic", [False, True])
def test_a_settlement_finds_its_rows_by_id_after_the_worst_analyze(connection, generic):
    change = Change(Event.COMPLETE, JobState.COMPLETED, NOW)
    connection.execute("ANALYZE oban_jobs")  # none is executing
    ids = connection.execute("SELECT id FROM oban_jobs WHERE queue = 'mail' LIMIT 200")
    batch = tuple(Settlement(job_id, "t", change) for (job_id,) in ids)
    found = explained(connection, Settle(batch), generic=generic)
    assert ({KEY}, set()) == scanned(found)


@pytest.mark.parametrize("generic", [False, True])
def test_a_poll_reads_ranges_of_indexes_alone(connection, generic):
    held = tuple((n, "t") for n in range(1, 200))
    poll = Poll(lifecycle.stage(NOW), 5_000, ("default", "mail", "none"), held)
    indexes, whole = scanned(explained(connection, poll, generic=generic))
    assert {BY_STATE, STAGING, KEY} == indexes
    assert whole <= {"pgjobs_queues"}


def test_a_poll_of_a_large_table_touches_few_pages(connection):
    (statement,) = plan(
        Poll(lifecycle.stage(NOW), 5_000, ("default", "mail", "none")), Names("public")
    ).statements
    connection.execute("SET plan_cache_mode = auto")
    cursor = psycopg.RawCursor(connection)
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}", statement.parameters)
    ((found,),) = cursor.fetchall()
    top = found[0]["Plan"]
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 100


def test_a_page_of_jobs_in_order_is_read_from_an_index(connection):
    found = explained(connection, Find(Selection(), "-id", 50))
    assert ({KEY}, set()) == scanned(found)
    found = explained(connection, Find(selection.by_id(70_000)))
    assert ({KEY}, set()) == scanned(found)


def test_what_a_lost_claim_took_is_looked_for_among_what_is_executing(connection):
    indexes, whole = scanned(
        explained(connection, Find(selection.claimed_under("token", "default")))
    )
    assert {BY_STATE} == indexes
    assert set() == whole


def test_old_rows_to_be_deleted_are_found_by_an_index(connection):
    chosen = Selection(
        (OneOf("state", (JobState.COMPLETED,)), AtMost("completed_at", NOW - timedelta(days=9_000)))
    )
    indexes, whole = scanned(explained(connection, Delete(chosen, 1_000)))
    assert "oban_jobs_completed_at_index" in indexes
    assert set() == whole


def test_a_claim_of_a_table_that_grew_since_its_statistics_still_uses_the_index(dsn):
    """The statistics say that the table is nearly empty; it is not any more."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA grown")
    store = PostgresStore(dsn, schema="grown")
    store.migrate()
    store.query('ANALYZE "grown".oban_jobs')
    store.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET search_path = grown")
        connection.execute("ALTER TABLE oban_jobs SET (autovacuum_enabled = false)")
        connection.execute(FILL, ("available", "default", "available", 30_000))
        claim = Claim(selection.claimable("default"), 200, lifecycle.claim("n", "t", NOW))
        (statement,) = plan(claim, Names("grown")).statements
        cursor = psycopg.RawCursor(connection)
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.parameters)
        ((found,),) = cursor.fetchall()
    indexes, whole = scanned(list(nodes(found[0]["Plan"])))
    assert {BY_STATE, KEY} == indexes
    assert set() == whole
