"""What faults and several nodes mean in a scenario, and how the timeline tells of them."""
# ruff: noqa: E501 - a line of a scenario is best read as one

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Delete
from pgjobs.engine.strays import Strays
from pgjobs.engine.ticker import Ticker
from pgjobs.leading import Beat
from pgjobs.rules import lifecycle
from pgjobs.rules.selection import Selection
from pgjobs_testing.scenarios import play as playing
from pgjobs_testing.scenarios.read import read_text
from tests.scenarios.reading import played, told

TWO = "name: n\nnodes: [a, b]\nworkers: {W: {runs: [{for: 10s}]}}\n"


def lines(replayed):
    """The timeline without its runs of spaces."""
    return [" ".join(line.split()) for line in replayed.trace.text().split("\n")]


def test_the_timeline_tells_what_was_done_to_nodes_and_what_they_did():
    result = played(
        f"""{TWO}plugins: {{stalled: {{interval: 5s, rescue_after: 10s}}, pruner: {{max_age: 20s}}}}
steps:
  - {{at: 0s, insert: {{as: x, worker: W}}}}
  - {{at: 1s, crash: a}}
  - {{at: 2s, restart: a}}
  - {{at: 3s, suspend: {{node: a, for: 1s}}}}
  - {{at: 5s, partition: a}}
  - {{at: 5s, heal: a}}
  - {{at: 6s, skew: {{node: a, by: -500ms}}}}
  - {{at: 7s, drop_notifications: true}}
  - {{at: 7s, drop_notifications: false}}
  - {{at: 8s, database: down}}
  - {{at: 8s, database: up}}
  - {{at: 100s, stop: {{node: a, grace: 0s}}}}
expect:
  - {{at: end, job: x, state: completed}}
"""
    )
    found = lines(result)
    assert "1s a crash" in found
    assert ["2s a restart", "2s a start default"] == found[found.index("2s a restart") :][:2]
    assert ["3s a suspend for 1s", "4s a resume", "5s a partition", "5s a heal"] == found[
        found.index("3s a suspend for 1s") :
    ][:4]
    for line in (
        "0s a elected",
        "6s a skew by -0.5s",
        "7s - drop notifications",
        "7s - deliver notifications",
        "8s - down the database",
        "8s - up the database",
        "30s b elected",
        "1m40s a stopping grace 0s",
    ):
        assert line in found
    assert any(line.endswith("rescue #1 attempt 1 of W, now available") for line in found)
    with_count = [line for line in found if " prune " in line]
    assert [True] == [line.endswith("b prune 1 of the finished jobs") for line in with_count]


@pytest.mark.parametrize("due, done", [("", "7s"), (", schedule_in: 2500ms", "9s")])
def test_what_a_cut_of_no_time_kept_from_a_node_its_next_poll_tells(due, done):
    assert [] == told(
        f"""name: n
nodes: [a]
workers: {{W: {{runs: [{{for: 1s}}]}}}}
steps:
  - {{at: 5500ms, partition: a}}
  - {{at: 5500ms, insert: {{as: x, worker: W{due}}}}}
  - {{at: 5500ms, heal: a}}
until: 10s
expect:
  - {{at: end, job: x, state: completed, completed_at: {done}}}
"""
    )


def test_nodes_act_in_the_order_in_which_they_are_named():
    text = "name: n\nnodes: [{}]\nworkers: {{W: {{}}}}\nsteps: [{{at: 0s, insert: {{as: x, worker: W}}}}]\n"
    for names in ("a, b", "b, a"):
        first = names[0]
        assert [] == told(
            f"{text.format(names)}expect: [{{at: end, job: x, node: {first}, state: completed}}]\n"
        )


def test_runs_count_the_starts_of_a_job_on_all_nodes():
    assert [] == told(
        """\
        name: n
        nodes: [a, b]
        plugins: {stalled: {interval: 5s, rescue_after: 10s}}
        workers: {W: {runs: [{for: 1h}, {discard: the second run}]}}
        steps:
          - {at: 0s, insert: {as: x, worker: W}}
          - {at: 1s, crash: a}
        expect:
          - {at: end, job: x, state: discarded, node: b, error: the second run}
        """
    )


