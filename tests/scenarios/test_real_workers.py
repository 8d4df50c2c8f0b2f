"""Real workers in scenarios: they play in virtual time, on both stores alike, and touch nothing real."""
# ruff: noqa: E501 - scenarios and messages are each best read in one line

from __future__ import annotations

import textwrap
from datetime import timedelta

import pytest

from pgjobs import telemetry
from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Count
from pgjobs.rules.selection import Selection
from pgjobs.telemetry import PROCESS
from pgjobs.worker import REGISTRY
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.real import REFUSAL, Imports
from pgjobs_testing.scenarios.replay import Replay, replay, store_difference
from tests.scenarios import shop
from tests.scenarios.reading import mistakes

pytestmark = pytest.mark.usefixtures("shop_instance")

USE = 'use: "tests.scenarios.shop:'


@pytest.fixture(autouse=True)
def nothing_seen():
    shop.seen.clear()


def play(text: str, store=None, **options) -> Replay:
    scenario, source = read_text(textwrap.dedent(text), "f", Imports(allowed=True))
    played = replay(scenario, source, store or MemoryStore(), **options)
    assert [] == [failure.text(source) for failure in played.failures]
    return played


NIGHTLY = """\
name: A night in the shop
workers:
  Nightly: {use: "tests.scenarios.shop:nightly"}
  Mail: {use: "tests.scenarios.shop:mail"}
steps:
  - {at: 0s, insert: {as: night, worker: Nightly}}
expect:
  - {at: 0s, job: night, worker: Nightly, queue: reports, state: retryable, max_attempts: 3, scheduled_at: 10s}
  - {at: 0s, job: night, error: "ConnectionError: no ledger yet"}
  - {at: 10s, job: night, state: completed, attempt: 2}
  - {at: 10s, count: {worker: Mail, state: executing, queue: mail}, is: 2}
  - {at: 40s, count: {worker: Mail, state: completed, args: {to: ann}}, is: 1}
  - {at: end, count: {worker: [Mail, Nightly], state: completed}, is: 3}
"""
FAULTS = """\
name: Real workers over nodes, a crash, a suspension, a cut and a restart
nodes: [a, b]
queues: {default: {concurrency: 1}, mail: {concurrency: 1}}
plugins: {stalled: {interval: 10s, rescue_after: 30s}}
workers:
  Sleeper: {use: "tests.scenarios.shop:sleeper"}
  Patient: {use: "tests.scenarios.shop:patient"}
  Mail: {use: "tests.scenarios.shop:mail"}
  Short: {runs: [{for: 1s}]}
steps:
  - {at: 0s, insert: {as: one, worker: Sleeper}}
  - {at: 0s, insert: {as: two, worker: Sleeper, args: {fails: true}, max_attempts: 1}}
  - {at: 20s, crash: a}
  - {at: 30s, suspend: {node: b, for: 60s}}
  - {at: 100s, restart: a}
  - {at: 110s, insert: {as: three, worker: Short}}
  - {at: 300s, insert: {as: four, worker: Patient, queue: mail}}
  - {at: 306s, partition: a}
  - {at: 306s, partition: b}
  - {at: 340s, heal: a}
  - {at: 340s, heal: b}
expect:
  - {at: 10s, job: one, state: executing, node: a}
  - {at: 10s, job: two, state: executing, node: b}
  - {at: 89s, job: two, state: executing, node: b}
  - {at: end, job: one, state: completed, attempt: 2}
  - {at: end, job: two, state: discarded, error: overslept}
  - {at: end, job: three, state: completed}
  - {at: end, job: four, state: completed, attempt: 2, snoozed: 1}
"""
OTHERS = """\
name: A scripted worker inserts for a real one, which a cron starts as well
plugins: {cron: {crontab: [["* * * * *", Patient]]}}
workers:
  Scripted: {runs: [{for: 5s, insert: {as: inner, worker: Patient}}]}
  Patient: {use: "tests.scenarios.shop:patient"}
  tests.scenarios.shop.mail: {queue: mail, runs: [{for: 1s, discard: nobody there}]}
steps:
  - {at: 0s, insert: {as: outer, worker: Scripted}}
until: 90s
expect:
  - {at: 12s, job: inner, state: executing, snoozed: 1}
  - {at: 13s, job: inner, state: completed}
  - {at: end, count: {worker: Patient, state: completed}, is: 2}
  - {at: end, count: {worker: tests.scenarios.shop.mail, state: discarded}, is: 2}
  - {at: end, count: {worker: tests.scenarios.shop.mail}, is: 2}
"""


