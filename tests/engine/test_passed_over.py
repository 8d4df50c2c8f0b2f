"""What the log says of ticks that are passed over, since they are older than ``catch_up``: each gap once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pgjobs.leading import Lead, Tick, Watermarks
from pgjobs.plugins import Cron, LeaderTasks
from pgjobs.rules.job import NewJob
from tests.engine.rig import START, Fault, FaultyStore, Rig

EVER = 10**9
MINUTE, HOUR, DAY = 60, 3_600, 86_400


class Lines:
    """What was logged about gaps."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def new(self) -> list[str]:
        """The lines since the last call."""
        found = [each.message for each in self._caplog.records if "passed over" in each.message]
        self._caplog.clear()
        return found


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    with caplog.at_level(logging.WARNING, "pgjobs"):
        yield Lines(caplog)


def cron(*entries: str, **given: Any) -> Cron:
    return Cron([(entry, NewJob("task", {"n": n})) for n, entry in enumerate(entries)], **given)


def inserted(rig: Rig) -> int:
    return len(rig.of("insert"))


def away(rig: Rig, seconds: float, successor: str = "b") -> None:
    """The only node dies, and after so long there is another."""
    rig.suspend(rig.node.name)
    rig.clock.set(rig.clock.now() + timedelta(seconds=seconds))
    rig.add_node(successor)
    rig.advance(1)


def test_a_tick_that_an_outage_swallowed_is_logged_with_its_entry_and_the_remedy(lines: Lines):
    rig = Rig(plugins=(cron("5 12 * * *"),))
    rig.advance(5 * MINUTE - 1)
    away(rig, 36)
    assert 0 == inserted(rig)
    (line,) = lines.new()
    assert line == (
        "the cron entry '5 12 * * *' (Etc/UTC) of task: passed over 1 tick, "
        "2025-03-01T12:05:00.000000Z. Nobody fired it in time, and the entry makes up for 0:00:30 "
        "and no more: Cron(catch_up=...) of more than the longest outage or deployment lets it reach "
        "further back"
    )


def test_nothing_is_logged_where_nothing_was_passed_over(lines: Lines):
    rig = Rig(plugins=(cron("5 12 * * *", "0 0 1 1 *", "@reboot"),))
    rig.advance(5 * MINUTE - 1)
    away(rig, 31)
    rig.advance(HOUR)
    away(rig, HOUR, "c")
    assert [2, 0, 2, 2] == [each.job.args["n"] for each in rig.of("insert") if each.job]
    assert [] == lines.new()


def test_a_longer_catch_up_makes_up_for_it_and_says_nothing(lines: Lines):
    rig = Rig(plugins=(cron("5 12 * * *", catch_up=HOUR),))
    rig.advance(5 * MINUTE - 1)
    away(rig, 36)
    assert 1 == inserted(rig)
    assert [] == lines.new()


def test_each_entry_says_how_many_from_which_to_which(lines: Lines):
    rig = Rig(plugins=(cron("* * * * *", "5 * * * *", "7 15 * * *"),))
    rig.advance(3 * MINUTE)
    away(rig, 7 * MINUTE)
    first, second = lines.new()
    assert "'* * * * *'" in first
    assert "6 ticks, 2025-03-01T12:04:00.000000Z to 2025-03-01T12:09:00.000000Z. Nob" in first
    assert "'5 * * * *'" in second
    assert "passed over 1 tick, 2025-03-01T12:05:00.000000Z" in second


def test_years_are_told_in_few_words(lines: Lines):
    rig = Rig(plugins=(cron("* * * * *"),))
    rig.advance(3 * MINUTE)
    away(rig, 3_650 * DAY)
    (line,) = lines.new()
    assert "more than 1,000 ticks, 2025-03-01T12:04:00.000000Z to 2035-02-27T12:02:00" in line


def test_a_node_that_comes_to_lead_again_tells_of_a_gap_once_and_of_what_came_after_it(
    lines: Lines,
):
    rig = Rig(plugins=(cron("5 * * * *"),))
    rig.advance(4 * MINUTE)
    away(rig, 10 * MINUTE)
    assert 1 == len(lines.new())
    for _ in range(3):
        member = rig.suspend("b")
        rig.advance(2 * MINUTE)
        rig.resume(member)
        rig.advance(MINUTE)
    assert [] == lines.new()
    member = rig.suspend("b")
    rig.advance(HOUR)
    rig.resume(member)
    rig.advance(MINUTE)
    (line,) = lines.new()
    assert "passed over 1 tick, 2025-03-01T13:05:00.000000Z" in line
    rig.advance(HOUR)
    assert 1 == inserted(rig)
    assert [] == lines.new()


