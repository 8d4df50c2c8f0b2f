"""What a file says wrong is told all at once: where, what was found, what is accepted, what is near."""
# ruff: noqa: E501 - in a table of messages, each is best read in one line

from __future__ import annotations

from pathlib import Path

import pytest

from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from pgjobs_testing.scenarios.read import read, read_text
from pgjobs_testing.scenarios.source import DEPTH_LIMIT, SIZE_LIMIT
from tests.scenarios.reading import mistakes

A_DURATION = "a duration such as 250ms, 2s, 90s, 5m, 1h, 7d or 1h30m"
AN_INSTANT = f"{A_DURATION} after the start, or a date and time with its zone"
A_NAME = "a text of 1 to 127 characters"
STATES = "available, scheduled, executing, retryable, completed, discarded, cancelled, suspended"
ACTIONS = "insert, insert_all, cancel, retry, delete, pause, resume, scale, reset, pause_all, resume_all, hold, drain, crash, restart, stop, suspend, partition, heal, skew, drift, slow, fail, drop_notifications, delay_notifications, double_notifications, database"
EFFECTS = (
    "claim, settle, poll, find, beat, leave, lead, resign, rescue, prune, watermarks, tick, any"
)
HOWS = "before, after, late, conflict, deadlock, refused"
STEP = "name: n\nworkers: {W: {}}\nsteps:\n  - {at: 0s, insert: {as: x, worker: W}}\n"


def test_the_smallest_scenario_has_a_name_and_a_step():
    scenario, _ = read_text(STEP)
    assert ("n", ["a"], 0, False) == (
        scenario.name,
        scenario.nodes,
        scenario.seed,
        scenario.jitter,
    )
    assert "2025-01-01T00:00:00+00:00" == scenario.start.isoformat()


def test_every_mistake_is_told_at_once_in_the_order_of_the_file():
    assert [
        "1:1: found the unknown key 'nme'; did you mean 'name'?",
        "1:1: the key 'name' is missing",
        "2:25: workers.W.priority: found 10; accepted: a whole number from 0 to 9",
        f"3:14: steps[0].at: found 5; accepted: {AN_INSTANT}",
        "3:34: steps[0].insert.worker: no worker is named 'V'; known are W",
    ] == mistakes(
        """\
        nme: n
        workers: {W: {priority: 10}}
        steps: [{at: 5, insert: {worker: V}}]
        """
    )


def test_a_file_full_of_mistakes_is_told_as_the_golden_text_has_it():
    golden = Path(__file__).with_name("golden")
    with pytest.raises(InvalidScenarioError) as caught:
        read_text((golden / "wrong.txt").read_text("utf-8"), "wrong.yaml")
    assert (golden / "wrong.told.txt").read_text("utf-8") == f"{caught.value}\n"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", ["1:1: the file is empty; accepted: a mapping with name, workers and steps"]),
        ("# nothing\n", ["1:1: the file is empty; accepted: a mapping with name, workers and steps"]),
        ("- a\n", ["1:1: found a list; accepted: a mapping with name and steps"]),
        ("a: [1\n", ["2:1: not YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)"]),
        (f"{STEP}name: again\n", ["5:1: found the key 'name' again, given first in line 1; accepted: each key once"]),
        (f"{STEP}---\nname: b\n", ["5:1: found a second document; accepted: one"]),
        (f"{STEP}seed: !!int 7\n", ["5:7: found the tag tag:yaml.org,2002:int; accepted: plain data without tags"]),
        (f"{STEP}trace: !python/object x\n", ["5:8: found the tag !python/object; accepted: plain data without tags"]),
        (f"{STEP}seed: *s\n", ["5:7: found *s, and no &s before it"]),
        (f"{STEP}expect: &e [*e]\n", ["5:13: found *e within &e: it has no end"]),
        (f"{STEP}? [a]\n: b\n", ["5:3: found a key that is no plain text; accepted: a text"]),
        ('name: "a\\0b"\nsteps: []\n', [
            "1:7: found a NUL character or a lone surrogate; accepted: text for a database",
            "2:8: steps: found an empty list; accepted: a list with something in it",
        ]),
    ],
)  # fmt: skip
def test_what_is_no_plain_yaml_is_a_mistake(text, expected):
    assert expected == mistakes(text)


