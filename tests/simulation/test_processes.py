"""Processes that play seeds: who dies costs no seed, who kills is named, and databases stay apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pgjobs.adapters.system import SystemClock
from pgjobs_testing.servers.choose import choose
from pgjobs_testing.servers.supply import Desk, OwnServer
from pgjobs_testing.simulation.campaign import Campaign
from pgjobs_testing.simulation.playing import CampaignError, Player, Setup
from pgjobs_testing.simulation.processes import Alone, Processes
from pgjobs_testing.simulation.verdict import Options, Verdict
from tests.simulation import worlds


@contextmanager
def playing(
    world: str,
    *,
    count: int = 2,
    store: str = "memory",
    desk: str | None = None,
    limit_s: float = 600,
) -> Iterator[Processes]:
    setup = Setup(Options(jobs=5, store=store), f"tests.simulation.worlds:{world}", desk=desk)
    crew = Processes(setup, count, SystemClock(), limit_s=limit_s)
    try:
        yield crew
    finally:
        crew.close()


def told(campaign: Campaign) -> list[Verdict]:
    return [verdict for verdicts in campaign.told() for verdict in verdicts]


def digest(seeds: range) -> str:
    """As this process has it."""
    setup = Setup(Options(jobs=5), "tests.simulation.worlds:shop")
    campaign = Campaign(seeds, Alone(Player(setup, "t")))
    told(campaign)
    return campaign.summary.digest


def test_a_process_that_is_killed_costs_no_seed(tmp_path, monkeypatch):
    monkeypatch.setenv(worlds.FOLDER, str(tmp_path))
    with playing("killed_once") as crew:
        campaign = Campaign(range(9), crew)
        assert list(range(9)) == [verdict.seed for verdict in told(campaign) if verdict.held]
    assert ["0", "4", "8"] == sorted(path.name for path in tmp_path.iterdir())
    assert digest(range(9)) == campaign.summary.digest


def test_a_seed_that_kills_every_process_is_named_and_the_others_are_played():
    with playing("killing") as crew:
        campaign = Campaign(range(6), crew)
        told(campaign)
    (alarm,) = campaign.summary.alarms
    assert (3, "its process was ended by SIGKILL, 2 times out of 2") == (alarm.seed, alarm.alarm)
    assert 6 == campaign.summary.played


def test_a_seed_that_never_ends_is_named_and_the_others_are_played():
    with playing("endless", limit_s=1) as crew:
        campaign = Campaign(range(4), crew)
        told(campaign)
    (alarm,) = campaign.summary.alarms
    assert (1, "it was still played after 1 s of real time") == (alarm.seed, alarm.alarm)
    assert 4 == campaign.summary.played


def test_a_campaign_is_refused_where_no_process_can_play():
    with playing("shpo") as crew, pytest.raises(CampaignError, match="did you mean 'shop'"):
        told(Campaign(range(4), crew))


def test_no_real_database_opens_in_a_process_of_a_campaign():
    with playing("prying", count=1) as crew:
        (verdict,) = told(Campaign(range(1), crew))
    assert verdict.alarm is not None
    assert "CapturedStoreError" in verdict.alarm


@pytest.mark.postgres
def test_processes_have_databases_of_their_own_on_one_server(pytestconfig):
    option: str = pytestconfig.getoption("--pgjobs-postgres")
    chosen = choose(option, pytestconfig.getoption("--pgjobs-image"), os.environ)
    server = OwnServer(lambda: chosen)
    desk = Desk(server)
    try:
        with playing("differing", store="both", desk=desk.address) as crew:
            campaign = Campaign(range(12), crew)
            told(campaign)
    finally:
        desk.close()
        server.close()
    (alarm,) = campaign.summary.alarms
    assert alarm.seed == 2
    assert "the stores differ: memory" in str(alarm.alarm)
    assert digest(range(12)) == campaign.summary.digest
