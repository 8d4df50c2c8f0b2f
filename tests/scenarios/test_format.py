"""The format, sentence by sentence: each test's name says one, and the scenario in it shows it on both stores."""
# ruff: noqa: E501 - a line of a scenario is best read as one

from __future__ import annotations

import textwrap
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.scenarios.reading import mistakes, told

pytestmark = pytest.mark.usefixtures("shop_instance")


def test_the_example_of_the_format_holds(holds):
    holds(
        """\
        name: A rate-limited registry is retried, then snoozed, then synced
        start: 2025-01-01T00:00:00Z
        seed: 7
        jitter: false
        nodes: [a, b]
        queues:
          sync: {concurrency: 1, rate_limit: {allowed: 50, period: 60s}}
        plugins:
          stalled: {interval: 60s, rescue_after: 60s}
          pruner: {max_age: 7d}
          cron: {timezone: America/New_York, crontab: [["30 1 * * *", Nightly]]}
        workers:
          SyncPackage:
            queue: sync
            max_attempts: 10
            backoff: {linear: 60s}
            unique: {period: 1h, keys: [ecosystem, package_name]}
            runs:
              - {for: 2s, error: registry answered 503}
              - {for: 1s, snooze: 60s}
              - {for: 3s}
          Nightly: {use: "tests.scenarios.shop:nightly"}
        steps:
          - {at: 0s,  insert: {as: first, worker: SyncPackage, args: {ecosystem: npm, package_name: react}}}
          - {at: 0s,  insert: {as: again, worker: SyncPackage, args: {ecosystem: npm, package_name: react}}}
          - {at: 5s,  pause: sync}
          - {at: 30s, resume: sync}
        until: 10m
        expect:
          - {at: 1s,  job: first, state: executing, attempt: 1, node: a}
          - {at: 0s,  job: again, conflict: first}
          - {at: 2s,  job: first, state: retryable, scheduled_at: 62s, error: "503"}
          - {at: end, job: first, state: completed, attempt: 2, completed_at: 126s}
          - {at: end, count: {state: completed}, is: 1}
          - {at: end, jobs: {queue: sync}, order: [first]}
        """
    )


def test_start_is_the_instant_of_0s_and_instants_may_be_date_times(holds):
    holds(
        """\
        name: n
        start: 2025-06-01T12:00:00+02:00
        workers: {W: {runs: [{for: 250ms}]}}
        steps:
          - {at: 0s, insert: {as: x, worker: W}}
          - {at: "2025-06-01T10:00:05Z", insert: {as: y, worker: W, scheduled_at: "2025-06-01T13:00:00+02:00"}}
        expect:
          - {at: 0s, job: x, inserted_at: "2025-06-01T10:00:00Z", attempted_at: 0s}
          - {at: 250ms, job: x, completed_at: 250ms}
          - {at: end, job: y, inserted_at: 5s, scheduled_at: 1h, completed_at: "2025-06-01T11:00:00.25Z"}
        """
    )


def test_durations_are_written_in_one_unit_or_several(holds):
    holds(
        """\
        name: n
        workers: {W: {}}
        steps: [{at: 0s, insert_all: [
          {as: a, worker: W, schedule_in: 250ms}, {as: b, worker: W, schedule_in: 2s}, {as: c, worker: W, schedule_in: 5m},
          {as: d, worker: W, schedule_in: 1h}, {as: e, worker: W, schedule_in: 7d}, {as: f, worker: W, schedule_in: 1h30m}]}]
        expect:
          - {at: end, job: a, completed_at: "2025-01-01T00:00:00.25Z"}
          - {at: end, job: b, completed_at: "2025-01-01T00:00:02Z"}
          - {at: end, job: c, completed_at: "2025-01-01T00:05:00Z"}
          - {at: end, job: d, completed_at: "2025-01-01T01:00:00Z"}
          - {at: end, job: e, completed_at: "2025-01-08T00:00:00Z"}
          - {at: end, job: f, completed_at: "2025-01-01T01:30:00Z"}
        """
    )


