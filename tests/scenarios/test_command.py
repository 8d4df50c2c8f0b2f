"""``pgjobs-testing replay``: what it prints, what it writes, and its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pgjobs_testing.cli import main
from pgjobs_testing.scenarios import play as playing

HOLDS = """\
name: It holds   # a comment
workers: {W: {runs: [{for: 1s}]}}
steps:
  - {at: 0s, insert: {as: x, worker: W}}   # another
expect:
  - {at: end, job: x, state: completed}
"""
FAILS = HOLDS.replace("state: completed", "state: discarded")
UNREADABLE = HOLDS.replace("steps:", "stpes:")
LINE = r"good\.yaml: 1 step, 4 events, 1s, [0-9a-f]{16}, memory"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replay(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["replay", "--store", "memory", *arguments])


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)


def test_files_that_hold_exit_with_0_and_a_line_each(here):
    write(here, good=HOLDS)
    result = replay("good.yaml")
    assert 0 == result.exit_code
    first, last = result.stdout.splitlines()
    assert re.fullmatch(LINE, first)
    assert "1 scenario on memory: 1 held, 0 failed, 0 could not be read" == last
    assert "" == result.stderr


def test_a_failed_expectation_exits_with_1_and_shows_why(here):
    write(here, good=HOLDS, bad=FAILS)
    result = replay("good.yaml", "bad.yaml")
    assert 1 == result.exit_code
    assert "1 held, 1 failed, 0 could not be read" in result.stdout
    assert "bad.yaml:6:5: job x is not as expected at the end (1s)" in result.stderr
    assert "! state  discarded  completed" in result.stderr


def test_a_file_that_cannot_be_read_exits_with_2_and_the_others_are_played(here):
    write(here, good=HOLDS, bad=FAILS, wrong=UNREADABLE)
    result = replay("wrong.yaml", "bad.yaml", "good.yaml")
    assert 2 == result.exit_code
    assert "1 held, 1 failed, 1 could not be read" in result.stdout
    assert "wrong.yaml:3:1: found the unknown key 'stpes'; did you mean 'steps'?" in result.stderr
    assert "wrong.yaml:1:1: the key 'steps' is missing" in result.stderr


@pytest.mark.parametrize("path", ["none.yaml", "empty"])
def test_a_path_without_scenarios_exits_with_2(here, path):
    (here / "empty").mkdir()
    result = replay(path)
    assert 2 == result.exit_code
    assert result.stderr.startswith(f"Error: {path}: no ")


def test_directories_are_searched_and_no_file_is_played_twice(here):
    (here / "deep" / "deeper").mkdir(parents=True)
    write(here / "deep", b=HOLDS, a=HOLDS)
    write(here / "deep" / "deeper", c=HOLDS)
    (here / "deep" / "d.yml").write_text(HOLDS)
    (here / "deep" / "notes.txt").write_text("not a scenario")
    result = replay("deep", "deep/a.yaml")
    assert [
        "deep/a.yaml",
        "deep/b.yaml",
        "deep/d.yml",
        "deep/deeper/c.yaml",
        "4 scenarios on memory",
    ] == [line.split(":")[0] for line in result.stdout.splitlines()]


def test_quiet_says_only_what_did_not_hold(here):
    write(here, good=HOLDS, bad=FAILS)
    assert ("", "") == (replay("-q", "good.yaml").stdout, replay("-q", "good.yaml").stderr)
    result = replay("-q", "good.yaml", "bad.yaml")
    assert "" == result.stdout
    assert result.stderr.startswith("bad.yaml:6:5: ")


def test_verbose_prints_each_trace(here):
    write(here, good=HOLDS)
    result = replay("-v", "good.yaml")
    assert "        1s  a    completed  #1    attempt 1" in result.stdout.splitlines()


def test_record_writes_the_trace_and_changes_nothing_else(here):
    write(here, good=HOLDS)
    assert replay("--record", "good.yaml").stdout.splitlines()[0].endswith("memory, recorded")
    trace = """\
trace: |2
          0s  a    start
          0s  -    insert     #1    W, into default, priority 0
          0s  a    start      #1    attempt 1 of W
          1s  a    completed  #1    attempt 1
