"""What a scenario means: when steps act, when expectations look, how scripted workers run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Claim
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.worker import REGISTRY
from pgjobs_testing.scenarios import play as playing
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay, store_difference
from tests.scenarios.reading import played, told

SLOW = "name: n\nworkers: {W: {runs: [{for: 10s}]}}\n"


def events(replayed, event):
    """When an event happened, to which job: ("3s", 1)."""
    return [
        (moment.at - replayed.trace.start, moment.ordinal) for moment in replayed.trace.of(event)
    ]


def test_a_step_acts_before_anything_that_the_engine_does_at_its_instant():
    # At 10s the first job ends and the second would start: the pause comes first.
    result = played(
        f"""{SLOW}queues: {{default: {{concurrency: 1}}}}
steps:
  - {{at: 0s, insert_all: [{{as: x, worker: W}}, {{as: y, worker: W}}]}}
  - {{at: 9999ms, pause: default}}
  - {{at: 10s, cancel: x}}
expect:
  - {{at: 10s, job: x, state: cancelled}}
  - {{at: end, job: y, state: available}}
"""
    )
    assert () == result.failures


def test_steps_at_one_instant_act_in_the_order_of_the_file():
    result = played(
        f"""{SLOW}queues: {{default: {{concurrency: 1}}}}
steps:
  - {{at: 0s, insert: {{as: x, worker: W}}}}
  - {{at: 1s, insert: {{as: y, worker: W}}}}
  - {{at: 1s, cancel: y}}
  - {{at: 1s, retry: y}}
  - {{at: 1s, insert: {{as: z, worker: W}}}}
"""
    )
    at_once = [moment.event for moment in result.trace.moments if moment.at > result.trace.start]
    assert ["insert", "cancel", "retry", "insert"] == at_once[:4]


def test_an_expectation_looks_after_all_that_is_due_at_its_instant():
    result = played(
        f"""{SLOW}steps: [{{at: 0s, insert: {{as: x, worker: W}}}}]
expect:
  - {{at: 10s, job: x, state: completed, completed_at: 10s}}
  - {{at: 9999ms, job: x, state: executing}}
  - {{at: 0s, job: x, state: executing, attempted_at: "2025-01-01T00:00:00Z"}}
