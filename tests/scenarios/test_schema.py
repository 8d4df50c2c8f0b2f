"""The JSON Schema says what the reader says, as far as a schema can, and a word on each key."""
# ruff: noqa: E501 - in a table of files, each is best read in one line

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from pgjobs_testing.scenarios.descriptions import DESCRIPTIONS
from pgjobs_testing.scenarios.schema import json_schema
from pgjobs_testing.scenarios.source import parse, read_source
from tests.scenarios.reading import mistakes

SCHEMA = json_schema()
VALIDATOR = Draft7Validator(SCHEMA)
FILES = sorted((Path(__file__).parents[2] / "scenarios").rglob("*.yaml"))
STEP = "name: n\nworkers: {W: {}}\nsteps:\n  - {at: 0s, insert: {as: x, worker: W}}\n"


def refusals(text: str) -> list[str]:
    data = parse("f", textwrap.dedent(text)).data
    return [error.message for error in VALIDATOR.iter_errors(data)]


def forms() -> list[tuple[str, dict[str, Any]]]:
    """Every mapping of the schema, with the name of its model."""
    parts = [("Scenario", SCHEMA), *SCHEMA["definitions"].items()]
    return [
        (name, form)
        for name, part in parts
        for form in (part, *part.get("anyOf", ()))
        if "properties" in form
    ]


def test_it_is_a_schema_of_draft_07():
    Draft7Validator.check_schema(SCHEMA)
    assert "http://json-schema.org/draft-07/schema#" == SCHEMA["$schema"]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_shipped_scenario_is_as_the_schema_has_it(path):
    assert [] == [error.message for error in VALIDATOR.iter_errors(read_source(path).data)]


def test_every_key_is_described_and_nothing_else_is():
    described = {
        name: {key for key, schema in form["properties"].items() if schema.get("description")}
        for name, form in forms()
    }
    assert {name: set(keys) for name, keys in DESCRIPTIONS.items()} == described
    assert all(len(form["properties"]) == len(described[name]) for name, form in forms())


def test_examples_are_accepted_where_they_stand():
    for name, form in forms():
        for key, schema in form["properties"].items():
            for example in schema.get("examples", ()):
                own = Draft7Validator({**schema, "definitions": SCHEMA["definitions"]})
                assert [] == [e.message for e in own.iter_errors(example)], (name, key)