@pytest.mark.parametrize(
    "line, expected",
    [
        ("sed: 7", "5:1: found the unknown key 'sed'; did you mean 'seed'?"),
        ("zzz: 7", "5:1: found the unknown key 'zzz'; accepted: name, start, seed, jitter, nodes, queues, plugins, workers, steps, until, expect, invariants, trace"),
        ("name: 12:30", "5:1: found the key 'name' again, given first in line 1; accepted: each key once"),
        ("seed: -1", f"5:7: seed: found -1; accepted: a whole number from 0 to {2**64 - 1}"),
        ("seed: '7'", f"5:7: seed: found '7'; accepted: a whole number from 0 to {2**64 - 1}"),
        ("jitter: no", "5:9: jitter: found 'no'; accepted: true or false"),
        ("start: 2025-01-01T00:00:00", "5:8: start: found '2025-01-01T00:00:00'; accepted: a date and time with its zone, such as 2025-01-01T00:00:00Z; add the zone, as in 2025-01-01T00:00:00Z"),
        ("until: 10 minutes", f"5:8: until: found '10 minutes'; accepted: {AN_INSTANT}"),
        ("until: 600", f"5:8: until: found 600; accepted: {AN_INSTANT}"),
        ("until: 99999999d", "5:8: until: found '99999999d'; accepted: instants before the year 10000"),
        ("nodes: [7]", f"5:9: nodes[0]: found 7; accepted: {A_NAME}; quote it: '7'"),
        ("nodes: []", "5:8: nodes: found an empty list; accepted: a list with something in it"),
        ("nodes: [a, b, a]", "5:15: nodes[2]: found the name 'a' again; accepted: each name once"),
        ("plugins: {prunner: {}}", "5:11: found the unknown key 'prunner' in plugins; did you mean 'pruner'?"),
        ("plugins: {stalled: }", "5:19: plugins.stalled: found nothing; accepted: a value, or the key left out"),
        ("plugins: {stalled: {interval: 50ms}}", f"5:31: plugins.stalled.interval: found '50ms'; accepted: {A_DURATION}, at least 100ms"),
        ("plugins: {stalled: {rescue_after: 60}}", f"5:35: plugins.stalled.rescue_after: found 60; accepted: {A_DURATION}; give a unit, as in 60s"),
        ("plugins: {pruner: {limit: 0}}", "5:27: plugins.pruner.limit: found 0; accepted: a whole number from 1 to 100000"),
        ("plugins: {cron: {}}", "5:17: the key 'crontab' is missing in plugins.cron"),
        ("plugins: {cron: {crontab: []}}", "5:27: plugins.cron.crontab: found an empty list; accepted: a list with something in it"),
        ("plugins: {cron: {crontab: [W]}}", "5:28: plugins.cron.crontab[0]: found 'W'; accepted: a pair such as [\"0 * * * *\", Worker]"),
        ('plugins: {cron: {crontab: [["* * * * *", V]]}}', "5:42: plugins.cron.crontab[0][1]: no worker is named 'V'; known are W"),
        ('plugins: {cron: {crontab: [["* * * * *", {worker: V}]]}}', "5:51: plugins.cron.crontab[0][1].worker: no worker is named 'V'; known are W"),
        ('plugins: {cron: {crontab: [["* * * * *", {worker: W, prioritty: 1}]]}}', "5:54: found the unknown key 'prioritty' in plugins.cron.crontab[0][1]; did you mean 'priority'?"),
        ('plugins: {cron: {crontab: [["* * * * *", {worker: W, as: y}]]}}', "5:54: plugins.cron.crontab[0][1]: found 'as', which would mean one job of them all"),
        ('plugins: {cron: {crontab: [["* * * * *", W]]}}', "5:1: entries of a crontab have no end: the key 'until' is needed"),
        ('plugins: {cron: {timezone: America/New_Yorck, crontab: [["@daily", W]]}}', "5:28: plugins.cron.timezone: found 'America/New_Yorck'; accepted: an IANA time zone such as Europe/Berlin; did you mean 'America/New_York'?"),
        ("queues: {q: 1}", "5:13: queues.q: found 1; accepted: a mapping"),
        ("queues: {q: {nodes: []}}", "5:21: queues.q.nodes: found an empty list; accepted: a list with something in it"),
        ("queues: {q: {nodes: [a, bb]}}", "5:25: queues.q.nodes[1]: no node is named 'bb'; known are a"),
        ("queues: {q: {concurrency: 0}}", "5:27: queues.q.concurrency: found 0; accepted: a whole number from 1 to 100000"),
        ("expect: [{at: 1s, job: x}]", "5:10: expect[0]: says nothing of the job; accepted: state, attempt, ..."),
        ("expect: [{at: 1s, job: y, attempt: 1}]", "5:24: expect[0].job: no job is named 'y'; known are x"),
        ("expect: [{at: ned, job: x, attempt: 1}]", f"5:15: expect[0].at: found 'ned'; accepted: {AN_INSTANT}, or end; did you mean 'end'?"),
        ("expect: [{at: 1s, job: x, state: complete}]", f"5:34: expect[0].state: found 'complete'; accepted: one of {STATES}; did you mean 'completed'?"),
        ("expect: [{at: 1s, job: x, node: b}]", "5:33: expect[0].node: no node is named 'b'; known are a"),
        ("expect: [{at: 1s, count: {}}]", "5:10: expect[0]: count needs the key 'is' as well"),
        ("expect: [{at: 1s, count: {state: [done]}, is: 0}]", f"5:34: expect[0].count.state: found 'done'; accepted: one of {STATES}"),
        ("expect: [{at: 1s, jobs: {queue: defautl}, order: []}]", "5:33: expect[0].jobs.queue: no queue is named 'defautl'; did you mean 'default'?"),
        ("expect: [{at: 1s, job: x, is: 1, attempt: 1}]", "5:27: expect[0]: 'is' does not go with 'job'"),
        ("expect: [{at: 1s, job: x, count: {}, is: 1}]", "5:27: expect[0]: found job and count; an expectation is about one of: job, count, jobs"),
        ("invariants: yes", "5:13: invariants: found 'yes'; accepted: true or false"),
        ("invariant: true", "5:1: found the unknown key 'invariant'; did you mean 'invariants'?"),
        ("expect: [{at: 1s}]", "5:10: expect[0]: an expectation is about one of: job, count, jobs"),
        ("expect: [{at: 1s, job: }]", "5:23: expect[0].job: found nothing; accepted: a value, or the key left out"),
    ],
)  # fmt: skip
def test_a_mistake_at_the_top_names_what_is_accepted(line, expected):
    assert expected in mistakes(f"{STEP}{line}\n")