"""
    )
    assert () == result.failures


def test_without_until_a_scenario_is_played_until_nothing_is_due():
    result = played(f"{SLOW}steps: [{{at: 0s, insert: {{worker: W, schedule_in: 300d}}}}]\n")
    assert "300d10s" == result.duration
    assert [(timedelta(days=300, seconds=10), 1)] == events(result, "completed")


def test_with_until_it_is_played_up_to_that_instant_and_no_further():
    text = f"{SLOW}steps: [{{at: 0s, insert: {{worker: W, schedule_in: 20s}}}}]\n"
    assert [] == events(played(f"{text}until: 29s\n"), "completed")
    assert [(timedelta(seconds=30), 1)] == events(played(f"{text}until: 30s\n"), "completed")
    assert "1h" == played(f"{text}until: 1h\n").duration


def test_a_queue_that_is_not_declared_is_served_ten_at_a_time():
    jobs = ", ".join(["{worker: W, queue: other}"] * 12)
    result = played(f"{SLOW}steps: [{{at: 0s, insert_all: [{jobs}]}}]\n")
    assert 10 == sum(at == timedelta(0) for at, ordinal in events(result, "start") if ordinal)


def test_runs_count_the_starts_of_one_job_and_the_last_repeats():
    result = played(
        """\
        name: n
        workers:
          W: {backoff: {constant: 1s}, runs: [{snooze: 1s}, {error: e}, {snooze: 1s}, ok]}
        steps:
          - {at: 0s, insert: {as: x, worker: W}}
          - {at: 0s, insert: {as: y, worker: W}}
          - {at: 10s, retry: x}
        expect:
          - {at: 3s, job: x, state: completed, attempt: 2, snoozed: 2}
          - {at: 3s, job: y, state: completed, attempt: 2, snoozed: 2}
          - {at: end, job: x, state: completed, attempt: 3, snoozed: 2, completed_at: 10s}
        """
    )
    assert () == result.failures


def test_a_run_that_is_told_to_stop_ends_as_cancelled_and_inserts_nothing():
    result = played(
        """\
        name: n
        queues: {default: {concurrency: 1}}
        workers:
          W: {runs: [{for: 10s, insert: {worker: Next}}]}
          Next: {queue: next}
        steps:
          - {at: 0s, insert: {as: x, worker: W}}
          - {at: 0s, insert: {as: y, worker: W}}
          - {at: 4s, cancel: x}
        expect:
          - {at: 4s, job: x, state: cancelled, error: null}
          - {at: 4s, job: y, state: executing}
          - {at: 13s, count: {worker: Next}, is: 0}
          - {at: 14s, count: {worker: Next}, is: 1}
        """
    )
    assert () == result.failures


def test_what_a_run_inserts_comes_just_before_its_own_end():
    result = played(
        """\
        name: n
        workers: {W: {runs: [{for: 1s, error: e, insert: {worker: N}}]}, N: {}}
        steps: [{at: 0s, insert: {worker: W, max_attempts: 1}}]
        """
    )
    at_one_second = [m.event for m in result.trace.moments if m.at > result.trace.start]
    assert ["insert", "discarded", "start", "completed"] == at_one_second


def test_the_name_of_a_job_that_runs_insert_stays_with_the_first():
    result = played(
        """\
        name: n
        workers: {W: {runs: [{error: e, insert: {as: child, worker: N}}]}, N: {}}
        steps:
          - {at: 0s, insert: {worker: W, max_attempts: 2}}
        expect:
          - {at: end, count: {worker: N}, is: 2}
          - {at: end, job: child, inserted_at: 0s}
        """
    )
    assert () == result.failures


def test_an_order_is_by_first_start_and_shows_jobs_without_a_name_by_number():
    (text,) = told(
        f"""{SLOW}queues: {{default: {{concurrency: 1}}}}
steps:
  - {{at: 0s, insert_all: [{{worker: W}}, {{as: y, worker: W, priority: 9}}, {{as: z, worker: W}}]}}
  - {{at: 0s, insert: {{as: never, worker: W, schedule_in: 1h}}}}
until: 1m
expect: [{{at: end, jobs: {{}}, order: [y, z]}}]
"""
    )
    assert "    ! order  [y, z]    [#1, z, y]" in text.split("\n")


def test_workers_live_in_the_scenario_alone():
    before = dict(REGISTRY.by_name)
    played(f"{SLOW}steps: [{{at: 0s, insert: {{worker: W}}}}]\n")
    assert before == REGISTRY.by_name


def test_equal_seeds_give_equal_traces_and_others_do_not():
    text = """\
        name: n
        jitter: true
        workers: {W: {max_attempts: 3, runs: [{error: e}]}}
        steps: [{at: 0s, insert: {worker: W}}]
        """
    digests = [played(text, seed=seed).trace.digest() for seed in (None, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_a_failed_expectation_shows_its_line_both_sides_and_the_timeline():
    text = f"""{SLOW}steps:
  - {{at: 0s, insert: {{as: x, worker: W}}}}
expect:
  - {{at: 10s, job: x, state: discarded, attempt: 1, error: boom, completed_at: 9s, node: null}}
"""
    assert [
        """\
f:6:5: job x is not as expected at 10s
    6 |   - {at: 10s, job: x, state: discarded, attempt: 1, error: boom, completed_at: 9s, node: null}
                    expected   actual
    ! state         discarded  completed
    ! node          nothing    a
      attempt       1          1
    ! error         boom       nothing
    ! completed_at  9s         10s
    the timeline around 10s:
              0s  a    start
              0s  -    insert     #1    W, into default, priority 0
              0s  a    start      #1    attempt 1 of W
    >        10s  a    completed  #1    attempt 1"""
    ] == told(text)