@pytest.mark.parametrize("nodes", [["a", "b"], ["b", "a"]])
def test_nodes_act_in_the_order_in_which_nodes_names_them(holds, nodes):
    holds(
        f"""\
        name: n
        nodes: [{", ".join(nodes)}]
        queues: {{default: {{concurrency: 1}}}}
        workers: {{W: {{runs: [{{for: 5s}}]}}}}
        steps: [{{at: 0s, insert_all: [{{as: x, worker: W}}, {{as: y, worker: W}}]}}]
        expect:
          - {{at: 0s, job: x, node: {nodes[0]}}}
          - {{at: 0s, job: y, node: {nodes[1]}}}
        """
    )


def test_restart_starts_a_new_incarnation_under_the_old_name(holds):
    result = holds(
        """\
        name: n
        workers: {W: {runs: [{for: 5s}]}}
        steps:
          - {at: 0s, insert: {as: x, worker: W, schedule_in: 10s}}
          - {at: 1s, crash: a}
          - {at: 20s, restart: a}
        expect: [{at: end, job: x, state: completed, node: a, completed_at: 25s}]
        """
    )
    assert {"a", "-"} == {moment.node for moment in result.trace.moments}


def test_a_queue_that_is_not_declared_is_served_ten_at_a_time(holds):
    holds(
        """\
        name: n
        workers: {W: {queue: other, runs: [{for: 5s}]}}
        steps: [{at: 0s, insert_all: [&w {worker: W}, *w, *w, *w, *w, *w, *w, *w, *w, *w, *w, *w]}]
        expect:
          - {at: 0s, count: {state: executing}, is: 10}
          - {at: 5s, count: {state: completed}, is: 10}
          - {at: end, count: {state: completed}, is: 12}
        """
    )


def test_steps_at_one_instant_act_in_file_order_before_anything_that_the_engine_does(holds):
    holds(
        """\
        name: n
        workers: {W: {}}
        steps:
          - {at: 0s, insert: {as: x, worker: W, schedule_in: 10s}}
          - {at: 10s, insert: {as: y, worker: W}}
          - {at: 10s, cancel: x}
          - {at: 10s, cancel: y}
          - {at: 10s, retry: y}
        expect:
          - {at: 10s, job: x, state: cancelled, attempted_at: null}
          - {at: 10s, job: y, state: completed}
        """
    )


def test_an_expectation_looks_after_all_that_is_due_then_has_been_done(holds):
    holds(
        """\
        name: n
        workers: {W: {runs: [{for: 3s, insert: {as: y, worker: W}}, ok]}}
        steps: [{at: 0s, insert: {as: x, worker: W}}]
        until: 3s
        expect:
          - {at: 3s, job: x, state: completed}
          - {at: 3s, job: y, state: executing}
        """
    )


def test_insert_takes_every_option_of_new(holds):
    holds(
        """\
        name: n
        workers: {W: {queue: q, priority: 5, max_attempts: 2, tags: [t], meta: {m: 1}, runs: [{for: 1h}]}}
        steps:
          - {at: 0s, insert: {as: own, worker: W}}
          - {at: 0s, insert: {as: given, worker: W, args: {a: [1, {b: null}]}, queue: r, priority: 1, max_attempts: 7, tags: [u, v], meta: {k: 2}, schedule_in: 1m}}
          - {at: 0s, insert: {as: later, worker: W, scheduled_at: 2m, unique: {period: null, fields: [worker], states: scheduled}}}
          - {at: 1s, insert: {as: other, worker: W, args: {new: 1}, scheduled_at: 3m, priority: 0, unique: {fields: worker, states: [scheduled]}, replace: {scheduled: [args, scheduled_at, priority]}}}
          - {at: 2s, insert: {as: none, worker: W, unique: null}}
        expect:
          - {at: 0s, job: own, queue: q, priority: 5, max_attempts: 2, tags: [t], meta: {m: 1}, args: {}}
          - {at: 0s, job: given, queue: r, priority: 1, max_attempts: 7, tags: [u, v], meta: {k: 2}, args: {a: [1]}, scheduled_at: 1m}
          - {at: 1s, job: other, conflict: later, replaced: true}
          - {at: 1s, job: later, args: {new: 1}, priority: 0, scheduled_at: 3m}
          - {at: 2s, job: none, conflict: null, replaced: false}
        until: 2s
        """
    )


