"""``pgjobs queues``: what is in them, and what an operator sets by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from pgjobs import PgJobs, Queue, RateLimit
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing.conformance.given import insert, new
from pgjobs_testing.conformance.limits import within

pytestmark = pytest.mark.pgjobs(mode="live")

LISTED = """
QUEUE  AVAILABLE  SCHEDULED  RETRYABLE  EXECUTING  PAUSED  CONCURRENCY
mail           1          0          0          0  no                -
pack           0          1          0          1  no                -
"""

WITH_APP = """
QUEUE  AVAILABLE  SCHEDULED  RETRYABLE  EXECUTING  PAUSED  CONCURRENCY
mail           1          0          0          0  no                3
night          0          0          0          0  yes               1
pack           0          1          0          1  no                -
"""

WITH_LIMITS = """
QUEUE  AVAILABLE  SCHEDULED  RETRYABLE  EXECUTING  PAUSED  CONCURRENCY  GLOBAL  STARTS           OPENS
mail           0          0          0          1  no               10       -  1 of 1 in 60 s   2100-01-01 00:01:00Z
night          0          0          0          0  no                2       5  -                -
pack           0          0          0          2  no               10       3  2 of 4 in 0.5 s  -
"""  # noqa: E501 - as wide as it is printed


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module with an application, by name."""
    name = f"shop_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "from pgjobs import PgJobs, Queue\n"
        'jobs = PgJobs(queues={"mail": 3, "night": Queue(concurrency=1, paused=True)})\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:jobs"


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """A module with an application whose queues are limited over all nodes, by name."""
    name = f"limited_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "from pgjobs import PgJobs, Queue, RateLimit\n"
        "jobs = PgJobs(queues={\n"
        '    "mail": Queue(rate_limit=RateLimit(1, 60)),\n'
        '    "night": Queue(2, global_concurrency=5),\n'
        '    "pack": Queue(global_concurrency=3, rate_limit=RateLimit(4, 0.5)),\n'
        "})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:jobs"


AHEAD = datetime(2100, 1, 1, tzinfo=UTC)
"""Starts of this instant count, since a window's clock never goes back."""


def start(shell, queue, times, rate):
    """Let jobs start at that instant, as a node does whose clock is far ahead."""
    store = PostgresStore(shell.dsn)
    insert(store, *[new(queue=queue) for _ in range(times)])
    within(store, queue, queue=queue, rate=RateLimit(*rate), now=AHEAD)
    store.close()


def test_queues_are_listed_with_what_waits_in_them(stored):
    assert LISTED.lstrip() == stored.said("queues", "list")


def test_a_list_of_nothing_says_so(shell):
    assert "no queue holds an unfinished job\n" == shell.said("queues", "list")
    assert [] == shell.json("queues", "list")


def test_with_an_application_its_configuration_is_known(stored, shop):
    assert WITH_APP.lstrip() == stored.said("queues", "list", "--app", shop)
    assert WITH_APP.lstrip() == stored.said("queues", "list", "--app", shop, "--dsn", stored.dsn)


def test_with_an_application_its_limits_and_the_use_of_its_windows_are_listed(shell, limited):
    start(shell, "mail", 1, (1, 60))
    start(shell, "pack", 2, (4, 0.5))
    assert WITH_LIMITS.lstrip() == shell.said("queues", "list", "--app", limited)
    mail, night, pack = shell.json("queues", "list", "--app", limited)
    opens_at = "2100-01-01T00:01:00+00:00"
    use = {"allowed": 1, "period_s": 60.0, "used": 1, "opens_at": opens_at}
    assert (None, use) == (mail["global_concurrency"], mail["rate_limit"])
    assert (5, None) == (night["global_concurrency"], night["rate_limit"])
    use = {"allowed": 4, "period_s": 0.5, "used": 2, "opens_at": None}
    assert (3, use) == (pack["global_concurrency"], pack["rate_limit"])


def test_without_an_application_no_limit_is_known(shell):
    start(shell, "mail", 1, (1, 60))
    headers, _ = shell.said("queues", "list").splitlines()
    assert headers.endswith("PAUSED  CONCURRENCY")
    (mail,) = shell.json("queues", "list")
    assert (None, None) == (mail["global_concurrency"], mail["rate_limit"])


def test_a_queue_is_paused_scaled_resumed_and_reset(stored):
    assert "queue mail: paused\nqueue other: paused\n" == stored.said(
        "queues", "pause", "mail", "other", "mail"
    )
    assert "queue mail: concurrency 7\n" == stored.said("queues", "scale", "mail", "7")
    node = PgJobs(stored.dsn, queues={"mail": 2})
    status = node.check_queue("mail")
    assert (True, 7) == (status.paused, status.concurrency)
    assert {
        "queue": "mail",
        "available": 1,
        "scheduled": 0,
        "retryable": 0,
        "executing": 0,
        "paused": True,
        "concurrency": 7,
        "global_concurrency": None,
        "rate_limit": None,
    } == stored.json("queues", "list")[0]
    assert "queue mail: resumed\n" == stored.said("queues", "resume", "mail")
    assert not node.check_queue("mail").paused
    assert "queue mail: reset\n" == stored.said("queues", "reset", "mail")
    assert 2 == node.check_queue("mail").concurrency
    node.stop()


