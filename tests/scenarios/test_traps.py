"""Crashes at a point, and effects that fail: what each leaves in the store, and what the engine makes of it."""
# ruff: noqa: E501 - a line of a scenario is best read as one

from __future__ import annotations

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing.nodes.traps import ANY, EFFECTS, FAILURES
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay
from tests.scenarios.reading import told

ONE = "name: n\nworkers: {W: {backoff: {constant: 1s}, runs: [{for: 5s}]}}\n"
TWO = "name: n\nnodes: [a, b]\nworkers: {W: {runs: [{for: 5s}]}, Long: {runs: [{for: 1h}, ok]}}\n"
X = "{at: 0s, insert: {as: x, worker: W}}"


def text(head: str, steps: list[str], expect: list[str], until: str = "1m") -> str:
    steps, expect = [f"  - {each}\n" for each in steps], [f"  - {each}\n" for each in expect]
    return f"{head}steps:\n{''.join(steps)}until: {until}\nexpect:\n{''.join(expect)}"


def noted(replayed, event: str) -> list[str]:
    """When something was noted, of whom, and what was said."""
    found = [line.split() for line in replayed.trace.text().split("\n")]
    return [" ".join([line[0], line[1], *line[3:]]) for line in found if line[2] == event]


POINTS = {
    "claim": (
        ONE,
        ["{at: 500ms, crash: {node: a, WHEN: claim}}", "{at: 1s, insert: {as: x, worker: W}}"],
        "1s",
        "{at: end, job: x, state: available}",
        "{at: end, job: x, state: executing, attempted_at: 1s}",
    ),
    "settle": (
        ONE,
        [X, "{at: 1s, crash: {node: a, WHEN: settle}}"],
        "5s",
        "{at: end, job: x, state: executing}",
        "{at: end, job: x, state: completed, completed_at: 5s}",
    ),
    "poll": (
        ONE,
        ["{at: 0s, insert: {as: x, worker: W, schedule_in: 5s}}", "{at: 4500ms, crash: {node: a, WHEN: poll}}"],
        "5s",
        "{at: end, job: x, state: scheduled}",
        "{at: end, job: x, state: available}",
    ),
    "find": (  # it asks for what a lost claim may have taken
        ONE,
        ["{at: 0s, fail: {node: a, effect: claim, how: after}}", "{at: 0s, crash: {node: a, WHEN: find}}", X],
        "0.279585s",
        "{at: end, job: x, state: executing, attempted_at: 0s}",
        "{at: end, job: x, state: executing, attempted_at: 0s}",
    ),
    "beat": (  # b's job is rescued when b has been silent for more than 30s, by a sweep each 10s
        f"{TWO}queues: {{default: {{concurrency: 1}}}}\nplugins: {{stalled: {{interval: 10s, rescue_after: 30s}}}}\n",
        ["{at: 0s, insert_all: [{worker: Long}, {as: x, worker: Long}]}", "{at: 1s, crash: {node: b, WHEN: beat}}"],
        "10s",
        "{at: 41s, job: x, state: available}",
        "{at: 41s, job: x, state: executing, node: b}",
    ),
    "lead": (
        f"{TWO}plugins: {{pruner: {{max_age: 0s}}}}\n",
        ["{at: 0s, crash: {node: a, WHEN: lead}}", "{at: 1s, insert: {as: x, worker: W}}"],
        "0s",
        "{at: 20s, count: {}, is: 0}",  # b leads at once, and prunes
        "{at: 20s, job: x, state: completed, node: b}",  # the lease of the dead has not ended
    ),
    "resign": (
        f"{TWO}plugins: {{pruner: {{max_age: 0s}}}}\n",
        [
            "{at: 1s, crash: {node: a, WHEN: resign}}",
            "{at: 5s, stop: {node: a}}",
            "{at: 6s, insert: {as: x, worker: W}}",
        ],
        "5s",
        "{at: 20s, job: x, state: completed, node: b}",
        "{at: 20s, count: {}, is: 0}",
    ),
    "rescue": (
        f"{TWO}queues: {{default: {{concurrency: 1}}}}\nplugins: {{stalled: {{interval: 10s, rescue_after: 30s}}}}\n",
        [
            "{at: 0s, insert_all: [{worker: Long}, {as: x, worker: Long}]}",
            "{at: 1s, crash: b}",
            "{at: 35s, crash: {node: a, WHEN: rescue}}",
        ],
        "40s",
        "{at: end, job: x, state: executing, node: b}",
        "{at: end, job: x, state: available}",
    ),
    "prune": (
        f"{ONE}plugins: {{pruner: {{max_age: 20s, interval: 10s}}}}\n",
        [X, "{at: 21s, crash: {node: a, WHEN: prune}}"],
        "30s",
        "{at: end, job: x, state: completed}",
        "{at: end, count: {}, is: 0}",
    ),
    "watermarks": (  # an entry counts from when it is first seen: by a, or by b at 30s
        f"{TWO}start: 2025-01-01T00:00:45Z\nplugins: {{cron: {{crontab: [['1 * * * *', W]]}}}}\n",
        ["{at: 0s, crash: {node: a, WHEN: watermarks}}"],
        "0s",
        "{at: end, count: {}, is: 0}",
        "{at: end, count: {}, is: 1}",
    ),
    "tick": (
        f"{TWO}plugins: {{cron: {{crontab: [['1 * * * *', W]]}}}}\n",
        ["{at: 1s, crash: {node: a, WHEN: tick}}"],
        "1m",
        "{at: 1m20s, count: {}, is: 0}",
        "{at: 1m20s, count: {}, is: 1}",
    ),
    "leave": (
        ONE,
        ["{at: 1s, crash: {node: a, WHEN: leave}}", "{at: 2s, stop: {node: a}}"],
        "2s",
        "{at: end, count: {}, is: 0}",
        "{at: end, count: {}, is: 0}",
    ),
    "any": (  # the poll of the next second, which stages
        ONE,
        ["{at: 0s, insert: {as: x, worker: W, schedule_in: 5s}}", "{at: 4500ms, crash: {node: a, WHEN: any}}"],
        "5s",
        "{at: end, job: x, state: scheduled}",
        "{at: end, job: x, state: available}",
    ),
}  # fmt: skip
"""Of each point: a file, when the node is gone, and what then is in the store, before the effect and after."""