@pytest.mark.parametrize(
    "text",
    [
        "name: n\n",
        "steps: [{at: 0s, pause_all: true}]\n",
        "name: ''\nsteps: [{at: 0s, pause_all: true}]\n",
        f"{STEP}plugins: {{cron: {{crontab: [['@daily', W]]}}}}\n",
        *(f"{STEP}{line}\n" for line in (
            "sed: 7", "seed: -1", "seed: '7'", "jitter: no", "start: 2025-01-01T00:00:00", "start: 0s",
            "until: 10 minutes", "until: 600", "nodes: [7]", "nodes: []", "nodes: a", "plugins: {prunner: {}}",
            f"nodes: [{', '.join(f'n{n}' for n in range(101))}]",
            "plugins: {stalled: }", "plugins: {stalled: {interval: 0s}}", "plugins: {pruner: {limit: 0}}",
            "plugins: {cron: {}}", "plugins: {cron: {crontab: []}}\nuntil: 1h", "plugins: {cron: {crontab: [W]}}\nuntil: 1h",
            "plugins: {cron: {crontab: [['@daily', {worker: W, as: y}]]}}\nuntil: 1h",
            "plugins: {cron: {crontab: [['@daily', W, W]]}}\nuntil: 1h",
            "queues: {q: 1}", "queues: {q: {concurrency: 0}}", "queues: {q: {rate_limit: {allowed: 1}}}",
            "queues: {q: {rate_limit: {allowed: 1, period: 0s}}}",
            "expect: [{at: 1s, job: x}]", "expect: [{at: 1s, job: x, state: complete}]", "expect: [{at: 1s, count: {}}]",
            "expect: [{at: 1s, is: 1}]", "expect: [{at: 1s, jobs: {}}]", "expect: [{at: 1s, job: x, is: 1, attempt: 1}]",
            "expect: [{at: 1s, job: x, count: {}, is: 1}]", "expect: [{at: 1s}]", "expect: [{at: 1s, job: , state: completed}]",
            "expect: [{at: 1s, count: {state: [done]}, is: 0}]", "expect: [{at: 1s, count: {}, is: -1}]",
            "expect: [{at: 1s, count: {}, is: 1, state: completed}]", "trace: 7", "invariants: yes",
        )),
        *(f"name: n\nworkers: {{W: {worker}}}\nsteps: [{{at: 0s, insert: {{worker: W}}}}]\n" for worker in (
            "{max_attempts: 32768}", "{bakoff: guide}", "{backoff: guid}", "{backoff: {jitter: 0.1}}", "{backoff: {linear: 1s, constant: 1s}}",
            "{backoff: {linear: 60s, jitter: 30}}", "{timeout: 0s}", "{runs: []}", "{runs: [okay]}", "{runs: [{for: 2}]}", "{runs: [{error: 503}]}",
            "{runs: [{error: e, snooze: 1s}]}", "{runs: [{hang: true, for: 1s}]}", "{runs: [{hang: false}]}", "{use: shop.jobs}",
            "{use: 'shop.jobs:w', queue: q}", "{unique: {fields: [arg]}}", "{unique: {period: 0s}}", "{replace: {done: true}}", "{replace: {available: [arg]}}",
            "{unique: }", "7", "{runs: [{ignores: true}]}", "{runs: [{ignores: true, hang: true}]}", "{runs: [{ignores: 1, for: 1s}]}",
            "{runs: [{hang: true, insert_all: [{worker: W}]}]}",
        )),
        *(f"{STEP}plugins: {{leader_tasks: {{crontab: [{entry}]}}}}\nuntil: 1h\n" for entry in (
            "", "clean", "['* * * * *']", "['* * * * *', 7]", "['* * * * *', {runs: [ok]}]", "['* * * * *', {task: clean, runs: []}]",
            "['* * * * *', {task: clean, runs: [{error: why}]}]", "['* * * * *', {task: clean, runs: [{hang: true, for: 1s}]}]",
            "['* * * * *', {task: clean, runs: [{ignores: true}]}]", f"['* * * * *', {'a' * 101}]",
        )),
        f"{STEP}plugins: {{leader_tasks: {{crontab: [['* * * * *', clean]]}}}}\n",
        *(f"{STEP}  - {step}\n" for step in (
            "{at: 1s}", "{at: 1s, insrt: {}}", "{pause: default}", "{at: 1s, pause: a, resume: a}", "{at: 1s, scale: {queue: default}}",
            "{at: 1s, pause_all: false}", "{at: 1s, insert: {worker: W, schedule_in: 1s, scheduled_at: 1s}}", "{at: 1s, stop: a}",
            "{at: 1s, stop: {node: a, grace: 5}}", "{at: 1s, suspend: {node: a}}", "{at: 1s, skew: {node: a, by: minus 5s}}",
            "{at: 1s, drop_notifications: yes}", "{at: 1s, database: off}", "{at: 1s, insert: {}}", "{at: 1s, insert_all: {worker: W}}", "7",
            "{at: 1s, crash: a, restart: a}", "{at: end, pause: a}",
            "{at: 1s, crash: {node: a}}", "{at: 1s, crash: {after: claim}}", "{at: 1s, crash: {node: a, after: clam}}", "{at: 1s, crash: [a]}",
            "{at: 1s, crash: {node: a, before: claim, after: settle}}", "{at: 1s, crash: {node: a, after: }}", "{at: 1s, crash: ''}",
            f"{{at: 1s, crash: {'a' * 128}}}", "{at: 1s, restart: 7}", "{at: 1s, restart: {node: a, plugins: [corn]}}", "{at: 1s, restart: {plugins: []}}", "{at: 1s, restart: {node: a, queues: }}", "{at: 1s, restart: {node: a, queues: [7]}}",
            "{at: 1s, fail: a}", "{at: 1s, fail: {node: a, effect: claim}}", "{at: 1s, fail: {node: a, effect: clam, how: after}}",
            "{at: 1s, fail: {node: a, effect: any, how: lost}}", "{at: 1s, fail: {node: a, effect: any, how: after, by: 5s}}",
            "{at: 1s, fail: {node: a, effect: any, how: late, by: -5s}}", "{at: 1s, fail: {node: a, effect: any, how: late, times: 0}}",
            "{at: 1s, slow: {node: a}}", "{at: 1s, slow: {node: a, by: -1s}}", "{at: 1s, drift: {node: a, ppm: 0.5}}", "{at: 1s, drift: {node: a, ppm: 100001}}",
            "{at: 1s, delay_notifications: true}", "{at: 1s, delay_notifications: 5}", "{at: 1s, double_notifications: 2}",
        )),
    ],
)  # fmt: skip
def test_it_refuses_what_the_reader_refuses_for_a_reason_that_a_schema_can_say(text):
    assert mistakes(text)
    assert refusals(text)


@pytest.mark.parametrize(
    "text",
    [
        'name: n\nworkers: {W: {use: "shop.jobs:Night.ly"}}\nsteps: [{at: 0s, insert: {worker: W}}]\n',
        f"{STEP}  - {{at: 1s, pause_all: }}\n  - {{at: 2s, drop_notifications: true}}\n",
        f"{STEP}start: 2025-01-01 00:00:00+01:00\nuntil: 2025-06-01T00:00:00.5Z\n",
        f"{STEP}expect: [{{at: end, job: x, error: null, conflict: null, node: null, discarded_at: null}}]\n",
        "name: n\nplugins: {pruner: {}}\n",
        "name: n\nplugins: {pruner: {}}\nuntil: 1h\n",
        "name: n\nplugins: {leader_tasks: {timezone: Asia/Kathmandu, crontab: [['* * * * *', clean], ['@hourly', {task: sweep, runs: [ok, {raise: ValueError}]}]]}}\nuntil: 1h\n",
        f"{STEP}invariants: true\n",
        *(f"{STEP}  - {{at: 1s, {step}}}\n" for step in (
            "crash: a", "crash: {node: a, before: any}", "crash: {node: a, after: watermarks}", "fail: {node: a, effect: any, how: refused, times: 1000}",
            "fail: {node: a, effect: resign, how: late}", "fail: {node: a, effect: resign, how: late, by: 0s}", "slow: {node: a, by: 0s}",
            "drift: {node: a, ppm: -100000}", "delay_notifications: 0s", "double_notifications: true",
        )),
        *(f"{STEP}  - {{at: 1s, crash: a}}\n  - {{at: 2s, restart: {restart}}}\nplugins: {{stalled: {{}}}}\n" for restart in (
            "a", "{node: a}", "{node: a, plugins: stalled}", "{node: a, plugins: []}", "{node: a, queues: default}", "{node: a, queues: []}",
        )),
        "name: n\nworkers: {W: {runs: [{for: 0s, ignores: true}, {for: 1s, ignores: false, error: e}]}}\nsteps: [{at: 0s, insert: {worker: W}}]\n",
    ],
)  # fmt: skip
def test_it_accepts_what_the_reader_accepts(text):
    assert [] == refusals(text)
    assert [] == [told for told in mistakes(text) if "imports" not in told]