def test_an_expectation_looks_at_the_store_while_the_database_is_down():
    assert [] == told(
        f"""{TWO}steps:
  - {{at: 0s, insert: {{as: x, worker: W}}}}
  - {{at: 1s, database: down}}
  - {{at: 12s, database: up}}
expect:
  - {{at: 11s, job: x, state: executing, node: a}}
  - {{at: end, job: x, state: completed, attempt: 1}}
"""
    )


def test_a_restart_before_a_stop_has_ended_is_a_failure_at_its_line():
    (text,) = told(
        f"""{TWO}steps:
  - {{at: 0s, insert: {{worker: W}}}}
  - {{at: 1s, stop: {{node: a}}}}
  - {{at: 9s, restart: a}}
"""
    )
    assert text.startswith("f:7:5: stopped at 9s: SimulationError: node a is still stopping")


def test_a_step_at_the_instant_of_a_resumption_finds_the_node_up():
    result = played(
        f"""{TWO}steps:
  - {{at: 0s, insert: {{worker: W}}}}
  - {{at: 1s, suspend: {{node: a, for: 4s}}}}
  - {{at: 5s, crash: a}}
"""
    )
    assert () == result.failures
    assert ["5s a resume", "5s a crash"] == lines(result)[-2:]


def test_without_until_nodes_that_poll_are_at_rest_when_nothing_else_is_due():
    text = f"{TWO}plugins: {{stalled: {{}}, pruner: {{max_age: 1d}}}}\n"
    result = played(f"{text}steps: [{{at: 0s, insert: {{worker: W, schedule_in: 20m}}}}]\n")
    assert "20m10s" == result.duration
    assert "20m10s a completed #1 attempt 1" == lines(result)[-1]


def test_with_until_recurring_duties_are_played_to_it():
    result = played(
        """\
        name: n
        plugins: {pruner: {max_age: 1d}}
        workers: {W: {}}
        steps: [{at: 0s, insert: {as: x, worker: W}}]
        until: 2d
        expect:
          - {at: 23h, count: {}, is: 1}
          - {at: end, count: {}, is: 0}
        """
    )
    assert () == result.failures
    assert "2d" == result.duration


def test_a_scenario_of_plugins_alone_has_its_ticks():
    assert [] == told(
        """\
        name: n
        workers: {W: {queue: w, priority: 4}}
        plugins:
          cron:
            timezone: Europe/Berlin
            crontab: [["0 9 * * *", {worker: W, args: {a: 1}, schedule_in: 60s}], ["@daily", W]]
        until: 1d
        expect:
          - {at: "2025-01-01T08:00:00Z", count: {state: scheduled, queue: w, args: {a: 1}}, is: 1}
          - {at: "2025-01-01T23:00:00Z", count: {state: completed}, is: 2}
        """
    )


def test_a_lone_node_without_faults_leaves_out_its_polls_and_one_with_faults_does_not():
    head = "name: n\nworkers: {W: {}}\nsteps:\n  - {at: 0s, insert: {worker: W}}\n"
    alone, _ = read_text(head)
    assert alone.alone
    for step in ("drop_notifications: true", "skew: {node: a, by: 0s}", "stop: {node: a}"):
        scenario, _ = read_text(f"{head}  - {{at: 1s, {step}}}\n")
        assert not scenario.alone


def test_nodes_that_never_come_to_rest_are_stopped_and_say_so(monkeypatch):
    monkeypatch.setattr(playing, "TURN_LIMIT", 500)
    (text,) = told(f"{TWO}steps: [{{at: 0s, insert: {{worker: W, schedule_in: 300d}}}}]\n")
    assert "the scenario has not come to an end after 500 turns of its nodes" in text


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_seeds_give_equal_traces_with_faults_too(seed):
    text = f"""{TWO}steps:
  - {{at: 0s, insert: {{worker: W}}}}
  - {{at: 5s, database: down}}
  - {{at: 25s, database: up}}
"""
    digests = [played(text, seed=each).trace.digest() for each in (seed, seed, seed + 1)]
    assert digests[0] == digests[1] != digests[2]