def test_every_point_is_shown():
    assert {*EFFECTS, ANY} == set(POINTS)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("effect", POINTS)
def test_a_crash_at_a_point_is_right_before_the_effect_or_right_after_its_commit(
    holds, effect, when
):
    head, steps, at, *left = POINTS[effect]
    steps = [each.replace("WHEN", when) for each in steps]
    until = "2m" if effect == "tick" else "1m"
    result = holds(text(head, steps, [left[when == "after"]], until))
    node = "b" if effect == "beat" else "a"
    assert f"{at} {node} {when} {effect}" in noted(result, "crash")


def test_a_tick_is_inserted_once_though_its_leader_is_gone_after_its_commit(holds):
    head, steps, *_ = POINTS["tick"]
    for when in ("before", "after"):
        found = [each.replace("WHEN", when) for each in steps]
        holds(text(head, found, ["{at: end, count: {}, is: 1}"], "3m"))


def test_a_crash_after_an_effect_waits_for_one_that_takes_place(holds):
    for away, back in (("partition: a", "heal: a"), ("database: down", "database: up")):
        result = holds(
            text(
                ONE,
                [X, "{at: 1s, crash: {node: a, after: settle}}", f"{{at: 2s, {away}}}", f"{{at: 20s, {back}}}"],
                ["{at: 19s, job: x, state: executing}", "{at: end, job: x, state: completed, completed_at: 5s}"],
            )
        )  # fmt: skip
        (crash,) = noted(result, "crash")
        assert float(crash.split("s")[0]) > 20


def test_a_crash_before_an_effect_needs_no_database(holds):
    result = holds(
        text(ONE, [X, "{at: 1s, crash: {node: a, before: settle}}", "{at: 2s, partition: a}"], ["{at: end, job: x, state: executing}"])
    )  # fmt: skip
    assert ["5s a before settle"] == noted(result, "crash")


