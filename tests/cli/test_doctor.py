"""``pgjobs doctor``: what it finds, and the exit code for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pgjobs.adapters.postgres.inspecting import Server, Tables
from pgjobs.cli import checks
from pgjobs.cli.checks import Finding, Level
from pgjobs.rules.job import COLUMNS, JobState

pytestmark = pytest.mark.pgjobs(mode="live")

ELIXIR = Path(__file__).parents[1] / "stores" / "elixir.sql"
HEALTHY = """
LEVEL  CHECK       FOUND
ok     server      PostgreSQL VERSION, database DATABASE, schema public
ok     privileges  the role ROLE may do what a node does
ok     migrations  all COUNT applied
ok     table       oban_jobs is as Oban for Python makes it, and pgjobs
ok     clock       within 60 s of the server's
ok     depth       no available job (no --max-depth was given)
ok     nodes       no node of pgjobs beats
ok     running     no job has been executing for more than 3600 s
ok     neighbours  no Oban works on this table
all is well
"""


def examined(shell, *options, code):
    """The findings by check."""
    found = shell.json("doctor", "--max-offset", "60", *options, code=code)
    assert code == found["exit_code"]
    return {check["check"]: check for check in found["checks"]}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Writes a module with an application, and names it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def made(source):
        name = f"shop_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(f"from pgjobs import *\n{source}\n")
        return f"{name}:jobs"

    return made


def test_a_healthy_database_is_fine(shell):
    ((version, database, role, count),) = shell.query(
        "SELECT split_part(current_setting('server_version'), ' ', 1), current_database(),"
        " current_user::text,"
        " (SELECT count(*) FROM pgjobs_migrations)"
    )
    expected = HEALTHY.lstrip().replace("VERSION", version).replace("DATABASE", database)
    expected = expected.replace("ROLE", role)
    assert expected.replace("COUNT", str(count)) == shell.said("doctor", "--max-offset", "60")


def test_a_database_without_the_tables_cannot_be_run_on(empty_shell):
    found = examined(empty_shell, code=2)
    assert ["server", "migrations", "table", "clock"] == [*found]
    assert "error" == found["migrations"]["level"]
    assert "there is no table oban_jobs. Run `pgjobs migrate`" == found["table"]["text"]


@pytest.mark.parametrize("options", [(), ("--schema", "jobs")])
def test_the_remedy_names_the_schema_and_is_one(empty_shell, shop, options):
    app = shop("import os\njobs = PgJobs(os.environ['PGJOBS_DSN'], schema='jobs')")
    found = examined(empty_shell, *options, *(() if options else (app,)), code=2)
    remedy = "pgjobs migrate --schema jobs"
    assert (
        "there is no table oban_jobs. Run `pgjobs migrate --schema jobs`" == found["table"]["text"]
    )
    assert found["migrations"]["text"].endswith(f"Run `{remedy}`")
    empty_shell.said(*remedy.split()[1:])
    assert "table" in examined(empty_shell, "--schema", "jobs", code=0)


def test_the_schema_of_an_applications_store_holds_for_another_database_too(shell, shop):
    app = shop(
        "from pgjobs import PostgresStore\n"
        "jobs = PgJobs(store=PostgresStore('postgresql://x', schema='jobs'))"
    )
    shell.said("migrate", "--schema", "jobs")
    told = examined(shell, app, "--dsn", shell.dsn, code=0)
    assert "jobs" == told["server"]["details"]["schema"]


def test_a_pending_migration_is_an_error_and_a_newer_one_is_noted(shell):
    shell.query("INSERT INTO pgjobs_migrations (version) VALUES (9000)")
    found = examined(shell, code=0)
    assert "note" == found["migrations"]["level"]
    assert "9000 was applied by a newer pgjobs" in found["migrations"]["text"]
    shell.query("DELETE FROM pgjobs_migrations WHERE version = 2")
    found = examined(shell, code=2)
    assert "not applied: 2. Run `pgjobs migrate`" == found["migrations"]["text"]


@pytest.mark.parametrize(
    "dsn, message",
    [
        ("postgresql://nobody:secret@127.0.0.1:1/x", "Connection refused"),
        ("postgresql+psycopg://nobody:secret@x/x", "the DSN cannot be read"),
    ],
)
def test_a_database_that_cannot_be_reached_cannot_be_run_on(shell, dsn, message):
    found = examined(shell, "--dsn", dsn, code=2)
    assert ["server"] == [*found]
    assert message in found["server"]["text"]
    assert "secret" not in found["server"]["text"]


def test_no_database_at_all_is_a_usage_error(shell):
    refused = shell("doctor", PGJOBS_DSN="")
    assert (2, "") == (refused.exit_code, refused.stdout)


def test_the_table_of_oban_for_elixir_is_recognised(empty_shell):
    empty_shell.query(ELIXIR.read_text())
    empty_shell.said("migrate")
    found = examined(empty_shell, code=0)
    text = "oban_jobs is as Oban for Elixir makes it, at its migration 12"
    assert text == found["table"]["text"]


def test_a_table_of_oban_for_elixir_needs_a_migration_and_no_other_remedy(empty_shell):
    empty_shell.query(ELIXIR.read_text())
    found = examined(empty_shell, code=2)
    remedy = "oban_jobs lacks the state suspended. Run `pgjobs migrate`, which adds it"
    assert remedy == found["table"]["text"]
    assert ["suspended"] == found["table"]["details"]["missing_states"]
    empty_shell.said("migrate")
    assert "ok" == examined(empty_shell, code=0)["table"]["level"]


def test_a_table_of_another_is_no_table_to_migrate(empty_shell):
    empty_shell.query("CREATE TABLE oban_jobs (id bigint, queue text)")
    found = examined(empty_shell, code=2)["table"]
    assert found["text"].startswith("oban_jobs lacks state, worker, args")
    assert found["text"].endswith("or where it is not Oban's choose another schema")


def test_a_table_that_lacks_a_column_cannot_be_run_on(shell):
    shell.query("ALTER TABLE oban_jobs DROP COLUMN meta")
    found = examined(shell, code=2)
    assert ["meta"] == found["table"]["details"]["missing_columns"]
    assert "oban_jobs lacks meta" in found["table"]["text"]


@pytest.mark.parametrize(
    "options, code, text",
    [
        ((), 0, "1 available job in 1 queue (no --max-depth was given)"),
        (("--max-depth", "1"), 0, "1 available job in 1 queue"),
        (("--max-depth", "0"), 1, "available jobs: mail has 1, more than 0"),
        (("--max-depth", "mail=0"), 1, "available jobs: mail has 1, more than 0"),
        (("--max-depth", "0", "--max-depth", "mail=5"), 0, "1 available job in 1 queue"),
        (("--max-depth", "pack=0"), 0, "1 available job in 1 queue"),
    ],
)
def test_a_deep_queue_alerts(stored, options, code, text):
    found = examined(stored, *options, code=code)
    assert text == found["depth"]["text"]
    assert {"mail": 1} == found["depth"]["details"]["available"]


@pytest.mark.parametrize("given", ["x", "=3", "mail=", "-1", "mail=1.5", "9" * 19])
def test_a_depth_that_is_none_is_refused(shell, given):
    message = f"a number, or QUEUE=NUMBER, is taken, not {given!r}"
    assert message in shell.refusal("doctor", f"--max-depth={given}", code=2)


@pytest.mark.parametrize("option", ["--max-running", "--max-offset"])
@pytest.mark.parametrize("given", ["nan", "inf"])
def test_seconds_that_are_no_number_are_refused(shell, option, given):
    refused = shell.refusal("doctor", option, given, code=2)
    assert f"Invalid value for '{option}': a number of seconds is taken, not {given}" == refused


def test_nothing_has_been_executing_for_longer_than_time_is_told(stored):
    found = examined(stored, "--max-running", "1e300", code=0)
    assert "no job has been executing for more than 1e+300 s" == found["running"]["text"]


def test_a_job_that_executes_for_long_is_noted_and_alerts_when_asked(stored):
    found = examined(stored, code=0)
    assert ("note", [5]) == (found["running"]["level"], found["running"]["details"]["ids"])
    assert (
        "1 job has been executing for more than 3600 s, and may have lost the node: 5"
    ) == found["running"]["text"]
    assert "warning" == examined(stored, "--max-running", "60", code=1)["running"]["level"]
    assert "ok" == examined(stored, "--max-running", "1e9", code=0)["running"]["level"]


def test_obans_that_work_here_are_noted_and_their_running_jobs_are_theirs(stored):
    stored.query(
        "INSERT INTO oban_producers (uuid, node, queue, updated_at) VALUES"
        " (gen_random_uuid(), 'node-2', 'pack', timezone('UTC', now())),"
        " (gen_random_uuid(), 'gone', 'mail', timezone('UTC', now()) - interval '1 hour')"
    )
    stored.query(
        "INSERT INTO oban_leaders (node, elected_at, expires_at)"
        " VALUES ('node-3', timezone('UTC', now()), timezone('UTC', now()) + interval '30 s')"
    )
    found = examined(stored, "--max-running", "60", code=0)
    assert "note" == found["neighbours"]["level"]
    assert {"nodes": ["node-2", "node-3"], "queues": ["pack"]} == found["neighbours"]["details"]
    assert "limits, windows and pauses of pgjobs do not bind it" in found["neighbours"]["text"]
    assert [] == found["running"]["details"]["ids"]


def beat(shell, node, ago):
    shell.query(
        "INSERT INTO pgjobs_nodes (name, started_at, beat_at, every) SELECT "
        f"'{node}', at, at, interval '10 s' FROM (SELECT timezone('UTC', now()) - interval '{ago}') AS t(at)"
    )


def test_a_node_that_beats_is_said_and_its_long_jobs_are_its_own(stored):
    beat(stored, "node-2", "5 s")
    stored.query(
        "INSERT INTO pgjobs_leases (name, node, token, until)"
        " VALUES ('default', 'node-2', 3, timezone('UTC', now()) + interval '20 s')"
    )
    found = examined(stored, "--max-running", "60", code=0)
    assert ("ok", "1 node beating; node-2 leads default") == (
        found["nodes"]["level"],
        found["nodes"]["text"],
    )
    assert [] == found["running"]["details"]["ids"]


def test_a_silent_node_with_executing_jobs_alerts(stored):
    beat(stored, "node-2", "3 minutes")
    found = examined(stored, code=1)["nodes"]
    assert "warning" == found["level"]
    assert (
        "no node of pgjobs beats; silent ones still have executing jobs: node-2 (1 job), and none "
        "leads that could rescue them: run a node with Stalled()"
    ) == found["text"]
    assert {"node-2": 1} == found["details"]["lost"]


def test_a_peer_of_oban_for_elixir_is_noted(shell):
    shell.query(
        "CREATE TABLE oban_peers (name text, node text, started_at timestamp, expires_at timestamp)"
    )
    shell.query("INSERT INTO oban_peers VALUES ('Oban', 'beam', NULL, now() + interval '1 day')")
    assert ["beam"] == examined(shell, code=0)["neighbours"]["details"]["nodes"]


def test_waiting_jobs_without_a_worker_alert(stored, shop):
    target = shop(
        'jobs = PgJobs(queues={"mail": 2})\n@worker(name="shop.sent", queue="mail")\ndef send(job): ...'
    )
    found = examined(stored, target, code=1)
    assert {"shop.send": 1} == found["workers"]["details"]["missing"]
    assert ("waiting jobs name workers that are not registered: shop.send (1 job)") == found[
        "workers"
    ]["text"]
    assert "ok" == found["connections"]["level"]


def test_an_application_that_knows_its_workers_is_fine(stored, shop):
    target = shop(
        'jobs = PgJobs(queues={"mail": 11})\n@worker(name="shop.send", queue="mail")\ndef send(job): ...'
    )
    found = examined(stored, target, code=0)
    assert "ok" == found["workers"]["level"]
    assert "note" == found["connections"]["level"]
    assert {"concurrency": 11, "pool_size": 10, "connections": 13} == found["connections"][
        "details"
    ]


def test_more_connections_than_the_server_has_alert(shell, shop):
    target = shop(
        "import os\nfrom pgjobs import PostgresStore\n"
        "jobs = PgJobs(store=PostgresStore(os.environ['PGJOBS_DSN'], pool_size=999))"
    )
    found = examined(shell, target, code=1)
    assert "one process may open 1002 connections" in found["connections"]["text"]


def test_an_application_without_a_database_cannot_be_examined(shell, shop):
    found = examined(shell, shop("jobs = PgJobs(store=MemoryStore())"), code=2)
    assert "has no database" in found["server"]["text"]


def test_workers_that_cannot_be_imported_are_refused(shell, shop):
    target = shop('jobs = PgJobs(workers=["nowhere.at_all"])')
    message = "workers names the module 'nowhere.at_all', which cannot be imported"
    assert message in shell.refusal("doctor", target, code=2)


def test_it_changes_nothing(stored):
    before = stored.query("SELECT j::text FROM oban_jobs j ORDER BY id")
    stored("doctor", "--max-depth", "0", "--max-running", "1")
    assert before == stored.query("SELECT j::text FROM oban_jobs j ORDER BY id")


# What no server here shows


@pytest.mark.parametrize(
    "number, level",
    [(110022, Level.ERROR), (119999, Level.ERROR), (120000, Level.OK), (180006, Level.OK)],
)
def test_an_old_server_is_an_error(number, level):
    assert level is checks.version(Server(number, "x", "d", 100), "public").level


@pytest.mark.parametrize(
    "offset_s, level, text",
    [
        (0.9, Level.OK, "within 1 s of the server's"),
        (-90, Level.WARNING, "this machine is 90.0 s ahead of the server"),
        (90, Level.WARNING, "this machine is 90.0 s behind the server"),
    ],
)
def test_a_clock_that_is_off_alerts(offset_s, level, text):
    found = checks.clock(timedelta(seconds=offset_s), 1.0)
    assert level is found.level
    assert found.text.startswith(text)


def test_a_table_of_no_known_shape_is_an_error():
    columns = dict.fromkeys(COLUMNS, "text")
    states = tuple(state.value for state in JobState)
    tables = Tables(frozenset(), (1,), (1,), columns, states, None)
    assert "the column errors of oban_jobs is text; jsonb or jsonb[] is needed" == (
        checks.shape(tables, "public").text
    )


@pytest.mark.parametrize(
    "levels, code",
    [
        ([], 0),
        ([Level.OK, Level.NOTE], 0),
        ([Level.WARNING, Level.OK], 1),
        ([Level.WARNING, Level.ERROR, Level.NOTE], 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst(levels, code):
    assert code == checks.exit_code([Finding("x", level, "") for level in levels])
