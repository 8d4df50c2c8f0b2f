"""A database that Oban for Python made: adopted as it is, and its jobs seen alike from both sides."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from pgjobs import NewJob, PgJobs
from pgjobs.adapters.postgres.migrations import migrate, migrations
from pgjobs.cli import main
from pgjobs.rules.job import COLUMNS
from tests.interop.neighbours import Beside, oban

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live")]

OBANS_OWN = """
SELECT 'column', table_name, column_name, data_type, udt_name, column_default, is_nullable, is_identity
FROM information_schema.columns WHERE table_name LIKE 'oban%'
UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '', '', '' FROM pg_indexes
WHERE tablename LIKE 'oban%' AND indexname NOT LIKE 'pgjobs%'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '', ''
FROM pg_constraint WHERE conrelid::regclass::text LIKE 'oban%'
UNION ALL SELECT 'state', enumlabel, enumsortorder::text, '', '', '', '', '' FROM pg_enum
UNION ALL SELECT 'options', relname, array_to_string(reloptions, ' '), relpersistence::text, '', '', '', ''
FROM pg_class WHERE relname LIKE 'oban%' AND relkind = 'r'
UNION ALL SELECT 'function', proname, md5(prosrc), '', '', '', '', '' FROM pg_proc WHERE proname LIKE 'oban%'
UNION ALL SELECT 'trigger', tgname, tgrelid::regclass::text, '', '', '', '', '' FROM pg_trigger
ORDER BY 1, 2, 3
"""


def seen(jobs: PgJobs, job_id: int) -> dict[str, Any]:
    return {name: getattr(jobs.get_job(job_id), name) for name in FIELDS}


def seen_there(job: Any) -> dict[str, Any]:
    return {name: getattr(job, name) for name in FIELDS}


FIELDS = [name for name in COLUMNS if name not in ("tags", "errors", "attempted_by")]
GIVEN: dict[str, Any] = {
    "queue": "mail",
    "max_attempts": 7,
    "priority": 3,
    "tags": ["a", "é 日本"],
    "meta": {"trace": [1, {"x": None}]},
}
ARGS: dict[str, Any] = {"n": 1, "f": 1.5, "t": True, "none": None, "text": "é\"\\'\n", "in": [[]]}


async def test_migrating_leaves_all_that_obans_migrations_made_as_it_is(database: str):
    from oban.schema import install

    pool = await oban.Oban.create_pool(database)
    async with pool:
        await install(pool)
        with psycopg.connect(database, autocommit=True) as connection:
            before = connection.execute(OBANS_OWN).fetchall()
            assert [each.version for each in migrations()] == migrate(database)
            assert [] == migrate(database)
            assert before == connection.execute(OBANS_OWN).fetchall()
            await install(pool)
            assert before == connection.execute(OBANS_OWN).fetchall()
        async with oban.Oban(pool=pool, queues={"default": 1}) as node:  # it checks the structure
            assert node.check_queue("default").limit == 1


async def test_what_pgjobs_made_first_is_good_for_oban(database: str):
    migrate(database)
    from oban.schema import install

    pool = await oban.Oban.create_pool(database)
    async with pool:
        await install(pool)
        stored = PgJobs(database, queues=False).insert(NewJob("any.Worker", ARGS))
        assert ARGS == (await oban.Oban(pool=pool).get_job(stored.id)).args


@pytest.mark.parametrize("side", ["here", "there"])
async def test_both_see_a_job_alike_whoever_inserted_it(beside: Beside, side: str):
    at = datetime(2042, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    job_id = await beside.enqueue(side, "any.Worker", ARGS, scheduled_at=at, **GIVEN)
    here, there = beside.jobs.get_job(job_id), await beside.oban.get_job(job_id)
    assert seen(beside.jobs, job_id) == seen_there(there)
    assert ("scheduled", at, ARGS, GIVEN["meta"]) == (
        here.state,
        here.scheduled_at,
        here.args,
        here.meta,
    )
    assert (7, 3, "mail") == (here.max_attempts, here.priority, here.queue)
    assert sorted(GIVEN["tags"]) == sorted(here.tags) == sorted(there.tags)
    assert ([], []) == (there.errors, there.attempted_by)


@pytest.mark.parametrize("side", ["here", "there"])
async def test_a_job_without_options_has_the_same_defaults_whoever_inserted_it(
    beside: Beside, side: str
):
    job = beside.jobs.get_job(await beside.enqueue(side, "any.Worker"))
    assert ("available", "default", 20, 0, {}, {}, ()) == (
        job.state,
        job.queue,
        job.max_attempts,
        job.priority,
        job.args,
        job.meta,
        job.tags,
    )
    assert abs(job.scheduled_at - job.inserted_at) < timedelta(seconds=1)


async def test_a_transaction_holds_jobs_of_both_or_none(beside: Beside):
    async with await psycopg.AsyncConnection.connect(beside.dsn) as connection:
        await beside.oban.enqueue(oban.Job("any.Worker"), conn=connection)
        await connection.rollback()
    assert 0 == beside.jobs.count_jobs()


async def test_the_doctor_names_a_living_oban_and_what_cannot_hold_beside_it(beside: Beside):
    def examined() -> dict[str, Any]:
        result = CliRunner().invoke(main, ["doctor", "--json"], env={"PGJOBS_DSN": beside.dsn})
        assert 0 == result.exit_code, result.output
        checks = json.loads(result.stdout)["checks"]
        return {check["check"]: check for check in checks}

    assert "oban_jobs is as Oban for Python makes it, and pgjobs" == examined()["table"]["text"]
    assert "no Oban works on this table" == examined()["neighbours"]["text"]
    async with beside.there():
        found = examined()["neighbours"]
        assert ("note", ["there"], ["default"]) == (
            found["level"],
            found["details"]["nodes"],
            found["details"]["queues"],
        )
        for sentence in (
            "Oban works on this table (there, serving default)",
            "limits, windows and pauses of pgjobs do not bind it",
            "its time-based rescue takes jobs that still run here",
        ):
            assert sentence in found["text"]
    assert "no Oban works on this table" == examined()["neighbours"]["text"]
