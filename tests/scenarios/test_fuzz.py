"""No file, however mangled, is more than a refusal or a played scenario; and what the fuzz has found.

The whole of it: ``python -m tests.scenarios.fuzz --files 10000``.
"""
# ruff: noqa: E501 - in a table of messages, each is best read in one line

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing.scenarios import play as playing
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.scenarios.schema import json_schema
from pgjobs_testing.scenarios.source import MISTAKE_LIMIT, VALUE_LIMIT
from tests.scenarios import fuzz, mutating
from tests.scenarios.reading import mistakes, played, told

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_hundreds_of_mutated_files_are_read_and_played_without_a_traceback_in_bounded_memory():
    command = (sys.executable, "-m", "tests.scenarios.fuzz", "--files", "300", "--seed", "7")
    limits = ("--events", "1000", "--turns", "2000", "--memory", "1024")
    ended = subprocess.run(
        (*command, *limits), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (0, "") == (ended.returncode, ended.stderr), ended.stdout
    assert "300 files of seed 7" in ended.stdout


def test_equal_seeds_make_equal_files():
    originals = mutating.corpus()
    first = [fuzz.content(originals, 3, n) for n in range(40)]
    assert first == [fuzz.content(originals, 3, n) for n in range(40)]
    assert first != [fuzz.content(originals, 4, n) for n in range(40)]


def test_what_the_reader_accepts_the_schema_accepts():
    validator, originals = Draft7Validator(json_schema()), mutating.corpus()
    accepted = 0
    for number in range(0, 300, 5):  # mutations of the structure
        text = fuzz.content(originals, 11, number).decode("utf-8", "replace")
        try:
            _, source = read_text(text)
        except InvalidScenarioError:
            continue
        accepted += 1
        assert [] == [error.message for error in validator.iter_errors(source.data)], text
    assert accepted > 2


def test_thousands_of_mistakes_near_to_thousands_of_names_are_told_in_part():
    workers = ", ".join(f"worker_number_{n}: {{}}" for n in range(900))
    steps = ", ".join(f"{{at: 0s, insert: {{worker: wroker_nubmer_{n}}}}}" for n in range(900))
    found = mistakes(f"name: n\nworkers: {{{workers}}}\nsteps: [{steps}]\n")
    assert MISTAKE_LIMIT + 1 == len(found)
    assert "200 mistakes are told; the file has more, which are told after these" in found[-1]
    assert max(map(len, found)) < 1_000


def test_a_file_of_too_many_values_is_refused():
    (text,) = mistakes(f"a: [{'1,' * VALUE_LIMIT}]\n")
    assert text.endswith(f"found more than {VALUE_LIMIT:,} values; accepted: up to that")


@pytest.mark.parametrize(
    "lines, expected",
    [
        (f"nodes: [{', '.join(f'n{n}' for n in range(101))}]", "nodes: found a list; accepted: up to 100 of them"),
        (f"queues: {{{', '.join(f'q{n}: {{}}' for n in range(1_001))}}}", "queues: found a mapping; accepted: up to 1,000 of them"),
        (f"expect: [{', '.join(['{at: end, count: {}, is: 1}'] * 1_001)}]", "expect: found a list; accepted: up to 1,000 of them"),
    ],
)  # fmt: skip
def test_more_than_anybody_needs_is_refused(lines, expected):
    text = "name: n\nworkers: {W: {}}\nsteps: [{at: 0s, insert: {worker: W}}]\n"
    assert any(each.endswith(expected) for each in mistakes(f"{text}{lines}\n"))


def test_an_end_that_a_duty_runs_into_ends_the_play(monkeypatch):
    monkeypatch.setattr(playing, "EVENT_LIMIT", 300)
    result = played(
        """\
        name: n
        plugins: {cron: {crontab: [["* * * * *", W]]}}
        workers: {W: {unique: {period: null}, runs: [{hang: true}]}}
        until: 400d
        """
    )
    assert result.endless
    assert len(result.trace) <= 303


def test_many_queues_count_as_many_turns(monkeypatch):
    monkeypatch.setattr(playing, "TURN_LIMIT", 1_000)
    queues = ", ".join(f"q{n}: {{}}" for n in range(90))
    (text,) = told(
        f"name: n\nnodes: [a, b]\nqueues: {{{queues}}}\nworkers: {{W: {{queue: q1}}}}\n"
        "steps: [{at: 0s, insert: {worker: W, schedule_in: 300d}}]\n"
    )
    assert "stopped at 8m20s: the scenario has not come to an end after 1,000 turns" in text


def test_hundreds_of_failed_expectations_cost_no_more_than_they_show():
    expect = "\n".join(f"  - {{at: {n}s, job: x, state: cancelled}}" for n in range(400))
    text = (
        "name: n\nworkers: {W: {max_attempts: 1000, backoff: {constant: 1s}, runs: [{error: e}]}}\n"
        f"steps: [{{at: 0s, insert: {{as: x, worker: W}}}}]\nexpect:\n{expect}\nuntil: 500s\n"
    )
    scenario, source = read_text(textwrap.dedent(text), "f")
    result = replay(scenario, source, MemoryStore())
    assert 400 == len(result.failures)
    assert all(failure.text(source) for failure in result.failures)


def test_a_job_that_fails_for_ever_is_stopped_before_its_history_fills_the_memory():
    text = """
    name: n
    workers: {W: {max_attempts: 32767, backoff: {constant: 0s}, runs: [{error: e}]}}
    steps: [{at: 0s, insert: {worker: W}}]
    """
    scenario, source = read_text(textwrap.dedent(text))
    ended = replay(scenario, source, MemoryStore())
    assert ended.endless
    assert "the scenario's jobs fail on and on" in ended.failures[0].text(source)
    attempts = len(ended.trace.of("retryable"))
    assert 700 < attempts < 1_500