@pytest.mark.parametrize("text", [NIGHTLY, FAULTS, OTHERS], ids=["night", "faults", "others"])
def test_real_workers_play_on_both_stores_alike(text, postgres):
    in_memory = play(text)
    on_postgres = play(text, postgres, store_name="postgres")
    _, source = read_text(text, "f", Imports(allowed=True))
    assert store_difference(in_memory, on_postgres, source) is None
    assert in_memory.trace.digest() == play(text).trace.digest()


@pytest.fixture
def postgres(scenario_store):
    return scenario_store


def test_what_a_real_worker_inserts_arrives_at_its_own_instant():
    played = play(
        f'name: n\nworkers: {{P: {{{USE}patient"}}}}\nsteps: [{{at: 0s, insert: {{worker: P}}}}]\n'
    )
    inserts = [m.at - played.trace.start for m in played.trace.of("insert")]
    assert [timedelta(0), timedelta(seconds=7)] == inserts


def test_a_time_limit_ends_a_real_worker_and_what_it_does_then_counts():
    played = play(
        f"""\
        name: n
        workers: {{E: {{{USE}endless"}}, M: {{{USE}mail"}}}}
        steps: [{{at: 0s, insert: {{as: x, worker: E}}}}]
        expect:
          - {{at: 10s, job: x, state: discarded, error: time limit}}
          - {{at: end, count: {{worker: M, args: {{to: late}}}}, is: 1}}
        """
    )
    assert ["ended"] == shop.seen
    assert played.duration == "40s"


def test_what_runs_at_the_end_is_cancelled_and_reaches_no_store():
    store = MemoryStore()
    played = play(
        f"""\
        name: n
        workers: {{E: {{{USE}endless"}}}}
        steps: [{{at: 0s, insert: {{as: x, worker: E}}}}]
        until: 5s
        expect: [{{at: end, job: x, state: executing}}]
        """,
        store,
    )
    assert ["ended"] == shop.seen
    assert 1 == len(played.trace.of("insert"))
    assert 1 == sum(store.run(Count(Selection(), "state")).values())


def test_a_crash_leaves_a_real_worker_where_it_was():
    played = play(
        f"""\
        name: n
        workers: {{E: {{{USE}endless"}}}}
        steps:
          - {{at: 0s, insert: {{as: x, worker: E}}}}
          - {{at: 1s, crash: a}}
        expect: [{{at: end, job: x, state: executing}}]
        """
    )
    assert 1 == len(played.trace.of("insert"))


def test_a_play_leaves_the_process_as_it_was():
    workers, handlers = dict(REGISTRY.by_name), PROCESS.snapshot()
    play(
        f'name: n\nworkers: {{M: {{{USE}meddling"}}}}\nsteps: [{{at: 0s, insert: {{worker: M}}}}]\n'
    )
    assert ["2025-01-02T00:00:00+00:00"] == shop.seen
    assert "before" == shop.var.get()
    assert workers == REGISTRY.by_name
    assert handlers == PROCESS.snapshot()
    assert not telemetry.detach("meddling")


def test_a_real_worker_opens_no_real_database():
    played = play(
        f"""\
        name: n
        workers: {{O: {{{USE}opening"}}}}
        steps: [{{at: 0s, insert: {{as: x, worker: O, max_attempts: 1}}}}]
        expect: [{{at: end, job: x, state: discarded, error: reach the store through PgJobs alone}}]
        """
    )
    assert played.held