@pytest.mark.parametrize(
    "worker, expected",
    [
        ("{max_attempts: 32768}", "2:29: workers.W.max_attempts: found 32768; accepted: a whole number from 1 to 32767"),
        ("{bakoff: guide}", "2:15: found the unknown key 'bakoff' in workers.W; did you mean 'backoff'?"),
        ("{backoff: guid}", "2:24: workers.W.backoff: found 'guid'; accepted: guide, or a mapping such as {linear: 60s}; did you mean 'guide'?"),
        ("{backoff: {jitter: 0.1}}", "2:24: workers.W.backoff: a backoff is one of: constant, linear, exponential"),
        ("{backoff: {linear: 1s, constant: 1s}}", "2:37: workers.W.backoff: found linear and constant; a backoff is one of: constant, linear, exponential"),
        ("{backoff: {linear: 60s, jitter: 30}}", "2:46: workers.W.backoff.jitter: found 30; accepted: a number from 0 to 1"),
        ("{timeout: 0s}", f"2:24: workers.W.timeout: found '0s'; accepted: {A_DURATION}, more than 0s"),
        ("{runs: []}", "2:21: workers.W.runs: found an empty list; accepted: a list with something in it"),
        ("{runs: [okay]}", "2:22: workers.W.runs[0]: found 'okay'; accepted: ok, or a mapping such as {for: 2s, error: why}; did you mean 'ok'?"),
        ("{runs: [{for: 2}]}", f"2:28: workers.W.runs[0].for: found 2; accepted: {A_DURATION}; give a unit, as in 2s"),
        ("{runs: [{error: 503}]}", "2:30: workers.W.runs[0].error: found 503; accepted: a text; quote it: '503'"),
        ("{runs: [{error: e, snooze: 1s}]}", "2:33: workers.W.runs[0]: found error and snooze; accepted: one end of a run"),
        ("{runs: [{hang: true, for: 1s}]}", "2:35: workers.W.runs[0]: found for beside hang; a run that hangs has no end"),
        ("{runs: [{raise: ValueErorr}]}", "2:30: workers.W.runs[0].raise: found 'ValueErorr'; accepted: the name of a built-in exception, or that and its message: \"ValueError: why\"; did you mean 'ValueError'?"),
        ("{runs: [{raise: print}]}", "2:30: workers.W.runs[0].raise: found 'print'; accepted: the name of a built-in exception, or that and its message: \"ValueError: why\""),
        ("{runs: [{insert: {worker: V}}]}", "2:40: workers.W.runs[0].insert.worker: no worker is named 'V'; known are W"),
        ("{runs: [{ignores: yes, for: 1s}]}", "2:32: workers.W.runs[0].ignores: found 'yes'; accepted: true or false"),
        ("{runs: [{ignores: true}]}", "2:23: workers.W.runs[0]: found ignores without for; accepted: with how long it goes on"),
        ("{runs: [{hang: true, ignores: true}]}", "2:35: workers.W.runs[0]: found ignores without for; accepted: with how long it goes on"),
        ("{runs: [{ignore: true, for: 1s}]}", "2:23: found the unknown key 'ignore' in workers.W.runs[0]; did you mean 'ignores'?"),
        ("{runs: [{ignores: true, fro: 1s}]}", "2:38: found the unknown key 'fro' in workers.W.runs[0]; did you mean 'for'?"),
        ("{meta: {a: .nan}}", "2:21: workers.W.meta: found a mapping; accepted: an object that JSON can hold (meta.a is nan, which JSON cannot hold; use null or a string)"),
    ],
)  # fmt: skip
def test_a_mistake_of_a_worker_names_what_is_accepted(worker, expected):
    text = f"name: n\nworkers: {{W: {worker}}}\nsteps:\n  - {{at: 0s, insert: {{worker: W}}}}\n"
    assert [expected] == mistakes(text)


