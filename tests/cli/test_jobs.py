"""``pgjobs jobs``: what is shown, what is changed, and what is refused."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from pgjobs.rules.job import COLUMNS

pytestmark = pytest.mark.pgjobs(mode="live")

LISTED = r"""
ID  STATE      QUEUE  WORKER     ATTEMPT  AT                    ARGS                                      ERROR
 5  executing  pack   shop.pack  1/20     2026-03-01 09:00:05Z  {}                                        -
 4  scheduled  pack   shop.pack  0/20     2026-03-02 10:00:00Z  {"to": "a street with a very long nam...  -
 3  available  mail   shop.send  0/20     2026-03-01 09:00:00Z  {"n": 3, "to": "eve"}                     -
 2  discarded  mail   shop.send  2/2      2026-03-01 09:01:02Z  {"n": 2, "to": "bob"}                     ValueError: \x1b[31mred
 1  completed  mail   shop.send  1/20     2026-03-01 09:00:02Z  {"n": 1, "to": "ada"}                     -
"""  # noqa: E501 - a table is as wide as it is

SHOWN = r"""
job 2
  state         discarded
  queue         mail
  worker        shop.send
  attempt       2 of 2
  priority      3
  args          {"n": 2, "to": "bob"}
  meta          {"trace": 5}
  tags          urgent, letter
  attempted_by  node-1, bbbb
  inserted_at   2026-03-01 09:00:00Z
  scheduled_at  2026-03-01 09:01:00Z
  attempted_at  2026-03-01 09:01:01Z
  discarded_at  2026-03-01 09:01:02Z
error of attempt 1, 2026-03-01T09:00:02Z
  ValueError: no box

  Traceback:
    x
error of attempt 2, 2026-03-01T09:01:02Z
  ValueError: \x1b[31mred
"""


def test_jobs_are_listed_newest_first_as_a_table(stored):
    assert LISTED.lstrip() == stored.said("jobs", "list")


def test_a_list_without_errors_has_no_column_for_them(stored):
    assert (
        "ID  STATE      QUEUE  WORKER     ATTEMPT  AT                    ARGS\n"
        ' 3  available  mail   shop.send  0/20     2026-03-01 09:00:00Z  {"n": 3, "to": "eve"}\n'
    ) == stored.said("jobs", "list", "--state", "available")


def test_one_job_is_shown_in_full(stored):
    assert SHOWN.lstrip() == stored.said("jobs", "show", "2")


@pytest.mark.parametrize(
    "options, ids",
    [
        ((), [5, 4, 3, 2, 1]),
        (("--queue", "pack"), [5, 4]),
        (("--queue", "pack", "--queue", "mail", "--state", "completed"), [1]),
        (("--state", "scheduled", "--state", "executing"), [5, 4]),
        (("--worker", "shop.send"), [3, 2, 1]),
        (("--tag", "urgent"), [3, 2]),
        (("--tag", "urgent", "--tag", "letter"), [2]),
        (("--args", '{"to": "eve"}'), [3]),
        (("--meta", '{"trace": 5}'), [2]),
        (("--args", "{}"), [5, 4, 3, 2, 1]),
        (("--order-by", "id"), [1, 2, 3, 4, 5]),
        (("--order-by", "-priority", "--limit", "2"), [2, 1]),
        (("--after", "3"), [2, 1]),
        (("--after", "3", "--order-by", "id"), [4, 5]),
        (("--queue", "nothing"), []),
    ],
)
def test_filters_and_order_choose_jobs(stored, options, ids):
    assert ids == [job["id"] for job in stored.json("jobs", "list", *options)]


def test_where_a_list_was_cut_it_says_how_to_go_on(stored):
    cut = stored("jobs", "list", "--limit", "2")
    assert "more jobs match: go on with --after 4\n" == cut.stderr
    assert 3 == len(cut.stdout.splitlines())
    assert "" == stored("jobs", "list", "--limit", "5").stderr
    as_json = stored("jobs", "list", "--limit", "2", "--json")
    assert [5, 4] == [job["id"] for job in json.loads(as_json.stdout)]


def test_an_empty_list_says_so(shell):
    assert "no job matches\n" == shell.said("jobs", "list")
    assert [] == shell.json("jobs", "list")


NOT_KNOWN = [
    (("--queue", "mial"), "no job is in the queue 'mial': did you mean 'mail'?\n"),
    (("--worker", "shop.sned"), "no job is of the worker 'shop.sned': did you mean 'shop.send'?\n"),
    (("--worker", "zzz"), "no job is of the worker 'zzz'\n"),
    (
        ("--queue", "pcak", "--queue", "mail", "--worker", "shop.pac"),
        (
            "no job is in the queue 'pcak': did you mean 'pack'?\n"
            "no job is of the worker 'shop.pac': did you mean 'shop.pack'?\n"
        ),
    ),
    (("--queue", "pack", "--worker", "shop.send"), ""),
    (("--queue", "pack", "--state", "cancelled"), ""),
    (("--tag", "urgnet"), ""),
]


@pytest.mark.parametrize("filters, hint", NOT_KNOWN)
def test_where_nothing_matches_a_name_that_no_job_has_is_told(stored, filters, hint):
    listed = stored("jobs", "list", *filters)
    assert (0, "no job matches\n", hint) == (listed.exit_code, listed.stdout, listed.stderr)
    listed = stored("jobs", "list", *filters, "--json")
    assert (0, "[]\n", hint) == (listed.exit_code, listed.stdout, listed.stderr)
    for verb, done in (("retry", "retried"), ("cancel", "cancelled"), ("delete", "deleted")):
        changed = stored("jobs", verb, *filters)
        assert (0, f"{done} 0 jobs\n", hint) == (changed.exit_code, changed.stdout, changed.stderr)


def test_where_a_job_matches_nothing_is_said_of_other_names(stored):
    assert "" == stored("jobs", "list", "--queue", "mial", "--queue", "mail").stderr


def test_json_has_every_stored_field_and_readable_instants(stored):
    shown = stored.json("jobs", "show", "1")
    assert [*COLUMNS] == [*shown]
    assert {"to": "ada", "n": 1} == shown["args"]
    assert "2026-03-01T09:00:02.500000+00:00" == shown["completed_at"]
    assert datetime.fromisoformat(shown["completed_at"]).tzinfo is not None
    assert shown["cancelled_at"] is None
    (listed,) = stored.json("jobs", "list", "--state", "completed")
    assert shown == listed


def test_json_is_ascii_whatever_a_row_holds(stored):
    printed = stored.said("jobs", "show", "4", "--json")
    assert printed.isascii()
    assert "日本" == json.loads(printed)["args"]["parcel"]


def test_control_characters_of_a_row_never_reach_the_terminal(stored):
    stored.query(
        r"UPDATE oban_jobs SET worker = E'a\x1b[2Jb\nc', tags = ARRAY[E'\x07'] WHERE id = 1"
    )
    printed = stored.said("jobs", "list") + stored.said("jobs", "show", "1")
    assert r"a\x1b[2Jb\nc" in printed
    assert not {"\x1b", "\x07"} & {*printed}


def test_jobs_are_cancelled_by_id(stored):
    assert (
        "job 3: cancelled\njob 5: cancelled\njob 1: completed, left as it was\n"
    ) == stored.said("jobs", "cancel", "3", "5", "1", "3")
    assert [(3,), (5,)] == stored.query(
        "SELECT id FROM oban_jobs WHERE state = 'cancelled' ORDER BY id"
    )


def test_jobs_are_retried_by_id(stored):
    assert ("job 2: available\njob 5: executing, left as it was\n") == stored.said(
        "jobs", "retry", "2", "5"
    )
    assert [("available", 3)] == stored.query(
        "SELECT state::text, max_attempts FROM oban_jobs WHERE id = 2"
    )


def test_jobs_are_deleted_by_id(stored):
    assert ("job 1: deleted, it was completed\njob 5: deleted, it was executing\n") == stored.said(
        "jobs", "delete", "1", "5"
    )
    assert [(3,)] == stored.query("SELECT count(*) FROM oban_jobs")


def test_an_id_that_is_not_there_fails_after_the_others_are_done(stored):
    failed = stored("jobs", "cancel", "99", "3")
    assert (1, "job 3: cancelled\n") == (failed.exit_code, failed.stdout)
    assert "Error: no job has the id 99: it was deleted, or never stored\n" == failed.stderr


def test_changed_jobs_are_given_as_json(stored):
    (changed,) = stored.json("jobs", "cancel", "4")
    assert (4, "cancelled") == (changed["id"], changed["state"])


def test_all_that_match_are_changed_when_the_question_is_answered(stored):
    done = stored("jobs", "cancel", "--queue", "mail", "--queue", "pack", answer="y\n")
    assert (0, "cancelled 3 jobs\n") == (done.exit_code, done.stdout)
    question = "cancel 3 jobs (1 available, 1 executing, 1 scheduled)? [y/N]: y\n"
    assert question == done.stderr


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_nothing_is_changed_when_it_is_not(stored, answer):
    left = stored("jobs", "delete", "--queue", "mail", answer=answer)
    assert (1, "") == (left.exit_code, left.stdout)
    assert "Error: nothing was changed: answer y, or give --yes\n" in left.stderr
    assert [(5,)] == stored.query("SELECT count(*) FROM oban_jobs")


def test_nothing_is_asked_with_yes_or_where_nothing_matches(stored):
    assert "retried 1 job\n" == stored.said("jobs", "retry", "--state", "discarded", "--yes")
    assert "cancelled 0 jobs\n" == stored.said("jobs", "cancel", "--state", "completed")
    assert {"deleted": 5} == stored.json("jobs", "delete", "--all", "-y")
    assert [(0,)] == stored.query("SELECT count(*) FROM oban_jobs")


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete"])
@pytest.mark.parametrize(
    "given",
    [(), ("1", "--all"), ("1", "--queue", "x"), ("--all", "--tag", "x"), ("--args", "{}", "--yes")],
)
def test_jobs_are_named_in_one_way(stored, verb, given):
    refusal = stored.refusal("jobs", verb, *given, code=2)
    assert (
        f"name the jobs to {verb} in one way: by id, by filters such as --queue mail, or --all"
    ) == refusal


@pytest.mark.parametrize(
    "command, message",
    [
        (
            ("list", "--order-by", "quue"),
            "unknown column to order by 'quue': did you mean 'queue'?",
        ),
        (("list", "--args", "{to: 1}"), "no JSON: Expecting property name"),
        (("list", "--args", "[1]"), "an object is taken, as in '{\"user\": 7}', not [1]"),
        (("list", "--args", "[" * 100_000), "no JSON: "),
        (("list", "--args", '{"a": NaN}'), "args.a is nan, which JSON cannot hold"),
        (("list", "--limit", "0"), "0 is not in the range"),
        (("list", "--state", "done"), "'done' is not one of"),
        (("show", "x"), "'x' is not a valid integer"),
        (("list", "--schema", ""), "schema takes the name of a schema"),
    ],
)
def test_bad_input_is_refused_in_one_line(stored, command, message):
    assert message in stored.refusal("jobs", *command, code=2)


def test_a_job_that_is_not_there_is_refused(shell):
    gone = "no job has the id 7: it was deleted, or never stored"
    assert gone == shell.refusal("jobs", "show", "7")
    assert gone == shell.refusal("jobs", "list", "--after", "7")
    assert str(10**30) in shell.refusal("jobs", "show", str(10**30))


def test_a_database_without_tables_is_refused_with_the_remedy(empty_shell):
    assert "Run `pgjobs migrate`" in empty_shell.refusal("jobs", "list")


def test_a_database_that_cannot_be_reached_is_one_line(shell):
    refused = shell.refusal("jobs", "list", "--dsn", "postgresql://nobody:secret@127.0.0.1:1/x")
    assert "Connection refused" in refused
    assert "secret" not in refused


def test_a_database_must_be_named(shell):
    refused = shell("jobs", "list", PGJOBS_DSN="")
    assert 2 == refused.exit_code
    assert "name the database: --dsn postgresql://..., or set PGJOBS_DSN" in refused.stderr


def test_another_schema_can_be_named(shell):
    shell.said("migrate", "--schema", "Other one")
    assert "no job matches\n" == shell.said("jobs", "list", "--schema", "Other one")


def test_a_job_is_explained_from_what_the_database_tells(stored):
    told = stored.said("jobs", "explain", "3")
    assert told == (
        "job 3 of shop.send in queue mail: available\n"
        "  - no node is alive, and none has left a heartbeat: start one with `pgjobs run`\n"
        "  - the queue 'mail' is not one of this instance's (none): whether another node serves it, and "
        "within which limits, is not known here\n"
    )
    stored.said("queues", "pause", "mail")
    found = stored.json("jobs", "explain", "3")
    assert [each["kind"] for each in found["reasons"]] == ["no_node", "queue_not_known", "paused"]
    assert (found["blocked"], found["ready"], found["earliest"]) == (True, False, None)


def test_a_job_of_a_node_without_a_heartbeat_is_told_with_its_rescue(stored):
    found = stored.json("jobs", "explain", "5")
    assert [each["kind"] for each in found["reasons"]] == ["executing", "node_silent"]
    assert found["reasons"][1]["rescued_from"] == "2026-03-01T10:00:05+00:00"


def test_what_is_not_there_cannot_be_explained(stored):
    assert stored.refusal("jobs", "explain", "99") == (
        "no job has the id 99: it was deleted, or never stored"
    )


def test_with_an_application_its_limits_and_workers_count_in_what_is_explained(
    stored, tmp_path, monkeypatch
):
    name = f"mailer_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "from pgjobs import PgJobs, Queue, worker\n"
        'jobs = PgJobs(queues={"mail": Queue(paused=True), "packs": 1}, plugins=False)\n'
        '@worker(name="shop.sent")\n'
        "def sent(job): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    told = stored.json("jobs", "explain", "3", "--app", f"{name}:jobs")
    assert [each["kind"] for each in told["reasons"]] == ["no_node", "paused", "unknown_worker"]
    assert (told["reasons"][1]["by"], told["reasons"][2]["nearest"]) == (
        "configuration",
        "shop.sent",
    )
    parcel = stored.json("jobs", "explain", "4", "--app", f"{name}:jobs")
    unknown = next(each for each in parcel["reasons"] if each["kind"] == "queue_not_known")
    assert (unknown["served"], unknown["nearest"]) == (["mail", "packs"], "packs")
    silent = stored.json("jobs", "explain", "5", "--app", f"{name}:jobs")["reasons"][1]
    assert (silent["kind"], silent["rescued_from"]) == ("node_silent", None)