def test_a_restart_crashes_a_node_that_has_not_come_to_its_point(holds):
    result = holds(
        text(
            f"{ONE}plugins: {{stalled: {{interval: 5s, rescue_after: 10s}}}}\n",
            [X, "{at: 1s, crash: {node: a, after: settle}}", "{at: 2s, restart: a}"],
            [
                "{at: 3s, job: x, state: executing}",
                "{at: end, job: x, state: completed, attempt: 2}",
            ],
            "2m",
        )
    )
    assert ["2s a"] == noted(result, "crash")


def test_a_crash_of_a_node_that_was_gone_at_its_point_is_a_failure_at_its_line():
    (failed,) = told(
        text(
            ONE, [X, "{at: 1s, crash: {node: a, after: settle}}", "{at: 9s, crash: a}"], []
        ).removesuffix("expect:\n")
    )
    assert failed.startswith("f:6:5: stopped at 9s: SimulationError: node a is down and cannot crash")  # fmt: skip


# Effects that fail

FAILED_CLAIMS = {
    "before": "attempted_at: 0.279585s",
    "after": "attempted_at: 0s",  # it took place: the node looks, and finds what it took
    "late": "attempted_at: 0.279585s",
    "conflict": "attempted_at: 0.279585s",
    "deadlock": "attempted_at: 0.279585s",
    "refused": "attempted_at: 0.279585s",
}
FAILED_SETTLES = {
    "before": "completed, attempt: 1, completed_at: 5s",
    "after": "completed, attempt: 1, completed_at: 5s",
    "late": "completed, attempt: 1, completed_at: 5s",
    "conflict": "completed, attempt: 1, completed_at: 5s",
    "deadlock": "completed, attempt: 1, completed_at: 5s",
    "refused": "completed, attempt: 2, completed_at: 11s",  # the outcome cannot be saved: it is a failure
}


def test_every_way_to_fail_is_shown():
    assert set(FAILURES) == set(FAILED_CLAIMS) == set(FAILED_SETTLES)


@pytest.mark.parametrize("how", FAILURES)
def test_a_claim_that_fails_is_made_again_and_its_job_runs_once(holds, how):
    result = holds(
        text(
            ONE,
            [f"{{at: 0s, fail: {{node: a, effect: claim, how: {how}}}}}", X],
            [f"{{at: 1s, job: x, state: executing, attempt: 1, {FAILED_CLAIMS[how]}}}", "{at: end, job: x, state: completed, attempt: 1}"],
        )
    )  # fmt: skip
    assert ["0.279585s a #1 attempt 1 of W"] == noted(result, "start")[1:]
    assert 1 == len(noted(result, "error"))


@pytest.mark.parametrize("how", FAILURES)
def test_an_outcome_whose_settling_fails_is_not_lost_and_counts_once(holds, how):
    result = holds(
        text(ONE, [X, f"{{at: 1s, fail: {{node: a, effect: settle, how: {how}}}}}"], [f"{{at: end, job: x, state: {FAILED_SETTLES[how]}}}"])
    )  # fmt: skip
    assert 1 == len(noted(result, "completed"))
    assert 1 == len(noted(result, "error"))


@pytest.mark.parametrize(
    "how, state", [("before", "executing"), ("late", "executing"), ("after", "completed")]
)
def test_until_it_is_asked_again_the_store_has_what_took_place(holds, how, state):
    holds(
        text(
            ONE,
            [X, f"{{at: 1s, fail: {{node: a, effect: settle, how: {how}}}}}"],
            [f"{{at: 5s, job: x, state: {state}}}"],
        )
    )


def test_a_claim_that_commits_late_takes_a_job_that_nobody_runs_and_is_given_back(holds):
    result = holds(
        text(
            f"{ONE}queues: {{default: {{concurrency: 1}}}}\n",
            ["{at: 0s, fail: {node: a, effect: claim, how: late, by: 3s}}", "{at: 0s, insert_all: [{as: x, worker: W}, {as: y, worker: W}]}"],
            [
                "{at: 2999ms, job: y, state: available, attempt: 0}",
                "{at: 3s, job: y, state: executing, attempt: 1, node: a}",  # a stray: x runs, and has the only slot
                "{at: 10s, job: y, state: executing}",
                "{at: 11s, job: y, meta: {released: 1}}",  # the node looks 10s after its claim failed
                "{at: end, job: y, state: completed, attempt: 1}",
            ],
        )
    )  # fmt: skip
    assert 3 == len(noted(result, "start"))  # the node's, and one of each job