@pytest.mark.parametrize(
    "step, expected",
    [
        ("{at: 1s}", [f"5:5: steps[1]: a step does one of: {ACTIONS}"]),
        ("{at: 1s, insrt: {}}", ["5:14: found the unknown key 'insrt' in steps[1]; did you mean 'insert'?"]),
        ("{pause: default}", ["5:5: the key 'at' is missing in steps[1]"]),
        ("{at: 1s, pause: default, resume: default}", [f"5:30: steps[1]: found pause and resume; a step does one of: {ACTIONS}"]),
        ("{at: 1s, pause: defualt}", ["5:21: steps[1].pause: no queue is named 'defualt'; did you mean 'default'?"]),
        ("{at: 1s, cancel: y}", ["5:22: steps[1].cancel: no job is named 'y'; known are x"]),
        ("{at: 1s, cancel: 7}", ["5:22: steps[1].cancel: found 7; accepted: a job's name, or filters such as {queue: mail, state: retryable}"]),
        ("{at: 1s, cancel: [x]}", ["5:22: steps[1].cancel: found a list; accepted: a job's name, or filters such as {queue: mail, state: retryable}"]),
        ("{at: 1s, retry: {stat: discarded}}", ["5:22: found the unknown key 'stat' in steps[1].retry; did you mean 'state'?"]),
        ("{at: 1s, retry: {state: discarde}}", [f"5:29: steps[1].retry.state: found 'discarde'; accepted: one of {STATES}; did you mean 'discarded'?"]),
        ("{at: 1s, delete: {worker: V, jobs: [x, y]}}", [
            "5:31: steps[1].delete.worker: no worker is named 'V'; known are W",
            "5:44: steps[1].delete.jobs[1]: no job is named 'y'; known are x",
        ]),
        ("{at: 1s, scale: {queue: default}}", ["5:21: the key 'concurrency' is missing in steps[1].scale"]),
        ("{at: 1s, pause_all: false}", ["5:25: steps[1].pause_all: found false; accepted: nothing, or true"]),
        ("{at: 1s, insert: {worker: W, as: x}}", ["5:38: steps[1].insert: found the name 'x' again, given in line 4; accepted: each name once"]),
        ("{at: 1s, insert: {worker: W, schedule_in: 1s, scheduled_at: 1s}}", ["5:51: steps[1].insert: found schedule_in and scheduled_at; accepted: one of them"]),
        ("{at: 1s, crash: c}", ["5:21: steps[1].crash: no node is named 'c'; known are a"]),
        ("{at: 1s, crash: a, restart: a}", [f"5:24: steps[1]: found crash and restart; a step does one of: {ACTIONS}"]),
        ("{at: 1s, stop: a}", ["5:20: steps[1].stop: found 'a'; accepted: a mapping"]),
        ("{at: 1s, stop: {node: a, grace: 5}}", [f"5:37: steps[1].stop.grace: found 5; accepted: {A_DURATION}; give a unit, as in 5s"]),
        ("{at: 1s, suspend: {node: a}}", ["5:23: the key 'for' is missing in steps[1].suspend"]),
        ("{at: 1s, suspend: {node: aa, for: 5s}}", ["5:30: steps[1].suspend.node: no node is named 'aa'; did you mean 'a'?"]),
        ("{at: 1s, skew: {node: a, by: minus 5s}}", [f"5:34: steps[1].skew.by: found 'minus 5s'; accepted: {A_DURATION}, or one behind such as -5s"]),
        ("{at: 1s, skew: {node: a, by: -36501d}}", [f"5:34: steps[1].skew.by: found '-36501d'; accepted: {A_DURATION}, or one behind such as -5s, up to 36500d"]),
        ("{at: 1s, drop_notifications: yes}", ["5:34: steps[1].drop_notifications: found 'yes'; accepted: true or false"]),
        ("{at: 1s, drop_notifications: false}", ["5:14: steps[1]: found drop_notifications: false, but none are dropped; accepted: true and false in turn"]),
        ("{at: 1s, database: off}", ["5:24: steps[1].database: found 'off'; accepted: up or down"]),
        ("{at: 1s, database: up}", ["5:14: steps[1]: found database: 'up', but the database is up; accepted: down and up in turn"]),
        ("{at: 1s, heal: a}", ["5:14: steps[1]: found heal: 'a', but a is not cut off; accepted: a node after its partition"]),
        ("{at: 1s, restart: a}", ["5:14: steps[1]: found restart: 'a', but a is up; accepted: a node that has crashed or stopped"]),
        ("{at: 1s, partition: a}", ["5:14: steps[1]: found partition, which nothing ends: the key 'until' is needed"]),
        ("{at: 1s, database: down}", ["5:14: steps[1]: found database, which nothing ends: the key 'until' is needed"]),
        ('{at: "2024-12-31T23:59:59Z", pause: default}', [
            "5:10: steps[1].at: found '2024-12-31T23:59:59Z' after a later step; accepted: steps in order",
            "5:10: steps[1].at: found an instant before the start",
        ]),
        ("{at: 1s, crash: {node: a}}", ["5:14: steps[1].crash: found neither before nor after; accepted: one of before and after, or the node's name alone"]),
        ("{at: 1s, crash: {node: a, before: claim, after: settle}}", ["5:46: steps[1].crash: found before and after; accepted: one of before and after, or the node's name alone"]),
        ("{at: 1s, crash: {node: a, after: clam}}", [f"5:38: steps[1].crash.after: found 'clam'; accepted: one of {EFFECTS}; did you mean 'claim'?"]),
        ("{at: 1s, crash: {node: a, afer: claim}}", ["5:31: found the unknown key 'afer' in steps[1].crash; did you mean 'after'?"]),
        ("{at: 1s, crash: {after: claim}}", ["5:21: the key 'node' is missing in steps[1].crash"]),
        ("{at: 1s, crash: {node: aa, after: claim}}", ["5:28: steps[1].crash.node: no node is named 'aa'; did you mean 'a'?"]),
        ("{at: 1s, crash: [a]}", ["5:21: steps[1].crash: found a list; accepted: a node's name, or a mapping such as {node: a, after: claim}"]),
        ("{at: 1s, restart: 7}", ["5:23: steps[1].restart: found 7; accepted: a node's name, or a mapping such as {node: a, plugins: [stalled], queues: [mail]}"]),
        ("{at: 1s, fail: a}", ["5:20: steps[1].fail: found 'a'; accepted: a mapping"]),
        ("{at: 1s, fail: {node: a}}", ["5:20: the key 'effect' is missing in steps[1].fail", "5:20: the key 'how' is missing in steps[1].fail"]),
        ("{at: 1s, fail: {node: a, effect: setle, how: late}}", [f"5:38: steps[1].fail.effect: found 'setle'; accepted: one of {EFFECTS}; did you mean 'settle'?"]),
        ("{at: 1s, fail: {node: a, effect: any, how: lat}}", [f"5:48: steps[1].fail.how: found 'lat'; accepted: one of {HOWS}; did you mean 'late'?"]),
        ("{at: 1s, fail: {node: a, effect: any, how: lost}}", [f"5:48: steps[1].fail.how: found 'lost'; accepted: one of {HOWS}"]),
        ("{at: 1s, fail: {node: a, effect: any, how: after, by: 5s}}", ["5:55: steps[1].fail: found by, and it fails after; accepted: by where how is late"]),
        ("{at: 1s, fail: {node: a, effect: any, how: late, times: 1001}}", ["5:61: steps[1].fail.times: found 1001; accepted: a whole number from 1 to 1000"]),
        ("{at: 1s, fail: {node: b, effect: any, how: late}}", ["5:27: steps[1].fail.node: no node is named 'b'; known are a"]),
        ("{at: 1s, slow: {node: a, by: -1s}}", [f"5:34: steps[1].slow.by: found '-1s'; accepted: {A_DURATION}"]),
        ("{at: 1s, slow: {node: aa, by: 1s}}", ["5:27: steps[1].slow.node: no node is named 'aa'; did you mean 'a'?"]),
        ("{at: 1s, drift: {node: a, ppm: 0.5}}", ["5:36: steps[1].drift.ppm: found 0.5; accepted: a whole number from -100000 to 100000"]),
        ("{at: 1s, drift: {node: a, pmm: 5}}", ["5:21: the key 'ppm' is missing in steps[1].drift", "5:31: found the unknown key 'pmm' in steps[1].drift; did you mean 'ppm'?"]),
        ("{at: 1s, delay_notifications: 5}", [f"5:35: steps[1].delay_notifications: found 5; accepted: {A_DURATION}; give a unit, as in 5s"]),
        ("{at: 1s, double_notifications: 2}", ["5:36: steps[1].double_notifications: found 2; accepted: true or false"]),
        ("{at: 1s, double_notifications: false}", ["5:14: steps[1]: found double_notifications: false, but none are doubled; accepted: true and false in turn"]),
        ("{at: 1s, duble_notifications: true}", ["5:14: found the unknown key 'duble_notifications' in steps[1]; did you mean 'double_notifications'?"]),
        ("7", ["5:5: steps[1]: found 7; accepted: a mapping"]),
    ],
)  # fmt: skip
def test_a_mistake_of_a_step_names_what_is_accepted(step, expected):
    assert expected == mistakes(f"{STEP}  - {step}\n")