def test_leaders_that_alternate_tell_of_a_gap_once_each(lines: Lines):
    rig = Rig(plugins=(cron("5 0 * * *"),))
    rig.advance(1)
    rig.suspend("a")
    rig.advance(DAY)
    members = {name: rig.add_node(name) for name in ("b", "c")}
    rig.advance(1)
    assert 1 == len(lines.new())
    for name in ("b", "c", "b", "c"):
        rig.suspend(name)
        rig.advance(MINUTE)
        rig.resume(members[name])
    assert 1 == len(lines.new())


def test_a_leader_whose_store_takes_no_tick_tells_once_what_it_passed_over(lines: Lines):
    store = FaultyStore()
    store.faults = [Fault(Tick, "before", EVER)]
    rig = Rig(store=store, plugins=(cron("5 * * * *"),))
    rig.advance(20 * MINUTE)
    (line,) = lines.new()
    assert "1 tick, 2025-03-01T12:05:00.000000Z (the first may have been fired, its answer" in line
    rig.advance(HOUR)
    (line,) = lines.new()
    assert "1 tick, 2025-03-01T13:05:00.000000Z" in line


def test_a_tick_that_the_store_refused_is_told_as_an_error_alone(
    lines: Lines, caplog: pytest.LogCaptureFixture
):
    store = FaultyStore()
    store.faults = [Fault(Tick, "refuse", 1)]
    rig = Rig(store=store, plugins=(cron("5 12 * * *"),))
    rig.advance(10 * MINUTE)
    assert "could not be fired at 2025-03-01 12:05:00" in caplog.text
    member = rig.suspend("a")
    rig.add_node("b")
    rig.advance(MINUTE)
    assert 1 == len(lines.new())  # another node, which knows of no error
    rig.suspend("b")
    rig.resume(member)
    rig.advance(MINUTE)
    assert [] == lines.new()


def test_a_leader_that_has_read_the_watermark_anew_knows_that_a_tick_was_not_fired(lines: Lines):
    store = FaultyStore()
    store.faults = [Fault(Tick, "before", 1)]
    rig = Rig(store=store, plugins=(cron("5 12 * * *"),))
    rig.advance(5 * MINUTE)
    member = rig.suspend("a")
    rig.advance(MINUTE)
    rig.add_node("b")
    rig.advance(1)
    rig.suspend("b")
    rig.resume(member)
    rig.advance(MINUTE)
    by_b, by_a = lines.new()
    assert "1 tick, 2025-03-01T12:05:00.000000Z. Nobody" in by_b
    assert by_b == by_a


def test_after_an_outage_of_everything_the_leader_tells_what_it_passed_over(lines: Lines):
    store = FaultyStore()
    rig = Rig(store=store, plugins=(cron("5 12 * * *"),))
    rig.advance(4 * MINUTE)
    store.faults = [Fault(kind, "before", EVER) for kind in (Lead, Tick, Watermarks)]
    rig.advance(3 * MINUTE)
    assert [] == lines.new()
    store.faults = []
    rig.advance(HOUR)
    assert 1 == len(lines.new())


def test_a_clock_that_is_set_back_tells_nothing(lines: Lines):
    store = FaultyStore()
    rig = Rig(store=store, plugins=(cron("* * * * *"),))
    rig.advance(5 * MINUTE)
    behind = Rig(store=store, nodes=(), plugins=(cron("* * * * *"),))
    behind.clock.set(START + timedelta(minutes=2))
    rig.suspend("a")
    behind.add_node("b")
    behind.advance(10 * MINUTE)
    assert 7 == inserted(behind)
    assert [] == lines.new()


def test_a_tick_of_a_leaders_task_that_is_passed_over_is_logged_too(lines: Lines):
    def clean() -> None:
        raise AssertionError("the scripted executor runs no code")

    rig = Rig(plugins=(LeaderTasks([("5 12 * * *", clean)]),))
    rig.advance(4 * MINUTE)
    away(rig, 2 * MINUTE)
    (line,) = lines.new()
    assert line.startswith("the leader's task '5 12 * * *' (Etc/UTC) of ")
    assert line.endswith("what must not be missed belongs into Cron, which has catch_up")