def test_what_commits_late_does_so_after_five_seconds_unless_told_otherwise(holds):
    steps = [
        "{at: 0s, fail: {node: a, effect: claim, how: late}}",
        "{at: 0s, insert_all: [{worker: W}, {as: y, worker: W}]}",
    ]
    head = "name: n\nqueues: {default: {concurrency: 1}}\nworkers: {W: {runs: [{for: 9s}]}}\n"
    holds(
        text(
            head,
            steps,
            ["{at: 4999ms, job: y, state: available}", "{at: 5s, job: y, state: executing}"],
        )
    )


def test_a_play_without_until_awaits_what_commits_late(holds):
    steps = [X, "{at: 1s, fail: {node: a, effect: settle, how: late, by: 30m}}"]
    result = holds(
        text(ONE, steps, ["{at: end, job: x, completed_at: 5s}"]).replace("until: 1m\n", "")
    )
    assert ["30m5s a a late settle"] == noted(result, "commits")


def test_an_effect_fails_as_often_as_is_said(holds):
    result = holds(
        text(ONE, [X, "{at: 1s, fail: {node: a, effect: settle, how: before, times: 3}}"], ["{at: end, job: x, state: completed, completed_at: 5s}"])
    )  # fmt: skip
    assert ["Settle:"] * 3 == [line.split()[2] for line in noted(result, "error")]


def test_any_effect_is_whatever_comes(holds):
    steps = [
        "{at: 8500ms, fail: {node: a, effect: any, how: conflict, times: 2}}",
        "{at: 8600ms, insert: {as: x, worker: W}}",
    ]
    result = holds(text(ONE, steps, ["{at: end, job: x, state: completed}"]))
    assert [["8.6s", "Claim:"], ["8.879585s", "Find:"]] == [
        line.split()[::2][:2] for line in noted(result, "error")
    ]


def test_what_is_to_befall_a_process_is_gone_with_it(holds):
    result = holds(
        text(
            ONE,
            ["{at: 0s, fail: {node: a, effect: claim, how: before, times: 1000}}", X, "{at: 2s, crash: a}", "{at: 3s, restart: a}"],
            ["{at: end, job: x, state: completed, attempt: 1, attempted_at: 3s}"],
        )
    )  # fmt: skip
    assert all(float(line.split("s")[0]) < 2 for line in noted(result, "error"))


def test_while_the_database_is_down_nothing_is_late_or_half_done(holds):
    for how in ("after", "late", "conflict"):
        result = holds(
            text(
                ONE,
                [X, f"{{at: 1s, fail: {{node: a, effect: settle, how: {how}}}}}", "{at: 4s, database: down}", "{at: 15s, database: up}"],
                ["{at: 14s, job: x, state: executing}", "{at: end, job: x, state: completed, attempt: 1}"],
            )
        )  # fmt: skip
        assert all("the database is down" in line for line in noted(result, "error"))


def test_a_timeline_tells_what_is_to_befall_a_node(holds):
    steps = [
        "{at: 0s, fail: {node: a, effect: claim, how: before}}",
        "{at: 1s, fail: {node: a, effect: any, how: late, times: 2, by: 1500ms}}",
        "{at: 2s, crash: {node: a, before: leave}}",
    ]
    assert [
        "0s a fail claim before",
        "1s a fail any late by 1.5s 2 times",
        "2s a crash before leave",
    ] == noted(holds(text(ONE, steps, ["{at: end, count: {}, is: 0}"])), "trap")


def test_rest_is_not_asked_for_where_a_fault_never_ends():
    text = """
name: a line that stays slow for ever
plugins: {stalled: {}}
workers: {W: {}}
invariants: true
steps:
  - {at: 0s, insert: {as: x, worker: W}}
  - {at: 1s, slow: {node: a, by: 40s}}
until: 1h
"""
    scenario, source = read_text(text)
    assert [] == [each.text(source) for each in replay(scenario, source, MemoryStore()).failures]
