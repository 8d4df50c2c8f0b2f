"""A campaign on a Dask cluster of two workers: same seeds, same digests, and a lost worker costs none."""

from __future__ import annotations

import logging
import os
import socket

import pytest

from pgjobs.adapters.system import SystemClock
from pgjobs_testing.servers.choose import choose
from pgjobs_testing.servers.supply import Desk, OwnServer
from pgjobs_testing.simulation.campaign import Campaign, Summary
from pgjobs_testing.simulation.machines import Machines
from pgjobs_testing.simulation.playing import CampaignError, Player, Setup
from pgjobs_testing.simulation.processes import Alone
from pgjobs_testing.simulation.verdict import Options
from tests.simulation import worlds

distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")


def setup(world: str, store: str = "memory", desk: str | None = None) -> Setup:
    return Setup(Options(jobs=5, store=store), f"tests.simulation.worlds:{world}", desk=desk)


def played(seeds: range, address: str, chosen: Setup) -> Summary:
    crew = Machines(chosen, address, SystemClock())
    try:
        campaign = Campaign(seeds, crew)
        for _ in campaign.told():
            pass
    finally:
        crew.close()
    return campaign.summary


def digest(seeds: range) -> str:
    """As this process has it."""
    campaign = Campaign(seeds, Alone(Player(setup("shop"), "t")))
    for _ in campaign.told():
        pass
    return campaign.summary.digest


@pytest.mark.slow
@pytest.mark.postgres
def test_a_cluster_plays_as_one_machine_does_and_a_lost_worker_costs_no_seed(
    tmp_path, monkeypatch, pytestconfig
):
    monkeypatch.setenv(worlds.FOLDER, str(tmp_path))
    option: str = pytestconfig.getoption("--pgjobs-postgres")
    chosen = choose(option, pytestconfig.getoption("--pgjobs-image"), os.environ)
    server = OwnServer(lambda: chosen)
    desk = Desk(server)
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        scheduler_kwargs={"allowed_failures": 1},
        host="127.0.0.1",
        silence_logs=logging.CRITICAL,
        local_directory=str(tmp_path / "dask"),
    )
    try:
        address = cluster.scheduler_address
        both = played(range(20), address, setup("shop", "both", desk.address))
        assert (20, digest(range(20))) == (both.played, both.digest)

        lossy = played(range(9), address, setup("killed_once"))
        assert (True, digest(range(9))) == (lossy.held, lossy.digest)
        assert {"0", "4", "8"} <= {path.name for path in tmp_path.iterdir()}

        (alarm,) = played(
            range(6), address, setup("killing")
        ).alarms  # who was beside it is not blamed
        assert alarm.seed == 3
        assert "worker after worker of the cluster was lost to it" in str(alarm.alarm)

        with pytest.raises(CampaignError, match=r"cannot play.*did you mean 'shop'"):
            played(range(2), address, setup("shpo"))
    finally:
        cluster.close()
        desk.close()
        server.close()


@pytest.mark.parametrize("address", ["foo", "tcp://foo", "foo:bar", "http://10.0.0.1:8786"])
def test_what_is_no_address_is_refused_before_a_client_is_made(monkeypatch, address):
    """One that is made with it waits for half a minute when it is collected, and prints a traceback."""
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: pytest.fail("a client was made"))
    with pytest.raises(CampaignError, match=f"no Dask scheduler answers at '{address}'"):
        Machines(setup("shop"), address, SystemClock())


def test_no_scheduler_refuses_the_campaign():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(CampaignError, match=r"no Dask scheduler answers at"):
            Machines(setup("shop"), address, SystemClock(), connect_s=0.2)
    with pytest.raises(CampaignError, match=r"as in tcp://10\.0\.0\.1:8786"):
        Machines(setup("shop"), "nonsense", SystemClock(), connect_s=0.2)