@pytest.mark.parametrize(
    "first, then, expected",
    [
        ("crash: a", "crash: a", "found crash: 'a', but a is down, since line 5; accepted: a node that is up"),
        ("crash: a", "stop: {node: a}", "found stop, but a is down, since line 5; accepted: a node that is up, not suspended and not stopping"),
        ("crash: a", "suspend: {node: a, for: 1s}", "found suspend, but a is down, since line 5; accepted: a node that is up and not suspended"),
        ("suspend: {node: a, for: 9s}", "suspend: {node: a, for: 9s}", "found suspend, but a is suspended, since line 5; accepted: a node that is up and not suspended"),
        ("suspend: {node: a, for: 9s}", "stop: {node: a}", "found stop, but a is suspended, since line 5; accepted: a node that is up, not suspended and not stopping"),
        ("stop: {node: a}", "stop: {node: a}", "found stop, but a is stopping already, since line 5; accepted: a node that is up, not suspended and not stopping"),
        ("partition: a", "partition: a", "found partition: 'a', but a is cut off already, since line 5; accepted: a node that is not cut off"),
        ("drop_notifications: true", "drop_notifications: true", "found drop_notifications: true, but they are dropped already, since line 5; accepted: true and false in turn"),
        ("double_notifications: true", "double_notifications: true", "found double_notifications: true, but they are doubled already, since line 5; accepted: true and false in turn"),
        ("crash: a", "crash: {node: a, after: claim}", "found crash, but a is down, since line 5; accepted: a node that is up"),
        ("crash: a", "fail: {node: a, effect: claim, how: after}", "found fail, but a is down, since line 5; accepted: a node that is up"),
        ("database: down", "database: down", "found database: 'down', but the database is down already, since line 5; accepted: down and up in turn"),
        ("database: down", "insert: {worker: W}", "found insert, but the database is down, since line 5; accepted: it before the database is down, or once it is up again"),
        ("database: down", "cancel: x", "found cancel: 'x', but the database is down, since line 5; accepted: it before the database is down, or once it is up again"),
    ],
)  # fmt: skip
def test_a_fault_that_cannot_be_after_another_says_since_when(first, then, expected):
    text = f"{STEP}  - {{at: 1s, {first}}}\n  - {{at: 5s, {then}}}\nuntil: 1h\n"
    assert [f"6:14: steps[2]: {expected}"] == mistakes(text)


