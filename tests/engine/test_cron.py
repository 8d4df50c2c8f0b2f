"""When cron entries fire: once a tick over all nodes, in their zone, and never long after."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs.leading import Tick
from pgjobs.plugins import Cron
from pgjobs.rules import crontab
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.unique import Unique
from tests.engine.rig import START, Fault, FaultyStore, Rig

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def cron(*entries: str, zone: str = "Etc/UTC", **given: Any) -> Cron:
    jobs = [(entry, NewJob("task", {"n": n})) for n, entry in enumerate(entries)]
    return Cron(jobs, timezone=zone, **given)


def fired(rig: Rig) -> list[str]:
    """The ticks of what was inserted, in order."""
    found = [moment.job for moment in rig.of("insert")]
    return [job.meta["cron_at"] for job in found if job is not None and "cron_at" in job.meta]


def at(start: datetime, *nodes: str, **given: Any) -> Rig:
    rig = Rig(nodes=(), elide=True, **given)
    rig.clock.set(start)
    for name in nodes or ("a",):
        rig.add_node(name)
    return rig


def test_an_entry_fires_from_where_it_is_first_seen_exclusive():
    rig = Rig(plugins=(cron("0 * * * *"),))  # it starts at 12:00:00 sharp
    rig.advance(HOUR - 1)
    assert [] == fired(rig)
    rig.advance(1)
    assert ["2025-03-01T13:00:00.000000Z"] == fired(rig)
    (job,) = (moment.job for moment in rig.of("completed"))
    assert job is not None
    assert {
        "cron": True,
        "cron_expr": "0 * * * *",
        "cron_tz": "Etc/UTC",
        "cron_at": "2025-03-01T13:00:00.000000Z",
    } == job.meta
    assert START + timedelta(hours=1) == job.inserted_at == job.scheduled_at


def test_entries_of_one_instant_fire_in_the_order_of_the_list():
    rig = Rig({"default": 1}, plugins=(cron("0 13 * * *", "@hourly", "*/60 * * * *"),))
    rig.advance(HOUR)
    assert [0, 1, 2] == [moment.job.args["n"] for moment in rig.of("start") if moment.job]


def test_a_template_keeps_its_options():
    new = NewJob("task", {"a": 1}, queue="other", priority=3, tags=("x",), meta={"mine": 1})
    rig = Rig({"default": 1, "other": 1}, plugins=(Cron([("@hourly", new)]),))
    rig.advance(HOUR)
    (job,) = (moment.job for moment in rig.of("insert"))
    assert job is not None
    assert ("other", 3, ("x",), 1) == (job.queue, job.priority, job.tags, job.meta["mine"])


def test_a_unique_job_that_is_there_is_met_and_not_inserted_again():
    rig = Rig({"default": 1})
    rig.worker("once", _perform, unique=Unique(period=None))
    new = rig.registry.find("once").new({"takes": 150})
    rig.suspend("a")
    rig.add_node("b", plugins=(Cron([("* * * * *", new)]),))
    rig.advance(5 * MINUTE)
    assert 1 == len(fired(rig))
    assert 4 == len(rig.of("conflict"))
    assert {"completed": 1} == rig.states()


async def _perform(job: Job) -> None:
    """Never called: the executor plays a script."""


def test_clocks_put_forward_and_back():
    spring = at(datetime(2025, 3, 9, 0, tzinfo=UTC), plugins=(cron("30 2 * * *", zone=NEW_YORK),))
    spring.advance(2 * DAY)
    assert ["2025-03-09T07:00:00.000000Z", "2025-03-10T06:30:00.000000Z"] == fired(spring)
    autumn = at(datetime(2025, 11, 2, 0, tzinfo=UTC), plugins=(cron("30 1 * * *", zone=NEW_YORK),))
    autumn.advance(2 * DAY)
    assert ["2025-11-02T05:30:00.000000Z", "2025-11-03T06:30:00.000000Z"] == fired(autumn)
    hourly = at(datetime(2025, 11, 2, 4, tzinfo=UTC), plugins=(cron("30 * * * *", zone=NEW_YORK),))
    hourly.advance(4 * HOUR)
    assert 4 == len(fired(hourly))


def test_two_wall_times_that_fall_on_one_instant_are_one_tick():
    rig = at(datetime(2025, 3, 9, 6, tzinfo=UTC), plugins=(cron("0,30 2 * * *", zone=NEW_YORK),))
    rig.advance(3 * HOUR)
    assert ["2025-03-09T07:00:00.000000Z"] == fired(rig)


def test_a_clock_that_is_set_back_fires_nothing_again():
    store = FaultyStore()
    rig = Rig(store=store, plugins=(cron("* * * * *"),))
    rig.advance(5 * MINUTE)
    behind = Rig(store=store, nodes=(), plugins=(cron("* * * * *"),))
    behind.clock.set(rig.clock.now() - timedelta(minutes=3))
    rig.suspend("a")
    behind.add_node("b")
    behind.advance(3.9 * MINUTE)
    assert [] == fired(behind)
    behind.advance(MINUTE)
    assert ["2025-03-01T12:06:00.000000Z"] == fired(behind)


@pytest.mark.parametrize(
    "catch_up, expected", [(None, ["12:10"]), (150, ["12:08", "12:09", "12:10"]), (0, ["12:10"])]
)
def test_a_new_leader_makes_up_for_what_nobody_fired_and_no_further_back(
    catch_up: int | None, expected: list[str]
):
    rig = Rig(plugins=(cron("* * * * *", catch_up=catch_up),))
    rig.advance(3 * MINUTE)
    assert 3 == len(fired(rig))
    rig.suspend("a")
    rig.advance(7 * MINUTE)
    rig.add_node("b")
    rig.advance()
    assert expected == [tick[11:16] for tick in fired(rig)[3:]]


@pytest.mark.parametrize("catch_up", [float("inf"), 1e11])
def test_a_catch_up_of_for_ever_begins_where_the_entry_was_first_seen(catch_up: float):
    rig = Rig(plugins=(cron("* * * * *", catch_up=catch_up),))
    rig.insert()
    rig.advance(3 * MINUTE)
    rig.suspend("a")
    rig.advance(7 * MINUTE)
    rig.add_node("b")
    rig.advance(1)
    assert 10 == len(fired(rig))
    assert {"completed": 11} == rig.states()


def test_a_leader_that_dies_leaves_no_gap_longer_than_its_lease():
    rig = Rig(nodes=("a", "b"), plugins=(cron("* * * * *"),))
    rig.advance(2 * MINUTE - 1)
    rig.suspend("a")
    rig.advance(10 * MINUTE)
    assert [f"12:{minute:02}" for minute in range(1, 12)] == [tick[11:16] for tick in fired(rig)]


@pytest.mark.long
def test_reboot_fires_once_when_nodes_start_together_and_again_when_a_leader_starts_anew():
    rig = Rig(nodes=("a", "b", "c"), plugins=(cron("@reboot"),))
    rig.advance(HOUR)
    assert 1 == len(fired(rig))
    rig.suspend("a")
    rig.advance(HOUR)
    assert 1 == len(fired(rig))
    for name in ("b", "c"):
        rig.suspend(name)
    rig.advance(HOUR)
    rig.add_node("d")
    rig.advance(HOUR)
    assert 2 == len(fired(rig))


def test_reboot_is_not_lost_when_the_dead_leader_still_has_the_lease_at_boot():
    rig = Rig(nodes=("a",), plugins=(cron("@reboot"),))
    rig.advance(HOUR + 9)
    rig.suspend("a")
    rig.add_node("b")
    rig.advance(15)
    assert 1 == len(fired(rig))
    rig.advance(15)
    assert 2 == len(fired(rig))


def test_a_tick_whose_job_the_store_refuses_does_not_stop_the_others():
    store = FaultyStore()

    def refused(effect: Tick) -> bool:
        return bool(effect.jobs[0].args["n"] == 0)

    store.faults = [Fault(Tick, "refuse", 10**6, refused)]
    rig = Rig(store=store, plugins=(cron("* * * * *", "* * * * *"),))
    rig.advance(5 * MINUTE)
    assert [1] * 5 == [moment.job.args["n"] for moment in rig.of("insert") if moment.job]
    assert 10 == len(rig.trace.of("error"))  # each told as the store's and as the plugin's


def test_a_year_of_an_entry_is_every_tick_of_it_once():
    entry = "17 3 * * 1-5"
    rig = Rig(elide=True, plugins=(cron(entry, zone=NEW_YORK),))
    rig.advance(366 * DAY)
    zone = ZoneInfo(NEW_YORK)
    until = START + timedelta(days=366)
    expected = crontab.ticks(crontab.parse(entry), zone, START, until)
    assert [tick.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for tick in expected] == fired(rig)
    assert 250 < len(fired(rig))


@settings(deadline=None, max_examples=40)
@given(
    entry=st.sampled_from(["* * * * *", "*/7 * * * *", "5,35 */2 * * *", "@hourly"]),
    ages=st.lists(st.integers(1, 4_000), min_size=1, max_size=6),
    elide=st.booleans(),
)
def test_leaders_that_take_over_from_one_another_fire_each_tick_once(
    entry: str, ages: list[int], elide: bool
):
    rig = Rig(nodes=(), elide=elide, plugins=(cron(entry),))
    names = (f"n{n}" for n in itertools.count())
    rig.add_node(next(names))
    for age in ages:
        rig.advance(age)
        rig.stop(member=0)
        rig.suspend(rig.node.name)
        rig.add_node(next(names))
    rig.advance(1)
    expected = crontab.ticks(crontab.parse(entry), UTC, START, rig.clock.now())
    assert [tick.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for tick in expected] == fired(rig)


NEW_YORK = "America/New_York"
