"""A campaign is told in the order of its seeds, whoever played them, and nothing a seed does ends it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import count, islice

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs.rules.errors import ConfigurationError
from pgjobs_testing.simulation import campaign as campaigns
from pgjobs_testing.simulation.asked import faults_of, options_of, seeds_of, words
from pgjobs_testing.simulation.campaign import Campaign, Summary, expected_marks, large
from pgjobs_testing.simulation.playing import CampaignError, Player, Setup, compared, named
from pgjobs_testing.simulation.processes import Alone
from pgjobs_testing.simulation.verdict import FAULTS, Options, Verdict
from tests.simulation import worlds

SHOP = "tests.simulation.worlds:shop"
SMALL = Options(jobs=5)


class Backwards:
    """Takes as many seeds as it may, and ends the last of them first; ``held`` ones when no other is left."""

    def __init__(self, size: int, held: tuple[int, ...] = ()) -> None:
        self.size, self._held = size, held
        self._taken: deque[int] = deque()
        self.most_ahead = 0
        self.taken = 0

    @property
    def room(self) -> int:
        return self.size - len([seed for seed in self._taken if seed not in self._held])

    def take(self, seed: int) -> None:
        self._taken.append(seed)
        self.taken += 1
        self.most_ahead = max(self.most_ahead, seed - self._taken[0])

    def ended(self, timeout_s: float) -> list[Verdict]:
        free = [seed for seed in self._taken if seed not in self._held] or list(self._taken)
        self._taken.remove(free[-1])
        return [worlds.shop(free[-1], SMALL, MemoryStore())]

    def close(self) -> None:
        pass


def alone(world: str) -> Alone:
    return Alone(Player(Setup(SMALL, f"tests.simulation.worlds:{world}"), "t"))


def told(campaign: Campaign) -> list[Verdict]:
    return [verdict for verdicts in campaign.told() for verdict in verdicts]


def test_seeds_are_told_in_their_order_in_whichever_they_end():
    straight, backwards = Campaign(range(40), alone("shop")), Campaign(range(40), Backwards(7))
    assert list(range(40)) == [verdict.seed for verdict in told(straight)]
    assert list(range(40)) == [verdict.seed for verdict in told(backwards)]
    assert straight.summary.digest == backwards.summary.digest
    assert straight.summary.marks == backwards.summary.marks
    other = Campaign(range(1, 41), alone("shop"))
    told(other)
    assert straight.summary.digest != other.summary.digest


def test_no_process_gets_far_ahead_of_a_slow_seed():
    crew = Backwards(2, held=(3,))
    assert 200 == len(told(Campaign(range(200), crew)))
    assert campaigns.AHEAD * 2 - 1 == crew.most_ahead


def test_a_campaign_whose_time_is_over_ends_with_what_was_begun():
    crew = Backwards(3)
    campaign = Campaign(count(5), crew, over=lambda: crew.taken >= 10)
    assert list(range(5, 15)) == [verdict.seed for verdict in told(campaign)]
    again = Campaign(range(5, 15), alone("shop"))
    told(again)
    assert again.summary.digest == campaign.summary.digest


def test_a_campaign_ends_at_so_many_alarms_and_tells_no_seed_after_the_last():
    campaign = Campaign(range(100), alone("alarming"), most=3)
    assert list(range(7)) == [verdict.seed for verdict in told(campaign)]
    assert [0, 3, 6] == [verdict.seed for verdict in campaign.summary.alarms]
    assert not campaign.summary.held


def test_what_ended_out_of_turn_is_known_before_it_is_told():
    campaign = Campaign(range(10), Backwards(4))
    assert [[]] == list(islice(campaign.told(), 1))
    assert [3] == [verdict.seed for verdict in campaign.ahead]


def test_what_a_world_raises_is_an_alarm_of_its_seed_that_says_where():
    first, second, third = told(Campaign(range(3), alone("raising")))
    assert first.held and third.held
    assert second.alarm is not None
    message, *calls = second.alarm.splitlines()
    assert "the world raised LookupError: no such job" == message
    assert "in raising" in calls[0]


def test_a_world_that_gives_no_verdict_is_an_alarm():
    (verdict,) = told(Campaign([4], alone("wordless")))
    assert "the world returned None, not the Verdict on this seed" == verdict.alarm


@pytest.mark.parametrize(
    "world, complaint",
    [
        ("tests.simulation.worlds:shpo", "no function named 'shpo': did you mean 'shop'?"),
        ("tests.simulation.worlds:START", "not a function, named 'START'"),
        (
            "tests.simulation.nothing:shop",
            "importing tests.simulation.nothing raised ModuleNotFound",
        ),
        ("tests.simulation.worlds", "expected a function of a module, as in shop.worlds:play"),
        ("tests.simulation.worlds:storeless", "storeless(seed, options) cannot be called with a"),
        ("tests.simulation.worlds:mere", "(too many positional arguments); expected a function"),
        ("tests.simulation.worlds:with_more", "missing a required argument: 'speed'"),
        ("tests.simulation.worlds:awaited", "awaited is async; expected a function"),
        ("tests.simulation.worlds:yielding", "yielding is a generator; expected a function"),
    ],
)
def test_a_world_that_cannot_be_had_refuses_the_campaign(world, complaint):
    with pytest.raises(CampaignError) as raised:
        Player(Setup(SMALL, world), "t")
    assert complaint in str(raised.value)


def test_a_function_is_named_across_processes_if_it_can_be():
    assert SHOP == named(worlds.shop) == named(SHOP)
    with pytest.raises(CampaignError, match="which other processes cannot import"):
        named(lambda seed, options, store: Verdict(seed, "", 0, 0, ""))


def test_two_stores_have_one_verdict():
    verdict = Verdict(1, "aa", 7, 60.0, "3 nodes")
    other = Verdict(1, "bb", 8, 61.5, "3 nodes")
    broken = Verdict(1, "cc", 5, 30.0, "3 nodes", alarm="permits: 3 of 2")
    assert verdict == compared(verdict, verdict)
    assert broken == compared(broken, broken)
    assert (
        "the stores differ: memory aa of 7 events in 60 s and postgres bb of 8 events in 61.5 s"
        == compared(verdict, other).alarm
    )
    told = compared(replace(verdict, trace="0s a\n1s b"), replace(other, trace="0s a\n1s c\n2s d"))
    assert told.trace is None and told.alarm is not None
    assert [
        "  line 2",
        "    in memory:     1s b",
        "    on PostgreSQL: 1s c",
    ] == told.alarm.splitlines()[1:]
    assert "in memory alone: permits: 3 of 2" == compared(broken, verdict).alarm
    assert "on PostgreSQL alone: permits: 3 of 2" == compared(verdict, broken).alarm
    worse = Verdict(1, "dd", 5, 30.0, "3 nodes", alarm="order")
    assert "in memory (on PostgreSQL: order): permits: 3 of 2" == compared(broken, worse).alarm


def test_only_a_large_campaign_of_the_standard_world_must_see_every_mark():
    assert large(Options(), 300) and large(Options(nodes=5, hours=2), 300)
    assert not large(Options(), 299)
    assert not large(Options(faults=FAULTS[1:]), 300)
    assert not large(Options(nodes=2), 300)
    assert not large(Options(jobs=100), 300)
    assert not large(Options(hours=0.5), 300)


def test_a_mark_that_must_fire_and_does_not_fails_the_campaign():
    expected = expected_marks(SHOP)
    assert ("cancelled", "never") == expected
    summary = Summary()
    for seed in range(300):
        summary.add(Verdict(seed, "aa", 1, 1.0, "", (("cancelled", 2),)))
    assert {"cancelled": 600} == summary.marks
    assert summary.held
    summary.judge_marks(Options(), expected)
    assert ("never",) == summary.silent
    assert not summary.held


@pytest.mark.parametrize(
    "text, seeds", [("0..0", range(1)), ("5..7", range(5, 8)), ("9..", count(9))]
)
def test_seeds_are_written_from_first_to_last(text, seeds):
    assert list(islice(seeds, 5)) == list(islice(seeds_of(text), 5))


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("7", "found the seeds '7'; expected N..M"),
        ("7..5", "found the seeds 7..5, which are none; expected the smaller first: 5..7"),
        ("-1..5", "expected N..M"),
        ("1...5", "expected N..M"),
        (f"0..{2**64}", f"found the seed {2**64}; expected a whole number from 0 to {2**64 - 1}"),
        (f"{2**64}..", f"found the seed {2**64}; expected a whole number from 0 to {2**64 - 1}"),
    ],
)
def test_seeds_that_are_none_are_refused(text, complaint):
    with pytest.raises(ConfigurationError) as raised:
        seeds_of(text)
    assert complaint in str(raised.value)


def test_faults_are_ordered_however_they_are_listed():
    assert FAULTS == faults_of("all")
    assert () == faults_of("none") == faults_of([])
    assert ("crash", "skew") == faults_of("skew, crash") == faults_of(["crash", "skew", "crash"])


@pytest.mark.parametrize(
    "given, complaint",
    [
        ("crush", "unknown fault 'crush': did you mean 'crash'?"),
        ("crash,all", "found 'all' beside other faults"),
        ("", "unknown fault ''"),
        (None, "found the faults None; expected all, none or names"),
        (3, "found the faults 3; expected all, none or names"),
    ],
)
def test_unknown_faults_are_refused(given, complaint):
    with pytest.raises(ConfigurationError) as raised:
        faults_of(given)
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"nodes": 0}, "found 0 nodes; expected a whole number from 1 to 100"),
        ({"nodes": True}, "found True nodes"),
        ({"jobs": -1}, "found -1 jobs; expected a whole number from 0 to 1000000"),
        ({"hours": 0}, "found 0 hours; expected a number above 0 and at most 876600"),
        ({"hours": float("nan")}, "found nan hours"),
        ({"hours": float("inf")}, "found inf hours"),
        ({"store": "postgers"}, "unknown store 'postgers': did you mean 'postgres'?"),
    ],
)
def test_a_world_that_cannot_be_is_refused(wrong, complaint):
    given = {"nodes": 3, "jobs": 200, "hours": 1, "faults": "all", "store": "memory"}
    with pytest.raises(ConfigurationError) as raised:
        options_of(**{**given, **wrong})
    assert complaint in str(raised.value)


def test_the_way_back_names_what_differs_from_the_standard_world():
    assert "pgjobs-testing simulate --seed 7" == words(7, Options(), None)
    options = Options(nodes=4, jobs=10, hours=0.1, faults=("crash", "skew"), store="both")
    assert (
        "pgjobs-testing simulate --seed 7 --nodes 4 --jobs 10 --hours 0.1 --faults crash,skew "
        "--store both --world shop.worlds:play"
    ) == words(7, options, "shop.worlds:play")
    assert words(7, Options(faults=(), hours=2.0), None).endswith("--hours 2 --faults none")
