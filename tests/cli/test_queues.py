"""``pgjobs queues``: what is in them, and what an operator sets by hand."""

from __future__ import annotations

import pytest

from pgjobs import PgJobs, Queue

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


def test_queues_are_listed_with_what_waits_in_them(stored):
    assert LISTED.lstrip() == stored.said("queues", "list")


def test_a_list_of_nothing_says_so(shell):
    assert "no queue holds an unfinished job\n" == shell.said("queues", "list")
    assert [] == shell.json("queues", "list")


def test_with_an_application_its_configuration_is_known(stored, shop):
    assert WITH_APP.lstrip() == stored.said("queues", "list", "--app", shop)
    assert WITH_APP.lstrip() == stored.said("queues", "list", "--app", shop, "--dsn", stored.dsn)


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
    } == stored.json("queues", "list")[0]
    assert "queue mail: resumed\n" == stored.said("queues", "resume", "mail")
    assert not node.check_queue("mail").paused
    assert "queue mail: reset\n" == stored.said("queues", "reset", "mail")
    assert 2 == node.check_queue("mail").concurrency
    node.stop()


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
        (("list", "--schema", "nowhere"), 1, "Run `pgjobs migrate`"),
    ],
)
def test_bad_input_is_refused_in_one_line(shell, command, code, message):
    assert message in shell.refusal("queues", *command, code=code)


def test_a_queue_that_the_application_does_not_serve_is_refused(shell, shop):
    refusal = shell.refusal("queues", "pause", "mial", "--app", shop)
    assert f"{shop} serves no queue 'mial': did you mean 'mail'?" == refusal