def test_a_run_ends_in_every_way_of_the_format(holds):
    holds(
        """\
        name: n
        workers:
          Ok: {runs: [ok]}
          Error: {max_attempts: 1, runs: [{for: 1s, error: why}]}
          Raise: {max_attempts: 1, runs: [{raise: "ValueError: odd"}]}
          Bare: {max_attempts: 1, runs: [{raise: KeyError}]}
          Snooze: {runs: [{snooze: 5s}, ok]}
          Discard: {runs: [{discard: nobody}]}
          Cancel: {runs: [{cancel: gone}]}
          Hang: {max_attempts: 1, timeout: 9s, runs: [{hang: true}]}
          Insert: {runs: [{for: 2s, insert: {as: inner, worker: Ok, queue: q}}]}
        steps:
          - at: 0s
            insert_all:
              - {as: ok, worker: Ok}
              - {as: error, worker: Error}
              - {as: raise, worker: Raise}
              - {as: bare, worker: Bare}
              - {as: snooze, worker: Snooze}
              - {as: discard, worker: Discard}
              - {as: cancel, worker: Cancel}
              - {as: hang, worker: Hang}
              - {as: insert, worker: Insert}
        expect:
          - {at: 0s, job: ok, state: completed, error: null}
          - {at: 1s, job: error, state: discarded, error: why}
          - {at: 0s, job: raise, state: discarded, error: "ValueError: odd"}
          - {at: 0s, job: bare, state: discarded, error: KeyError}
          - {at: 0s, job: snooze, state: scheduled, attempt: 0, snoozed: 1, scheduled_at: 5s}
          - {at: 5s, job: snooze, state: completed, attempt: 1}
          - {at: 0s, job: discard, state: discarded, error: nobody, discarded_at: 0s}
          - {at: 0s, job: cancel, state: cancelled, error: gone, cancelled_at: 0s}
          - {at: 9s, job: hang, state: discarded, error: time limit}
          - {at: 2s, job: inner, state: completed, inserted_at: 2s, queue: q}
        """
    )