@pytest.mark.parametrize(
    "use, expected",
    [
        ("7", 'found 7; accepted: a worker as "module:name", such as "shop.jobs:nightly"'),
        ("tests.scenarios.shop", "found 'tests.scenarios.shop'; accepted: a worker as \"module:name\", such as \"shop.jobs:nightly\"; separate the two by a colon"),
        ('"tests.scenarios.shp:nightly"', "(no module is named 'tests.scenarios.shp'; did you mean 'tests.scenarios.shop'?)"),
        ('"tests.scenarios.shop:nigthly"', "(tests.scenarios.shop has no 'nigthly'; did you mean 'nightly'?)"),
        ('"tests.scenarios.shop:held.nigthly"', "(tests.scenarios.shop has no 'held.nigthly'; did you mean 'nightly'?)"),
        ('"tests.scenarios.shop:plain"', "(plain of tests.scenarios.shop is a function; decorate it with @pgjobs.worker)"),
        ('"tests.scenarios.shop:jobs"', "(jobs of tests.scenarios.shop is of type PgJobs; it has endless, mail, meddling, nightly, opening)"),
        ('"tests.scenarios.unimportable:w"', "(importing tests.scenarios.unimportable raised SystemExit: no settings)"),
    ],
)  # fmt: skip
def test_a_use_that_names_no_worker_is_a_mistake_of_the_file(use, expected):
    text = f"name: n\nworkers: {{W: {{use: {use}}}}}\nsteps: [{{at: 0s, insert: {{worker: W}}}}]\n"
    (told,) = mistakes(text, Imports(allowed=True))
    assert told.startswith("2:20: workers.W.use: found ")
    assert told.endswith(expected)


def test_a_file_with_use_is_refused_where_imports_are_not_allowed_and_nothing_is_imported():
    text = 'name: n\nworkers: {W: {use: "tests.scenarios.unimportable:w"}}\nsteps: [{at: 0s, pause: any}]\n'
    assert [
        f"2:20: workers.W.use: found 'tests.scenarios.unimportable:w'; accepted: {REFUSAL}"
    ] == mistakes(text)


def test_options_beside_use_are_refused_with_where_they_belong():
    text = f'name: n\nworkers: {{W: {{{USE}mail", queue: q, runs: [ok]}}}}\nsteps: [{{at: 0s, insert: {{worker: W}}}}]\n'
    assert [
        "2:49: workers.W: found queue beside use; a real worker has its own: give it where a job is inserted",
        "2:59: workers.W: found runs beside use; a real worker has its own: leave it out",
    ] == mistakes(text, Imports(allowed=True))


def test_a_worker_is_real_or_scripted_under_one_name():
    text = f'name: n\nworkers: {{W: {{{USE}mail"}}, tests.scenarios.shop.mail: {{}}}}\nsteps: [{{at: 0s, insert: {{worker: W}}}}]\n'
    assert [
        "2:20: workers.W.use: found the worker 'tests.scenarios.shop.mail', which the file scripts; accepted: one of the two"
    ] == mistakes(text, Imports(allowed=True))


def test_names_of_queues_and_workers_are_known_from_what_is_imported():
    text = (
        f'name: n\nworkers: {{W: {{{USE}nightly"}}}}\nsteps: [{{at: 0s, pause: reprots}}]\n'
        "expect:\n  - {at: end, count: {queue: mail, worker: tests.scenarios.shop.mail}, is: 0}\n"
    )
    assert [
        "3:25: steps[0].pause: no queue is named 'reprots'; did you mean 'reports'?"
    ] == mistakes(text, Imports(allowed=True))


def test_a_recorded_trace_of_real_workers_holds():
    from pgjobs_testing.scenarios.recording import with_trace

    _, source = read_text(NIGHTLY, "f", Imports(allowed=True))
    play(with_trace(source, play(NIGHTLY).trace.text()))


def test_args_that_a_workers_model_does_not_take_are_a_mistake_of_the_file():
    text = f'name: n\nworkers: {{T: {{{USE}typed"}}}}\nsteps: [{{at: 0s, insert: {{worker: T, args: {{nmae: x}}}}}}]\n'
    (told,) = mistakes(text, Imports(allowed=True))
    assert told.startswith("3:26: steps[0].insert: ")
    assert "nmae" in told
