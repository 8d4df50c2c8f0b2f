"""What every server does for its tests: databases of its own, and only these."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from pgjobs_testing.servers import Server, ServerError
from pgjobs_testing.servers.dsn import with_database
from pgjobs_testing.servers.embedded import EmbeddedServer
from pgjobs_testing.servers.named import DsnServer


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(params=["embedded", "dsn"])
def server(request: pytest.FixtureRequest, embedded: EmbeddedServer) -> Iterator[Server]:
    if request.param == "embedded":
        yield embedded
    else:
        with DsnServer(embedded.dsn) as named:
            yield named


def databases(dsn: str) -> list[str]:
    rows = ask(dsn, "SELECT datname FROM pg_database ORDER BY 1")
    return [str(name) for (name,) in rows]


def ask(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_a_database_is_empty_utf8_named_for_tests_and_apart_from_others(server):
    first, second = server.create_database("gw0"), server.create_database("gw1")
    try:
        ask(first, "CREATE TABLE here (x int)")
        assert ask(second, "SELECT to_regclass('here')") == [(None,)]
        [(name, encoding)] = ask(
            first, "SELECT current_database(), current_setting('server_encoding')"
        )
        assert re.fullmatch(r"pgjobs_test_[0-9a-f]{8}_gw0", str(name))
        assert encoding == "UTF8"
    finally:
        server.drop_database("gw0")
        server.drop_database("gw1")


def test_no_test_waits_for_the_disk_of_a_server_that_others_use(embedded):
    with DsnServer(embedded.dsn) as named:
        ours = named.create_database("hasty")
        assert ask(ours, "SHOW synchronous_commit") == [("off",)]
        assert ask(named.dsn, "SHOW synchronous_commit") == [("on",)]


def test_a_database_is_dropped_although_somebody_is_connected(server):
    before = databases(server.dsn)
    dsn = server.create_database("busy")
    with psycopg.connect(dsn):
        server.drop_database("busy")
    assert databases(server.dsn) == before


def test_a_name_is_taken_once_until_it_is_dropped(server):
    server.create_database("once")
    with pytest.raises(ServerError, match="'once' exists already"):
        server.create_database("once")
    server.drop_database("once")
    server.create_database("once")
    server.drop_database("once")


def test_only_databases_made_here_are_dropped(server):
    with pytest.raises(ServerError, match="no test database 'postgres' here"):
        server.drop_database("postgres")


@pytest.mark.parametrize("name", ["", "GW0", "a-b", 'a"; --', "x" * 33])
def test_a_name_that_is_none_is_refused(server, name):
    with pytest.raises(ValueError, match="expected 1 to 32 of a-z"):
        server.create_database(name)


def test_two_sessions_on_one_server_never_meet(embedded):
    with DsnServer(embedded.dsn) as one, DsnServer(embedded.dsn) as other:
        assert one.create_database("gw0") != other.create_database("gw0")


def test_a_users_server_keeps_what_it_had_and_nothing_else(embedded):
    ask(embedded.dsn, "CREATE DATABASE pgjobs_test_of_the_user")
    try:
        before = databases(embedded.dsn)
        with DsnServer(embedded.dsn) as named:
            named.create_database("gw0")
            named.create_database("gw1")
            assert len(databases(embedded.dsn)) == len(before) + 2
        assert databases(embedded.dsn) == before
    finally:
        ask(embedded.dsn, "DROP DATABASE pgjobs_test_of_the_user")


def test_a_dsn_of_keys_and_values_serves_as_well(embedded):
    with DsnServer(psycopg.conninfo.make_conninfo(embedded.dsn, application_name="tests")) as named:
        assert "://" not in named.dsn
        dsn = named.create_database("gw0")
        assert ask(dsn, "SELECT 1") == [(1,)]


def test_a_user_who_may_not_create_databases_is_told_the_remedy(embedded):
    ask(embedded.dsn, "CREATE ROLE guest LOGIN PASSWORD 'hush'")
    place = embedded.dsn.rpartition("@")[2]
    try:
        with (
            DsnServer(f"postgresql://guest:hush@{place}") as named,
            pytest.raises(ServerError, match='ALTER ROLE "guest" CREATEDB') as caught,
        ):
            named.create_database("gw0")
        assert "hush" not in str(caught.value)
    finally:
        ask(embedded.dsn, "DROP ROLE guest")


def test_a_server_that_cannot_be_reached_is_told_without_the_password(embedded):
    password = psycopg.conninfo.conninfo_to_dict(embedded.dsn)["password"]
    with pytest.raises(ServerError, match='"nowhere" does not exist') as caught:
        DsnServer(with_database(embedded.dsn, "nowhere")).start()
    assert str(password) not in str(caught.value)


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:hu%zsh@h/d", "host=h password=hu sh", "host=h pasword=hush"]
)
def test_a_dsn_that_cannot_be_read_is_told_without_the_password(dsn):
    with pytest.raises(ServerError, match="is not one that libpq reads") as caught:
        DsnServer(dsn).start()
    assert "hu" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_of_the_user_is_never_interrupted(embedded):
    with DsnServer(embedded.dsn) as named:
        with pytest.raises(ServerError, match="outages need the embedded one"):
            named.interrupt()
        with pytest.raises(ServerError, match="outages need the embedded one"):
            named.restart()


def test_a_server_is_started_once_and_has_no_dsn_otherwise(server):
    with pytest.raises(ServerError, match="running already"):
        server.start()
    with pytest.raises(ServerError, match="call start"):
        _ = DsnServer("postgresql://").dsn


def test_the_description_says_version_and_place_but_no_password(embedded):
    place = embedded.dsn.rpartition("@")[2]
    assert re.fullmatch(rf"PostgreSQL 18\.\d+ at {re.escape(place)}", embedded.description)