ONE = "name: n\nworkers: {W: {runs: [{for: 5s}]}}\n"


def test_a_slow_answer_comes_late_and_what_it_tells_took_place_in_time(holds):
    result = holds(
        f"""{ONE}steps:
  - {{at: 5500ms, slow: {{node: a, by: 300ms}}}}
  - {{at: 5600ms, insert: {{as: x, worker: W}}}}
  - {{at: 20500ms, slow: {{node: a, by: 0s}}}}
  - {{at: 20600ms, insert: {{as: y, worker: W}}}}
until: 40s
expect:
  - {{at: 5600ms, job: x, state: executing, attempted_at: 5600ms}}
  - {{at: 10800ms, job: x, state: executing}}
  - {{at: 10900ms, job: x, state: completed, completed_at: 10900ms}}
  - {{at: end, job: y, state: completed, attempted_at: 20600ms, completed_at: 25600ms}}
"""
    )
    found = [line.split()[:4] for line in lines(result) if "#" in line]
    assert ["5.6s", "-", "insert", "#1"] in found
    assert ["5.9s", "a", "start", "#1"] in found  # its run takes five seconds from here
    assert ["11.2s", "a", "completed", "#1"] in found
    assert {"5.5s a slow by 0.3s", "20.5s a slow by 0s"} <= {*lines(result)}


def test_a_slow_line_outlives_the_process(holds):
    result = holds(
        f"""{ONE}steps:
  - {{at: 0s, slow: {{node: a, by: 2s}}}}
  - {{at: 1s, crash: a}}
  - {{at: 2s, restart: a}}
  - {{at: 10s, insert: {{as: x, worker: W}}}}
until: 40s
expect: [{{at: end, job: x, state: completed, attempt: 1}}]
"""
    )
    starts = [line for line in lines(result) if " start #1" in line]
    assert ["12s a start #1 attempt 1 of W"] == starts


@pytest.mark.parametrize(
    "ppm, due",
    [
        (100_000, "1m30.909091s"),
        (-100_000, "1m51.111112s"),
        (500, "1m39.950025s"),
        (1, "1m39.999901s"),
    ],
)
def test_a_clock_that_drifts_brings_what_is_due_by_it_at_the_microsecond(holds, ppm, due):
    result = holds(
        f"""{ONE}steps:
  - {{at: 0s, drift: {{node: a, ppm: {ppm}}}}}
  - {{at: 0s, insert: {{as: x, worker: W, schedule_in: 100s}}}}
until: 3m
expect: [{{at: end, job: x, state: completed, attempted_at: 100s}}]
"""
    )
    assert f"{due} a start #1 attempt 1 of W" in lines(result)
    assert f"0s a drift {ppm} ppm" in lines(result)


def test_a_drift_goes_on_from_what_the_clock_shows_and_a_skew_sets_it(holds):
    holds(
        f"""{ONE}steps:
  - {{at: 0s, drift: {{node: a, ppm: 100000}}}}
  - {{at: 100s, drift: {{node: a, ppm: 0}}}}
  - {{at: 200500ms, insert: {{as: ahead, worker: W}}}}
  - {{at: 300s, skew: {{node: a, by: 1m}}}}
  - {{at: 400500ms, insert: {{as: set, worker: W}}}}
until: 10m
expect:
  - {{at: end, job: ahead, attempted_at: 210500ms}}
  - {{at: end, job: set, attempted_at: 460500ms}}
"""
    )


@pytest.mark.parametrize("by, start", [("300ms", "0.8s"), ("3s", "1s")])
def test_a_delayed_signal_is_heard_late_and_a_poll_may_come_before(holds, by, start):
    result = holds(
        f"""{ONE}steps:
  - {{at: 0s, delay_notifications: {by}}}
  - {{at: 500ms, insert: {{as: x, worker: W}}}}
  - {{at: 10s, delay_notifications: 0s}}
  - {{at: 10500ms, insert: {{as: y, worker: W}}}}
until: 30s
expect: [{{at: end, count: {{state: completed, attempt: 1}}, is: 2}}]
"""
    )
    assert f"{start} a start #1 attempt 1 of W" in lines(result)
    assert "10.5s a start #2 attempt 1 of W" in lines(result)
    assert f"0s - delay notifications by {by.replace('300ms', '0.3s')}" in lines(result)