@pytest.mark.parametrize(
    "backoff, waits",
    [
        ("guide", (16, 31, 46, 61)),
        ("{constant: 5s}", (5, 5, 5, 5)),
        ("{linear: 60s}", (60, 120, 180, 240)),
        ("{exponential: 60s}", (60, 120, 240, 480)),
        ("{exponential: 60s, max: 3m}", (60, 120, 180, 180)),
        ("{linear: 10s, jitter: 0.5}", (10, 20, 30, 40)),
    ],
)
def test_a_backoff_is_the_guides_or_one_kind(holds, backoff, waits):
    result = holds(
        f"""\
        name: n
        workers: {{W: {{max_attempts: 5, backoff: {backoff}, runs: [{{error: e}}]}}}}
        steps: [{{at: 0s, insert: {{as: x, worker: W}}}}]
        expect: [{{at: end, job: x, state: discarded, attempt: 5}}]
        """
    )
    starts = [m.at for m in result.trace.of("start") if m.ordinal]
    found = [(later - before) // timedelta(seconds=1) for before, later in pairwise(starts)]
    assert list(waits) == found


def test_every_step_of_a_client_does_what_it_says(holds):
    holds(
        """\
        name: n
        queues: {default: {concurrency: 1}, other: {concurrency: 1, paused: true}}
        workers: {W: {runs: [{for: 10s}]}, O: {queue: other}}
        steps:
          - {at: 0s, insert_all: [{as: x, worker: W}, {as: y, worker: W}, {as: z, worker: W}, {as: o, worker: O}]}
          - {at: 1s, cancel: x}
          - {at: 2s, retry: x}
          - {at: 3s, delete: z}
          - {at: 4s, pause: default}
          - {at: 12s, resume: other}
          - {at: 13s, scale: {queue: default, concurrency: 3}}
          - {at: 14s, pause_all}
          - {at: 15s, resume_all: true}
        expect:
          - {at: 0s, job: o, state: available}
          - {at: 1s, job: x, state: cancelled}
          - {at: 1s, job: y, state: executing}
          - {at: 3s, count: {worker: W}, is: 2}
          - {at: 12s, job: o, state: completed}
          - {at: 14s, job: x, state: available}
          - {at: 15s, job: x, state: executing}
          - {at: end, jobs: {worker: W, state: completed}, order: [x, y]}
        """
    )


def test_an_order_is_that_of_first_starts_and_leaves_out_what_has_not_started(holds):
    holds(
        """\
        name: n
        queues: {default: {concurrency: 1}}
        workers: {W: {backoff: {constant: 1s}, runs: [{error: e}, ok]}}
        steps: [{at: 0s, insert_all: [{as: low, worker: W, priority: 3}, {as: high, worker: W}, {as: never, worker: W, schedule_in: 1h}]}]
        until: 10s
        expect: [{at: end, jobs: {worker: W}, order: [high, low]}]
        """
    )


def test_filters_take_one_value_or_several_and_contain_args_meta_and_tags(holds):
    holds(
        """\
        name: n
        workers: {W: {tags: [t, u], meta: {team: {id: 1}}}, V: {queue: v, priority: 2, max_attempts: 3}}
        steps: [{at: 0s, insert_all: [{worker: W, args: {a: {b: 1, c: 2}}}, {worker: V}, {worker: V, schedule_in: 1h}]}]
        until: 0s
        expect:
          - {at: end, count: {}, is: 3}
          - {at: end, count: {state: [completed, scheduled], worker: [V, W]}, is: 3}
          - {at: end, count: {tags: u, args: {a: {b: 1}}, meta: {team: {id: 1}}}, is: 1}
          - {at: end, count: {tags: [t, x]}, is: 0}
          - {at: end, count: {queue: [v, default], priority: [2, 9], attempt: [0, 1], max_attempts: 3}, is: 2}
        """
    )


def test_without_until_the_play_ends_when_nothing_is_due_but_recurring_duties(holds):
    result = holds(
        """\
        name: n
        plugins: {pruner: {max_age: 1d}, stalled: {}}
        workers: {W: {}}
        steps: [{at: 0s, insert: {worker: W, schedule_in: 2d}}]
        expect: [{at: end, count: {state: completed}, is: 1}]
        """
    )
    assert "2d" == result.duration


def test_a_recorded_trace_is_compared_exactly(holds):
    head = "name: n\nworkers: {W: {}}\nsteps: [{at: 0s, insert: {worker: W}}]\n"
    text = holds(head).trace.text()
    assert not told(f"{head}trace: |2\n{textwrap.indent(text, '  ')}\n")
    (failed,) = told(
        f"{head}trace: |2\n{textwrap.indent(text.replace('completed', 'discarded'), '  ')}\n"
    )
    assert "the trace differs from the recorded one in line 4" in failed


@pytest.mark.parametrize("key", ["name", "steps"])
def test_name_is_required_and_steps_or_plugins_are(key):
    keys = {"name": "name: n\n", "steps": "steps: [{at: 0s, pause_all: true}]\n"}
    assert [] == mistakes("".join(keys.values()))
    del keys[key]
    assert [f"1:1: the key {key!r} is missing"] == mistakes("".join(keys.values()))


def test_equal_seeds_give_equal_draws_and_jitter_is_off_unless_asked_for(holds):
    text = "name: n\nworkers: {W: {max_attempts: 2, runs: [{error: e}]}}\nsteps: [{at: 0s, insert: {worker: W}}]\n"
    plain, drawn = holds(text), [holds(f"{text}seed: {seed}\njitter: true\n") for seed in (0, 0, 1)]
    assert "16s" == plain.duration
    assert drawn[0].duration == drawn[1].duration != drawn[2].duration
    assert plain.duration != drawn[0].duration