@pytest.mark.parametrize(
    "then",
    ["crash: a", "crash: {node: a, before: beat}", "stop: {node: a}", "restart: a", "fail: {node: a, effect: any, how: late}"],
)  # fmt: skip
def test_a_node_that_is_to_crash_at_a_point_may_be_up_or_down(then):
    text = f"{STEP}  - {{at: 1s, crash: {{node: a, after: claim}}}}\n  - {{at: 5s, {then}}}\n"
    assert [] == mistakes(text)


@pytest.mark.parametrize(
    "then", ["slow: {node: a, by: 1s}", "drift: {node: a, ppm: -5}", "skew: {node: a, by: 1s}"]
)
def test_lines_and_clocks_are_of_the_machine_and_there_while_its_process_is_not(then):
    assert [] == mistakes(f"{STEP}  - {{at: 1s, crash: a}}\n  - {{at: 5s, {then}}}\n")


@pytest.mark.parametrize(
    "plugins, told",
    [
        ("[stalled]", []),
        ("stalled", []),
        ("[]", []),
        ("[pruner]", ["6:43: steps[2].restart.plugins[0]: no plugin of the file is named 'pruner'; known are stalled"]),
        ("[stalled, cron]", ["6:52: steps[2].restart.plugins[1]: no plugin of the file is named 'cron'; known are stalled"]),
        ("cron", ["6:42: steps[2].restart.plugins: no plugin of the file is named 'cron'; known are stalled"]),
        ("[corn]", ["6:42: steps[2].restart.plugins: found 'corn'; accepted: one of stalled, pruner, cron, leader_tasks; did you mean 'cron'?"]),
        ("7", ["6:42: steps[2].restart.plugins: found 7; accepted: one of stalled, pruner, cron, leader_tasks"]),
    ],
)  # fmt: skip
def test_a_process_begins_anew_with_plugins_of_the_file(plugins, told):
    text = f"{STEP}  - {{at: 1s, crash: a}}\n  - {{at: 5s, restart: {{node: a, plugins: {plugins}}}}}\nplugins: {{stalled: {{}}}}\n"
    assert told == mistakes(text)