def test_a_cancel_whose_signal_is_delayed_is_seen_by_the_next_poll(holds):
    result = holds(
        f"""{ONE}steps:
  - {{at: 0s, delay_notifications: 10s}}
  - {{at: 0s, insert: {{as: x, worker: W}}}}
  - {{at: 1500ms, cancel: x}}
until: 30s
expect: [{{at: 1500ms, job: x, state: cancelled}}]
"""
    )
    assert "2s a late #1 attempt 1, 'CancelledError'" in lines(result)


def of_jobs(replayed):
    """The lines of its jobs."""
    return [line for line in lines(replayed) if "#" in line]


def test_doubled_signals_change_nothing_that_happens(holds):
    steps = [
        "{at: 0s, double_notifications: true}",
        "{at: 500ms, insert: {as: x, worker: W}}",
        "{at: 1500ms, cancel: x}",
        "{at: 2s, double_notifications: false}",
        "{at: 2500ms, insert: {as: y, worker: W}}",
    ]
    end = "until: 30s\nexpect: [{at: end, job: y, state: completed, attempt: 1}]\n"
    doubled, single = (
        holds(f"{ONE}steps:\n" + "".join(f"  - {each}\n" for each in found) + end)
        for found in (steps, [each for each in steps if "double" not in each])
    )
    assert {"0s - double notifications", "2s - single notifications"} <= {*lines(doubled)}
    assert of_jobs(single) == of_jobs(doubled)


DEAF = "name: n\nqueues: {default: {concurrency: 1}}\nworkers: {W: {max_attempts: 1, %s runs: [{for: 10s, ignores: %s}, ok]}}\n"
JOBS = "steps:\n  - {at: 0s, insert_all: [{as: x, worker: W}, {as: y, worker: W}]}\n"


@pytest.mark.parametrize("ignores, next_start", [("true", "10s"), ("false", "1s")])
def test_a_run_that_ignores_a_cancel_holds_its_slot_to_its_end(holds, ignores, next_start):
    result = holds(
        DEAF % ("", ignores) + JOBS + "  - {at: 1s, cancel: x}\nexpect:\n  - {at: 1s, job: x, state: cancelled}\n"
        "  - {at: end, job: x, state: cancelled, attempt: 1}\n  - {at: end, job: y, state: completed}\n"
    )  # fmt: skip
    assert f"{next_start} a start #2 attempt 1 of W" in lines(result)
    assert [next_start] == [line.split()[0] for line in of_jobs(result) if " late #1" in line]


@pytest.mark.parametrize("ignores, next_start", [("true", "10s"), ("false", "4s")])
def test_a_run_that_ignores_its_time_limit_is_settled_at_it_all_the_same(
    holds, ignores, next_start
):
    result = holds(
        DEAF % ("timeout: 4s,", ignores) + JOBS + "expect:\n"
        "  - {at: 4s, job: x, state: discarded, error: time limit, discarded_at: 4s}\n"
        "  - {at: end, job: x, state: discarded, discarded_at: 4s}\n"
    )
    assert f"{next_start} a start #2 attempt 1 of W" in lines(result)


@pytest.mark.parametrize("ignores, stopped", [("true", "10s"), ("false", "3s")])
def test_a_run_that_ignores_a_stop_keeps_its_node_until_it_ends(holds, ignores, stopped):
    result = holds(
        DEAF % ("", ignores) + JOBS + "  - {at: 1s, stop: {node: a, grace: 2s}}\nuntil: 30s\n"
    )
    assert f"{stopped} a stop default" in lines(result)