"""
    assert HOLDS + trace == (here / "good.yaml").read_text()
    assert 0 == replay("good.yaml").exit_code
    again = replay("--record", "good.yaml")
    assert again.stdout.splitlines()[0].endswith("memory, recorded already")


def test_record_replaces_an_old_trace_where_it_stands(here):
    first, rest = HOLDS.split("workers", 1)
    old = f"{first}trace: |\n  old\n  older\n\n# of the workers\nworkers{rest}"
    write(here, good=old)
    failed = replay("good.yaml")
    assert 1 == failed.exit_code
    assert "good.yaml:3:1: the trace differs from the recorded one in line 1" in failed.stderr
    assert 0 == replay("--record", "good.yaml").exit_code
    text = (here / "good.yaml").read_text()
    assert text.startswith(f"{first}trace: |2\n          0s  a    start\n")
    assert text.endswith(f"attempt 1\n\n# of the workers\nworkers{rest}")
    assert 0 == replay("good.yaml").exit_code


def test_record_keeps_line_ends_and_a_byte_order_mark(here):
    windows = b"\xef\xbb\xbf" + HOLDS.replace("\n", "\r\n").encode()
    (here / "good.yaml").write_bytes(windows)
    assert 0 == replay("--record", "good.yaml").exit_code
    written = (here / "good.yaml").read_bytes()
    assert written.startswith(windows + b"trace: |2\r\n")
    assert written.count(b"\n") == written.count(b"\r\n")
    assert 0 == replay("good.yaml").exit_code


def test_record_does_not_touch_a_file_that_fails(here):
    write(here, bad=FAILS)
    result = replay("--record", "bad.yaml")
    assert 1 == result.exit_code
    assert result.stdout.splitlines()[0].endswith("FAILED, not recorded")
    assert FAILS == (here / "bad.yaml").read_text()


def test_record_refuses_a_file_whose_form_leaves_no_place(here):
    text = "{name: n, workers: {W: {}}, steps: [{at: 0s, insert: {worker: W}}]}\n"
    write(here, flow=text)
    result = replay("--record", "flow.yaml")
    assert 2 == result.exit_code
    assert "flow.yaml:1:1: the trace cannot be written here" in result.stderr
    assert text == (here / "flow.yaml").read_text()


def test_a_seed_takes_the_place_of_the_files(here):
    text = HOLDS.replace("{for: 1s}", "{error: e}, ok").replace("jitter: no", "")
    write(here, good=text + "jitter: true\n")

    def digest(*options: str) -> str:
        return replay("good.yaml", *options).stdout.split(", ")[3]

    assert digest() == digest("--seed", "0") != digest("--seed", "1")
    assert 2 == replay("--seed", str(2**64), "good.yaml").exit_code
    refused = replay("--record", "--seed", "1", "good.yaml")
    assert 2 == refused.exit_code
    assert "--record writes the trace of the file's own seed" in refused.stderr


def test_a_file_without_an_end_is_played_on_one_store_only(here, monkeypatch):
    monkeypatch.setattr(playing, "EVENT_LIMIT", 1_000)
    write(here, endless=HOLDS.replace("{for: 1s}", "{snooze: 1m}"))
    result = replay("endless.yaml")
    assert 1 == result.exit_code
    assert "has not come to an end after 1,000 events" in result.stderr


@pytest.mark.pgjobs(mode="live")  # the command opens its own database
def test_both_stores_are_played_and_compared(here, server):
    write(here, good=HOLDS, also=HOLDS)
    command = ["replay", "--postgres", server.dsn, "good.yaml", "also.yaml"]
    result = CliRunner().invoke(main, command)
    assert (0, "") == (result.exit_code, result.stderr)
    first, second, last = result.stdout.splitlines()
    assert re.fullmatch(f"{LINE} = postgres", first)
    assert first.split(", ")[3] == second.split(", ")[3]
    assert last.startswith("2 scenarios on memory and postgres: 2 held")


@pytest.mark.parametrize("given", ["embeded", "mysql://host/db"])
def test_a_server_that_cannot_be_had_exits_with_2_and_the_remedy(here, given):
    write(here, good=HOLDS)
    result = CliRunner().invoke(main, ["replay", "--postgres", given, "good.yaml"])
    assert 2 == result.exit_code
    assert "postgresql://" in result.stderr
    assert result.stderr.startswith("Error: ")
    assert "--postgres " in result.stderr
    assert "--pgjobs-postgres" not in result.stderr


@pytest.mark.parametrize(
    "given", [("--postgres", "postgresql://host/db"), ("--image", "postgres:16")]
)
def test_a_server_for_a_replay_in_memory_alone_is_wrong_use(here, given):
    write(here, good=HOLDS)
    result = replay(*given, "good.yaml")
    assert (2, "") == (result.exit_code, result.stdout)
    said = f"Error: {given[0]} names a server, and --store memory plays on none"
    assert said in " ".join(result.stderr.split())


def test_the_schema_is_printed_or_written(here):
    printed = CliRunner().invoke(main, ["schema"])
    assert 0 == printed.exit_code
    assert "http://json-schema.org/draft-07/schema#" == json.loads(printed.stdout)["$schema"]
    assert 0 == CliRunner().invoke(main, ["schema", "here.json"]).exit_code
    assert printed.stdout == (here / "here.json").read_text()
    refused = CliRunner().invoke(main, ["schema", "nowhere/here.json"])
    told = "Error: nowhere/here.json cannot be written: No such file or directory\n"
    assert (2, "", told) == (refused.exit_code, refused.stdout, refused.stderr)


REAL = """\
name: Shop
workers: {Night: {use: "night_shop:night"}}
steps: [{at: 0s, insert: {as: x, worker: Night}}]
expect:
  - {at: end, job: x, state: completed, completed_at: 30s}
  - {at: end, count: {worker: night_shop.mail, state: completed}, is: 1}