@pytest.mark.parametrize(
    "queues, told",
    [
        ("[default]", []),
        ("default", []),
        ("[]", []),
        ("[default, mail]", ["6:51: steps[2].restart.queues[1]: no queue is named 'mail'; known are default"]),
        ("defualt", ["6:41: steps[2].restart.queues: no queue is named 'defualt'; did you mean 'default'?"]),
        ("[7]", ["6:41: steps[2].restart.queues: found 7; accepted: a text of 1 to 127 characters; quote it: '7'"]),
        ("{default: 1}", ["6:41: steps[2].restart.queues: found a mapping; accepted: a text of 1 to 127 characters"]),
        ("", ["6:40: steps[2].restart.queues: found nothing; accepted: a value, or the key left out"]),
    ],
)  # fmt: skip
def test_a_process_begins_anew_with_queues_of_the_file(queues, told):
    text = f"{STEP}  - {{at: 1s, crash: a}}\n  - {{at: 5s, restart: {{node: a, queues: {queues}}}}}\nplugins: {{stalled: {{}}}}\n"
    assert told == mistakes(text)


A_TASK = "a function's name, or a mapping such as {task: clean, runs: [{for: 2s}]}"


@pytest.mark.parametrize(
    "task, told",
    [
        ("clean", []),
        ("{task: clean}", []),
        ("{task: clean, runs: [ok, {for: 2s, raise: ValueError}, {hang: true}, {for: 1s, ignores: true}]}", []),
        ("{task: clean, runs: [{error: why}]}", ["6:64: found the unknown key 'error' in plugins.leader_tasks.crontab[0][1].runs[0]; accepted: for, raise, hang, ignores"]),
        ("{task: clean, runs: []}", ["6:62: plugins.leader_tasks.crontab[0][1].runs: found an empty list; accepted: a list with something in it"]),
        ("{name: clean}", ["6:42: the key 'task' is missing in plugins.leader_tasks.crontab[0][1]", "6:43: found the unknown key 'name' in plugins.leader_tasks.crontab[0][1]; accepted: task, runs"]),
        ("7", [f"6:42: plugins.leader_tasks.crontab[0][1]: found 7; accepted: {A_TASK}"]),
        (f"{'a' * 101}", [f"6:42: plugins.leader_tasks.crontab[0][1]: found '{'a' * 57}...'; accepted: {A_TASK}"]),
        ("first", ["6:62: plugins.leader_tasks.crontab[1][1]: found the name 'first' again; accepted: each name once"]),
        ("{task: clean, runs: [{for: 1s, hang: true}]}", ["6:64: plugins.leader_tasks.crontab[0][1].runs[0]: found for beside hang; a run that hangs has no end"]),
    ],
)  # fmt: skip
def test_a_leader_calls_scripted_functions(task, told):
    text = f'{STEP}plugins:\n  leader_tasks: {{crontab: [["* * * * *", {task}], ["@hourly", first]]}}\nuntil: 1h\n'
    assert told == mistakes(text)


def test_a_suspension_is_over_at_the_instant_at_which_it_ends():
    text = f"{STEP}  - {{at: 1s, suspend: {{node: a, for: 4s}}}}\n"
    assert [] == mistakes(f"{text}  - {{at: 5s, stop: {{node: a}}}}\n")
    assert 1 == len(mistakes(f"{text}  - {{at: 4999ms, stop: {{node: a}}}}\n"))


def test_a_scenario_has_steps_or_plugins():
    assert ["1:1: the key 'steps' is missing"] == mistakes("name: n\n")
    assert [] == mistakes("name: n\nplugins: {pruner: {}}\n")
    assert [] == mistakes("name: n\nplugins: {pruner: {}}\nuntil: 1h\n")


def test_a_cron_expression_that_is_none_is_told_with_its_reason():
    (told,) = mistakes(f"{STEP}plugins: {{cron: {{crontab: [['61 * * * *', W]]}}}}\nuntil: 1h\n")
    assert told.startswith(
        "5:29: plugins.cron.crontab[0][0]: found '61 * * * *'; accepted: a cron expression such as "
        "'0 * * * *' ("
    )
    assert "minute" in told


def test_a_step_may_not_name_a_job_that_is_inserted_later():
    assert ["4:22: steps[0].cancel: found 'x', which is inserted later, in line 5"] == mistakes(
        """\
        name: n
        workers: {W: {}}
        steps:
          - {at: 0s, cancel: x}
          - {at: 1s, insert: {as: x, worker: W}}
        """
    )