def test_a_process_begins_anew_with_other_plugins_which_stay_with_its_node(holds):
    def restart(at: int, more: str = "") -> str:
        node = f"{{node: a, plugins: {more}}}" if more else "a"
        return f"  - {{at: {at}s, crash: a}}\n  - {{at: {at + 1}s, restart: {node}}}\n"

    result = holds(
        f"""name: n
plugins: {{pruner: {{max_age: 0s}}, cron: {{crontab: [["* * * * *", W]]}}}}
workers: {{W: {{}}}}
steps:
{restart(90, "[pruner]")}{restart(190)}{restart(290, "[]")}{restart(390, "cron")}{restart(590, "[cron, pruner]")}until: 12m30s
"""
    )
    inserts = [line.split()[0] for line in of_jobs(result) if " insert " in line]
    assert ["1m", "7m", "8m", "9m", "10m11s", "11m", "12m"] == inserts  # at 10m nobody leads
    prunes = [line.split()[0] for line in lines(result) if " prune " in line]
    assert ["1m1s", "10m11s"] == prunes[:2]  # only where the pruner is
    told = [line.partition("restart")[2].strip() for line in lines(result) if " restart" in line]
    assert ["with pruner", "", "without plugins", "with cron", "with pruner, cron"] == told


def test_a_process_begins_anew_with_other_queues_which_stay_with_its_node(holds):
    def restart(at: int, more: str = "") -> str:
        node = f"{{node: a, queues: {more}}}" if more else "a"
        return f"  - {{at: {at}s, crash: a}}\n  - {{at: {at + 1}s, restart: {node}}}\n"

    def inserts(at: int) -> str:
        return f"  - {{at: {at}s, insert_all: [{{worker: M}}, {{worker: T}}]}}\n"

    result = holds(
        f"""name: n
queues: {{train: {{nodes: [b]}}}}
nodes: [b, a]
workers: {{M: {{queue: mail}}, T: {{queue: train}}}}
steps:
  - {{at: 0s, crash: b}}
{restart(1, "train")}{inserts(9)}{restart(10)}{inserts(19)}{restart(20, "[]")}{inserts(29)}{restart(30, "[mail, train]")}until: 1m
invariants: true
"""
    )
    starts = [line.split()[i] for line in of_jobs(result) if " start " in line for i in (0, 3)]
    assert ["9s", "#2", "19s", "#4", "31s", "#1", "31s", "#3", "31s", "#5", "31s", "#6"] == starts
    told = [line.partition("restart")[2].strip() for line in lines(result) if " restart" in line]
    assert ["serving [train]", "", "serving []", "serving [mail, train]"] == told
    served = [line.partition(" a start")[2] for line in lines(result) if " a start" in line]
    starts = [each.strip() for each in served if not each.strip().startswith("#")]
    assert ["mail", "train", "train", "", "mail, train"] == starts
    assert 5 == dict(result.marks)["served anew"]


def test_a_leader_calls_its_functions_once_a_tick_and_skips_one_that_still_runs(holds):
    result = holds(
        """name: n
nodes: [a, b]
plugins:
  stalled: {}
  leader_tasks:
    crontab:
      - ["* * * * *", {task: clean, runs: [{for: 1s}, {for: 70s}, {for: 1s, raise: "ValueError: no"}]}]
      - ["5 0 * * *", told]
steps:
  - {at: 5m30s, crash: a}
  - {at: 6m10s, restart: {node: a, plugins: [stalled, leader_tasks]}}
  - {at: 6m40s, stop: {node: b}}
  - {at: 6m50s, restart: {node: b, plugins: [stalled]}}
until: 8m30s
invariants: true
"""
    )
    told = [line.split() for line in lines(result) if "scenario." in line]
    clean = [[*words[:3]] for words in told if words[-1].endswith("scenario.clean")]
    assert [
        ["1m", "a", "start"],
        ["1m1s", "a", "stop"],
        ["2m", "a", "start"],
        ["3m", "a", "skip"],
        ["3m10s", "a", "stop"],
    ] == clean[:5]
    starts = [(words[0], words[1]) for words in clean if words[2] == "start"]
    assert [
        ("1m", "a"),
        ("2m", "a"),
        ("4m", "a"),
        ("5m", "a"),
        ("6m", "b"),
        ("7m", "a"),
        ("8m", "a"),
    ] == starts
    assert ["5m", "5m"] == [words[0] for words in told if words[-1].endswith("scenario.told")]
    assert {"task called": 3, "task failed": 5, "task skipped": 1} == {
        name: count for name, count in result.marks if name.startswith("task")
    }
    assert any("with stalled, leader_tasks" in line for line in lines(result))