def test_a_job_that_is_gone_or_not_there_yet_is_told_as_such():
    texts = told(
        f"""{SLOW}steps:
  - {{at: 5s, insert: {{as: x, worker: W}}}}
  - {{at: 6s, delete: x}}
expect:
  - {{at: 1s, job: x, state: available}}
  - {{at: end, job: x, state: completed}}
"""
    )
    assert ["not inserted yet", "deleted"] == [
        text.split("\n")[3].split("  ")[-1] for text in texts
    ]


def test_a_step_that_cannot_be_done_is_a_failure_at_its_line():
    (text,) = told(
        f"""{SLOW}steps:
  - {{at: 0s, insert: {{as: x, worker: W}}}}
  - {{at: 1s, delete: x}}
  - {{at: 2s, cancel: x}}
"""
    )
    assert text.startswith(
        "f:6:5: stopped at 2s: JobNotFoundError: no job has the id 1: it was deleted, or never stored\n"
        "    6 |   - {at: 2s, cancel: x}\n"
    )


@pytest.mark.parametrize("wait", ["0s", "1h", "3650d"])
def test_a_scenario_without_an_end_is_stopped_and_says_so(monkeypatch, wait):
    monkeypatch.setattr(playing, "EVENT_LIMIT", 5_000)
    (text,) = told(
        f"""\
        name: n
        workers: {{W: {{runs: [{{snooze: {wait}}}]}}}}
        steps: [{{at: 0s, insert: {{worker: W}}}}]
        """
    )
    assert "the scenario has not come to an end after 5,000 events: give `until`" in text


def test_a_store_that_fails_ends_the_replay_and_says_so():
    class Failing(MemoryStore):
        def carry_out(self, effect):
            if isinstance(effect, Claim):
                raise StoreUnavailableError("the server closed the connection")
            return super().carry_out(effect)

    result = played(f"{SLOW}steps: [{{at: 0s, insert: {{worker: W}}}}]\n", Failing())
    (failure,) = result.failures
    assert "stopped at 0s: StoreUnavailableError: the server closed the connection" == failure.what


def test_a_recorded_trace_is_compared_line_by_line():
    text = f"{SLOW}steps: [{{at: 0s, insert: {{worker: W}}}}]\n"
    trace = played(text).trace.text()
    recorded = "".join(f"  {line}\n" for line in trace.split("\n"))
    assert [] == told(f"{text}trace: |2\n{recorded}")
    changed = recorded.replace("attempt 1 of W", "attempt 2 of W")
    (failure,) = told(f"{text}trace: |2\n{changed}")
    assert (
        "f:7:1: the trace differs from the recorded one in line 3 "
        "(replay --record writes the new one, where that is meant)"
    ) == failure.split("\n")[0]
    assert "    ! line 3  0s  a    start      #1    attempt 2 of W" in failure


def test_the_trace_of_another_seed_is_not_compared():
    text = f"{SLOW}steps: [{{at: 0s, insert: {{worker: W}}}}]\ntrace: |\n  something else\n"
    assert 1 == len(told(text))
    assert [] == told(text, seed=1)


def test_a_difference_between_two_stores_shows_the_first_line_that_differs():
    text = f"{SLOW}steps: [{{at: 0s, insert: {{worker: W}}}}]\n"
    scenario, source = read_text(text, "f")
    one = replay(scenario, source, MemoryStore())
    slower, _ = read_text(text.replace("10s", "11s"), "f")
    other = replay(slower, source, MemoryStore(), store_name="postgres")
    assert store_difference(one, one, source) is None
    failure = store_difference(one, other, source)
    assert failure is not None
    assert [
        "f:1:7: the traces of memory and postgres differ from line 4 on",
        "    1 | name: n",
        "              memory                                postgres",
        "    ! line 4  10s  a    completed  #1    attempt 1  11s  a    completed  #1    attempt 1",
    ] == [line.rstrip() for line in failure.text(source).split("\n")[:4]]