@pytest.mark.parametrize(
    "command, said",
    [
        (("pause", "mial"), "paused"),
        (("scale", "mial", "7"), "concurrency 7"),
        (("resume", "mial"), "resumed"),
        (("reset", "mial"), "reset"),
    ],
)
def test_a_queue_of_which_nothing_is_known_is_set_with_a_hint(stored, command, said):
    done = stored("queues", *command)
    assert (0, f"queue mial: {said}\n") == (done.exit_code, done.stdout)
    assert (
        "no job is in the queue 'mial', and no node is known here to serve it: did you mean 'mail'?\n"
        == done.stderr
    )


def test_a_hint_without_a_near_name_names_none_and_json_stays_clean(stored):
    done = stored("queues", "pause", "mail", "zzz", "zzz", "--json")
    assert "no job is in the queue 'zzz', and no node is known here to serve it\n" == done.stderr
    assert ["mail", "zzz"] == [row["queue"] for row in json.loads(done.stdout)]
    assert [True, True] == [row["paused"] for row in stored.json("queues", "list")][::2]


def test_a_queue_that_is_known_needs_no_hint(stored, shop):
    stored.query("UPDATE oban_jobs SET state = 'completed', completed_at = now()")
    assert "" == stored("queues", "pause", "mail").stderr
    assert "" == stored("queues", "pause", "night", "--app", shop).stderr
    stored("queues", "pause", "soon")
    assert "" == stored("queues", "resume", "soon").stderr
    assert "" == stored("queues", "pause", "--all").stderr


def test_a_hint_knows_what_was_set_by_hand(stored):
    stored("queues", "pause", "invoices")
    assert "did you mean 'invoices'?" in stored("queues", "resume", "invocies").stderr


def test_json_says_how_the_queues_stand_that_were_set(stored):
    def short(*command):
        return [
            (row["queue"], row["paused"], row["concurrency"])
            for row in stored.json("queues", *command)
        ]

    assert [("new", True, None)] == short("pause", "new")
    assert [("mail", False, 7)] == short("scale", "mail", "7")
    # nothing is set for the queue "new" alone any more, and nothing is in it
    assert [("mail", False, 7), ("pack", False, None)] == short("resume", "--all")
    assert [("new", False, None)] == short("reset", "new")


def test_every_queue_is_paused_and_resumed(stored):
    assert "every queue: paused\n" == stored.said("queues", "pause", "--all")
    assert [True, True] == [queue["paused"] for queue in stored.json("queues", "list")]
    assert "every queue: resumed\n" == stored.said("queues", "resume", "--all")
    assert [False, False] == [queue["paused"] for queue in stored.json("queues", "list")]


def test_what_is_set_with_an_application_yields_to_a_changed_configuration(stored, shop):
    stored.said("queues", "resume", "night", "--app", shop)
    as_before = PgJobs(stored.dsn, queues={"night": Queue(concurrency=1, paused=True)})
    assert not as_before.check_queue("night").paused
    stored.said("queues", "scale", "mail", "9", "--app", shop)
    changed = PgJobs(stored.dsn, queues={"mail": 4})
    assert 4 == changed.check_queue("mail").concurrency
    as_before.stop()
    changed.stop()


@pytest.mark.parametrize(
    "command, code, message",
    [
        (("pause",), 2, "name queues, or give --all, and not both"),
        (("pause", "mail", "--all"), 2, "name queues, or give --all, and not both"),
        (("reset",), 2, "name queues"),
        (("pause", "*"), 2, "cannot be '*', which stands for every queue"),
        (("pause", "x" * 128), 2, "1 to 127 characters"),
        (("scale", "mail", "0"), 2, "0 is not in the range"),
        (("scale", "mail", "many"), 2, "'many' is not a valid integer"),
        (("scale", "mail"), 2, "Missing argument 'CONCURRENCY'"),
        (("list", "--app", "nowhere:jobs"), 2, "the module 'nowhere' cannot be imported"),
        (("list", "--schema", "nowhere"), 1, "Run `pgjobs migrate --schema nowhere`"),
    ],
)
def test_bad_input_is_refused_in_one_line(shell, command, code, message):
    assert message in shell.refusal("queues", *command, code=code)


def test_a_queue_that_the_application_does_not_serve_is_refused(shell, shop):
    refusal = shell.refusal("queues", "pause", "mial", "--app", shop, code=2)
    assert f"{shop} serves no queue 'mial': did you mean 'mail'?" == refusal


@pytest.mark.parametrize("given", ["-3", "-30", "0"])
def test_a_concurrency_out_of_range_is_told_as_such(shell, given):
    refused = shell.refusal("queues", "scale", "mail", given, code=2)
    assert refused.startswith(
        f"Invalid value for 'CONCURRENCY': {given} is not in the range 1<=x<="
    )


def test_an_option_that_scale_does_not_have_is_told_as_one(shell):
    refused = shell.refusal("queues", "scale", "mail", "3", "--jsno", code=2)
    assert "No such option '--jsno'" in refused
