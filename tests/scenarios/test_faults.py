"""What faults and several nodes mean in a scenario, and how the timeline tells of them."""

from __future__ import annotations

import pytest

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