def test_nothing_may_come_after_until():
    text = (
        f"{STEP}  - {{at: 2s, pause_all}}\nuntil: 1s\nexpect:\n  - {{at: 3s, count: {{}}, is: 1}}\n"
    )
    assert [
        "5:10: steps[1].at: found '2s'; accepted: instants up to until, 1s",
        "8:10: expect[0].at: found '3s'; accepted: instants up to until, 1s, or 'end'",
    ] == mistakes(text)


def test_texts_that_look_like_old_yaml_stay_texts():
    scenario, _ = read_text(
        "name: 12:30\nqueues: {no: {}}\nworkers: {W: {queue: no, tags: [yes, on, 0b1, 1_000]}}\n"
        "steps: [{at: 0s, insert: {worker: W, args: {a: 12:30, b: no, c: 0o17, d: ~}}}]\n"
    )
    assert "12:30" == scenario.name
    assert ["no"] == list(scenario.queues)
    assert ["yes", "on", "0b1", "1_000"] == scenario.workers["W"].tags
    insert = scenario.steps[0].insert
    assert insert is not None
    assert {"a": "12:30", "b": "no", "c": 15, "d": None} == insert.args


def test_anchors_may_be_used_within_bounds():
    scenario, _ = read_text(
        "name: n\nworkers: {W: {}}\nsteps:\n  - {at: 0s, insert_all: [&j {worker: W}, *j, *j]}\n"
    )
    inserts = scenario.steps[0].insert_all
    assert inserts is not None
    assert ["W"] * 3 == [each.worker for each in inserts]


def test_aliases_that_expand_beyond_a_mebibyte_are_refused():
    lines = [f"a0: &a0 {'x' * 100}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert ["5:5: found aliases that expand to more than 1 MiB; accepted: up to 1 MiB"] == mistakes(
        "\n".join(lines)
    )


def test_a_file_too_deep_is_refused():
    assert [f"1:{DEPTH_LIMIT + 3}: nested deeper than {DEPTH_LIMIT} levels"] == mistakes(
        f"a: {'[' * 100_000}"
    )


def test_aliases_may_not_nest_what_the_file_could_not():
    lines = ["a0: &a0 x", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 1_000))]
    assert [f"{DEPTH_LIMIT + 1}:6: nested deeper than {DEPTH_LIMIT} levels"] == mistakes(
        "\n".join(lines)
    )


def test_a_file_too_large_is_refused(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (SIZE_LIMIT + 1))
    with pytest.raises(InvalidScenarioError, match="larger than 1 MiB"):
        read(path)


def test_bytes_that_are_no_utf_8_are_placed(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: n\nseed: \xe9\n")
    with pytest.raises(
        InvalidScenarioError, match=r":2:7: found the byte 0xe9; accepted: text in UTF-8"
    ):
        read(path)


def test_a_file_that_is_not_there_is_no_traceback(tmp_path):
    with pytest.raises(InvalidScenarioError, match="cannot be read: No such file or directory"):
        read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "line, expected",
    [
        ("workers: {W: {replace: {available: true}}}", "2:14: workers.W: replace needs unique, by which the job to be replaced is found: give unique=Unique(...) as well, or leave replace out"),
        ("workers: {W: {unique: {fields: [worker], keys: [a]}}}", "2:14: workers.W: unique has keys, which narrow args, and fields without args: give one of them"),
        ("workers: {W: {unique: {states: []}}}", "2:14: workers.W: the states of unique are a list of texts such as [\"available\", \"scheduled\"], not ()"),
        ("workers: {W: {runs: [{insert: {worker: W, replace: {available: true}}}]}}", "2:31: workers.W.runs[0].insert: replace needs unique, by which the job to be replaced is found: give unique=Unique(...) as well, or leave replace out"),
    ],
)  # fmt: skip
def test_what_the_engine_itself_refuses_is_a_mistake_of_the_file(line, expected):
    assert [expected] == mistakes(f"name: n\n{line}\nsteps: [{{at: 0s, insert: {{worker: W}}}}]\n")


def test_a_crontab_and_an_insert_that_cannot_be_are_told_beside_other_mistakes():
    text = (
        f"{STEP}  - {{at: 1s, insert_all: [{{worker: W, replace: {{available: true}}}}]}}\n"
        "plugins: {cron: {crontab: [['@daily', {worker: W, replace: {available: true}}]]}}\n"
    )
    told = mistakes(text)
    assert 3 == len(told)
    assert told[0].startswith("5:27: steps[1].insert_all[0]: replace needs unique")
    assert told[1] == "6:1: entries of a crontab have no end: the key 'until' is needed"
    assert told[2].startswith("6:39: plugins.cron.crontab[0][1]: replace needs unique")