# Invariants

BROKEN = "name: n\nworkers: {W: {max_attempts: 2, backoff: {constant: 10s}, runs: [{error: e}, ok]}}\nsteps: [{at: 0s, insert: {as: x, worker: W}}]\ninvariants: true\n"


def test_a_file_that_breaks_no_invariant_holds_and_tells_what_happened_in_it(holds):
    result = holds(BROKEN)
    assert result.alarm is None
    assert dict(result.marks) == dict(played(BROKEN).marks)


def test_a_broken_invariant_stops_the_play_and_is_told_on_both_stores(monkeypatch, scenario_store):
    settle = lifecycle.settle
    monkeypatch.setattr(
        lifecycle, "settle", lambda job, ended, now, delay_s=0.0: settle(job, ended, now, 0.0)
    )
    for store in (None, scenario_store):
        (failed,) = (result := played(BROKEN, store)).failures
        assert result.alarm is not None
        assert "backed_off" == result.alarm.invariant
        assert failed.what.startswith(f"stopped at 0s: {result.alarm}")
        if store is not None:
            store.clear()
        assert played(BROKEN.replace("invariants: true\n", ""), store).alarm is None  # nobody looks


def test_a_drift_of_thousands_of_years_is_watched(holds):
    holds(
        """name: n
workers: {W: {}}
steps:
  - {at: 0s, insert: {worker: W}}
  - {at: 1s, drift: {node: a, ppm: 100000}}
  - {at: 2s, crash: a}
  - {at: 1450000d, skew: {node: a, by: 0s}}
  - {at: 1450000d, drift: {node: a, ppm: -100000}}
until: 2900000d
invariants: true
"""
    )


def test_a_drift_that_begins_in_another_adds_to_it(holds):
    """What a node dates by such a clock is no further ahead than it may be."""
    holds("""name: n
nodes: [c]
workers: {W: {runs: [{for: 6s}]}}
steps:
  - {at: 1m, drift: {node: c, ppm: 2000}}
  - {at: 2m, drift: {node: c, ppm: 2000}}
  - {at: 3m, drift: {node: c, ppm: 2000}}
  - {at: 4m, drift: {node: c, ppm: 2000}}
  - {at: 5m, insert: {worker: W, schedule_in: 45s}}
  - {at: 5m, drift: {node: c, ppm: 2000}}
  - {at: 6m, drift: {node: c, ppm: 0}}
  - {at: 6m, skew: {node: c, by: 0s}}
until: 8m
invariants: true
""")


CRON = """name: n
nodes: [a]
plugins: {pruner: {max_age: 1m}, cron: {crontab: [["* * * * *", W], ["* * * * *", V]]}}
workers: {W: {runs: [ok]}, V: {runs: [ok]}}
steps: [STEP]
until: 1h
invariants: true
"""


@pytest.mark.parametrize(
    "step",
    [
        "{at: 34m50s, fail: {node: a, effect: tick, how: refused, times: 1}}",
        "{at: 10m, fail: {node: a, effect: tick, how: refused, times: 80}}",
        "{at: 10m, crash: a}, {at: 11m, restart: {node: a, plugins: [pruner]}}",
    ],
)
def test_ticks_that_the_store_refuses_or_that_nobody_has_need_not_be_fired(holds, step):
    holds(CRON.replace("STEP", step))


def test_ticks_that_nobody_fires_are_told_when_all_should_be_at_rest(monkeypatch):
    monkeypatch.setattr(Ticker, "_fire", lambda self, fence, now: self._next.clear())
    (failed,) = played(CRON.replace("STEP", "{at: 0s, insert: {worker: W}}")).failures
    assert "fires: the tick" in failed.what


