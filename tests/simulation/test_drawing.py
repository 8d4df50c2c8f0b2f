"""What seeds draw: each thing that a world may have comes about, over two hundred of them."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from pgjobs_testing.simulation.drawing.setting import GROUP
from pgjobs_testing.simulation.drawing.world import drawn
from pgjobs_testing.simulation.verdict import FAULTS, Options

WORLDS = 200


@cache
def worlds() -> list[dict[str, Any]]:
    return [drawn(seed, Options()) for seed in range(WORLDS)]


def orders(world: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The orders for many of a world: what, and by which filters."""
    found = ((what, step.get(what)) for step in world["steps"] for what in ORDERS)
    return [(what, filters) for what, filters in found if isinstance(filters, dict)]


ORDERS = ("cancel", "retry", "delete")


def test_orders_for_many_are_drawn_with_every_filter():
    given = [order for world in worlds() for order in orders(world)]
    events = Counter(what for what, _ in given)
    filters = Counter(name for _, filters in given for name in filters)
    states = Counter(state for _, filters in given for state in filters.get("state", ()))
    assert min(events[what] for what in ORDERS) >= 100, events
    assert {"queue", "worker", "state", "args", "jobs", "attempt"} == {*filters}
    assert min(filters.values()) >= 30, filters
    assert (7, 20) <= (len(states), min(states.values())), states
    assert sum(bool(orders(world)) for world in worlds()) >= WORLDS * 0.9


def test_orders_for_many_are_given_at_any_moment_and_in_the_midst_of_faults():
    beside = 0
    for world in worlds():
        faults = {step["at"] for step in world["steps"] if step.keys() & OF_NODES}
        at = [
            step["at"]
            for step in world["steps"]
            if any(isinstance(step.get(w), dict) for w in ORDERS)
        ]
        beside += sum(each in faults for each in at)
    assert beside >= WORLDS * 0.5, beside


OF_NODES = {"crash", "restart", "stop", "suspend", "partition", "heal", "fail", "database", "slow"}


def test_some_queues_are_left_to_some_nodes_and_each_world_has_one_that_all_serve():
    left = 0
    for world in worlds():
        assert "nodes" not in world["queues"]["q0"]
        served = [queue["nodes"] for queue in world["queues"].values() if "nodes" in queue]
        assert all(0 < len(nodes) < 3 for nodes in served)
        left += bool(served)
    assert WORLDS * 0.2 <= left <= WORLDS * 0.7, left
    alone = [drawn(seed, Options(nodes=1)) for seed in range(20)]
    assert not any("nodes" in queue for world in alone for queue in world["queues"].values())


def test_versions_are_drawn_with_other_queues_and_in_some_worlds_they_stay():
    other, stay, unserved = 0, 0, 0
    for world in worlds():
        own = {
            node: [q for q, each in world["queues"].items() if node in each.get("nodes", [node])]
            for node in world["nodes"]
        }
        served, left = dict(own), False
        for step in world["steps"]:
            restart = step.get("restart")
            if isinstance(restart, dict) and "queues" in restart:
                assert set(restart["queues"]) <= {*world["queues"]}
                served[restart["node"]] = restart["queues"]
                left |= {q for each in served.values() for q in each} < {*world["queues"]}
        other += served != own or left
        stay += served != own
        unserved += left
    assert WORLDS * 0.25 <= other <= WORLDS * 0.8, other
    assert WORLDS * 0.1 <= stay <= WORLDS * 0.4, stay
    assert WORLDS * 0.05 <= unserved, unserved
    calm = drawn(1, Options(faults=tuple(each for each in FAULTS if each != "rolling")))
    assert not any("queues" in str(step.get("restart")) for step in calm["steps"])


def test_functions_of_a_leader_are_drawn_that_return_raise_and_take_long():
    found = [
        world["plugins"]["leader_tasks"]["crontab"]
        for world in worlds()
        if "leader_tasks" in world["plugins"]
    ]
    assert WORLDS * 0.3 <= len(found) <= WORLDS * 0.5
    runs = [run for lines in found for _, task in lines for run in task["runs"]]
    assert min(sum(key in run for run in runs) for key in ("raise", "ignores")) >= len(runs) * 0.15
    assert any(run["for"] >= "1m" and "m" in run["for"] for run in runs)


def test_reboots_are_drawn_beside_other_entries_of_a_crontab():
    crontabs = [
        world["plugins"]["cron"]["crontab"] for world in worlds() if "cron" in world["plugins"]
    ]
    expressions = [[line[0] for line in lines] for lines in crontabs]
    assert WORLDS * 0.15 <= sum("@reboot" in each for each in expressions) <= WORLDS * 0.35
    assert all(each.count("@reboot") <= 1 and each != ["@reboot"] for each in expressions)


def test_outcomes_come_late_where_jobs_end_as_a_group():
    late = {True: 0, False: 0}
    many = {True: 0, False: 0}
    for world in worlds():
        grouped = any(worker.get("unique") == GROUP for worker in world["workers"].values())
        fails = [step["fail"] for step in world["steps"] if "fail" in step]
        late[grouped] += sum((each["effect"], each["how"]) == ("settle", "late") for each in fails)
        many[grouped] += 1
    assert many[True] >= WORLDS * 0.1, many
    assert late[True] / many[True] >= 10 + late[False] / many[False], (late, many)


def test_who_draws_no_operator_draws_no_order():
    without = Options(faults=tuple(fault for fault in FAULTS if fault != "operator"))
    assert [] == orders(drawn(3, without))