"""
SHOP = """\
import asyncio
from pgjobs import PgJobs, worker

jobs = PgJobs("postgresql://nobody@127.0.0.1:1/shop")

@worker(queue="mail")
def mail(job):
    return None

@worker
async def night(job):
    await asyncio.sleep(30)
    jobs.insert(mail.new())

jobs.insert(mail.new())  # at import: it goes nowhere, and opens nothing
"""


def in_a_process(
    directory: Path, *arguments: str, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it, in a process that captures nothing by itself."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PGJOBS")}
    return subprocess.run(
        (sys.executable, "-m", "pgjobs_testing.cli", "replay", *arguments),
        cwd=directory,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe from which nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize("options", [(), ("-v",)])
def test_where_nobody_reads_what_is_printed_the_page_has_every_timeline(here, unread, options):
    write(here, good=HOLDS, bad=FAILS, wrong=UNREADABLE)
    files = ("good.yaml", "bad.yaml", "wrong.yaml")
    given = (*files, "--store", "memory", "--html", "out.html", *options)
    assert 2 == in_a_process(here, *given).returncode
    whole = (here / "out.html").read_text()
    (here / "out.html").unlink()
    played = in_a_process(here, *given, stdout=unread)
    assert (1, "") == (played.returncode, played.stderr)
    assert whole == (here / "out.html").read_text()


def test_where_nobody_reads_what_is_printed_a_replay_ends_in_silence(here, unread):
    write(here, good=HOLDS)
    played = in_a_process(here, "good.yaml", "--store", "memory", stdout=unread)
    assert (1, "") == (played.returncode, played.stderr)


def test_real_workers_are_played_where_imports_are_allowed_from_the_working_directory(here):
    (here / "night_shop.py").write_text(SHOP)
    write(here, a=REAL, b=REAL.replace("Shop", "Shop again"))
    played = in_a_process(here, "a.yaml", "b.yaml", "--allow-imports", "--postgres", "embedded")
    assert (0, "") == (played.returncode, played.stderr)
    first, second, last = played.stdout.splitlines()
    assert first.endswith(", memory = postgres")
    assert first.split(", ")[3] == second.split(", ")[3]
    assert "2 scenarios on memory and postgres: 2 held, 0 failed, 0 could not be read" == last


def test_without_leave_nothing_is_imported_and_the_remedy_is_told(here):
    (here / "night_shop.py").write_text("raise AssertionError('imported')")
    write(here, a=REAL)
    played = in_a_process(here, "a.yaml", "--store", "memory")
    assert 2 == played.returncode
    assert played.stderr.startswith("a.yaml:2:24: workers.Night.use: found 'night_shop:night'; ")
    assert "--allow-imports" in played.stderr
    assert "Traceback" not in played.stderr


def test_what_goes_past_pgjobs_to_a_database_is_refused(here):
    past = "from pgjobs.adapters.postgres.store import PostgresStore\nfrom pgjobs.leading import Heartbeats\n"
    past += "PostgresStore('postgresql://nobody@127.0.0.1:1/shop').run(Heartbeats())\n"
    (here / "night_shop.py").write_text(past)
    write(here, a=REAL)
    played = in_a_process(here, "a.yaml", "--store", "memory", "--allow-imports")
    assert 2 == played.returncode
    assert "importing night_shop raised CapturedStoreError: " in played.stderr