LATE = """name: n
workers: {W: {runs: [{for: 1s}]}}
queues: {default: {concurrency: 1}}
steps:
  - {at: 0s, fail: {node: a, effect: claim, how: late, by: 5s}}
  - {at: 0s, insert_all: [{worker: W}, {worker: W}, {worker: W}, {worker: W}, {worker: W}, {worker: W}, {worker: W}]}
  - {at: 4s, pause_all: true}
  - {at: 5s, resume_all: true}
invariants: true
"""


def test_at_the_end_all_must_be_at_rest_where_the_last_step_is_long_ago(
    monkeypatch, scenario_store
):
    monkeypatch.setattr(Strays, "doubt", lambda self, token, now: None)
    for store in (None, scenario_store):
        early = played(f"{LATE}until: 20s\n", store)
        assert () == early.failures
        if store is not None:
            store.clear()
        late = played(f"{LATE}until: 1h\n", store)
        assert late.alarm is not None
        assert ("no_orphan", (5,)) == (late.alarm.invariant, late.alarm.jobs)


def test_a_row_that_changes_behind_the_engine_is_seen_when_the_store_is_compared(
    monkeypatch, scenario_store
):
    text = f"{ONE}steps: [{{at: 0s, insert: {{as: x, worker: W}}}}, {{at: 1s, drop_notifications: true}}]\nuntil: UNTIL\ninvariants: true\n"
    for store in (MemoryStore(), scenario_store):
        carry_out = store.carry_out

        def meddling(effect, carry_out=carry_out):
            if isinstance(effect, Beat) and effect.now.second == 10:
                carry_out(Delete(Selection(), 10))
            return carry_out(effect)

        monkeypatch.setattr(store, "carry_out", meddling)
        result = played(text.replace("UNTIL", "11m"), store)
        assert result.alarm is not None
        assert datetime(2025, 1, 1, 0, 10, tzinfo=UTC) == result.alarm.at
        assert ("books", (1,)) == (result.alarm.invariant, result.alarm.jobs)


def test_where_invariants_are_watched_a_client_is_told_that_a_job_is_gone(holds):
    text = f"""{ONE}steps:
  - {{at: 0s, insert: {{as: x, worker: W}}}}
  - {{at: 7s, delete: x}}
  - {{at: 8s, retry: x}}
  - {{at: 9s, cancel: y}}
  - {{at: 10s, insert: {{as: z, worker: Makes}}}}
"""
    text = text.replace(
        "workers: {", "workers: {Makes: {runs: [{for: 5s, insert: {as: y, worker: W}}]}, "
    )
    result = holds(
        f"{text}invariants: true\nexpect: [{{at: end, count: {{state: completed}}, is: 2}}]\n"
    )
    assert ["8s - missing the job to retry", "9s - missing the job to cancel"] == [
        line for line in lines(result) if "missing" in line
    ]
    (failed,) = told(text)
    assert "f:6:5: stopped at 8s: JobNotFoundError" in failed


@pytest.mark.parametrize(
    "key, step",
    [
        ("for: 999999999d", "pause_all: true"),
        ("for: 1s", "slow: {node: a, by: 999999999d}"),
        ("for: 1s", "stop: {node: a, grace: 999999999d}"),
        ("for: 1s", "suspend: {node: a, for: 999999999d}"),
        ("for: 1s", "skew: {node: a, by: 36500d}"),
        ("for: 1s", "skew: {node: a, by: -36500d}"),
        ("for: 1s", "drift: {node: a, ppm: 100000}"),
    ],
)
def test_invariants_are_watched_however_long_something_takes(key, step):
    text = f"name: n\nworkers: {{W: {{runs: [{{{key}}}]}}}}\ninvariants: true\nsteps:\n  - {{at: 0s, insert: {{worker: W}}}}\n"
    starts = ("2025-01-01T00:00:00Z", "9999-12-30T00:00:00Z")
    for start in starts[: 1 if "skew" in step else 2]:  # so far ahead of that, no calendar is left
        result = played(f"{text}  - {{at: 1s, {step}}}\nuntil: 1m\nstart: {start}\n")
        assert () == result.failures
