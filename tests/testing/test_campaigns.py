"""The fixture ``campaign`` in a project of its own, run by a real pytest."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs one test module with the plugin on."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)

    def running(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=textwrap.dedent(test))
        return pytester.runpytest_subprocess(
            "-p", "pgjobs_testing", "-p", "no:cacheprovider", *options, timeout=120
        )

    return running


def test_a_campaign_plays_a_number_of_seeds_from_that_of_the_run_on(run):
    test = """
        from tests.simulation.worlds import quick, shop

        def test_by_number(campaign):
            summary = campaign(3, jobs=4, world=shop)
            assert (3, 100, 102) == (summary.played, summary.first, summary.last)
            assert summary.digest == campaign(range(100, 103), jobs=4, world=shop).digest
            assert summary.digest != campaign(range(103), jobs=4, world=shop).digest

        def test_by_default(campaign):
            summary = campaign(world="tests.simulation.worlds:quick")
            assert (5, 104) == (summary.played, summary.last)

        def test_for_a_time(campaign):
            summary = campaign(jobs=4, world=quick, time=0.05)
            assert summary.played == summary.last - 99

        def test_in_processes(campaign):
            here = campaign(range(4), jobs=4, world=shop)
            assert here.digest == campaign(range(4), jobs=4, world=shop, processes=1).digest

        def a_world_of_the_test(seed, options, store):
            assert options.faults == ("crash", "skew")
            assert (options.nodes, options.hours) == (5, 0.5)
            return shop(seed, options, store)

        def test_with_options(campaign):
            given = {"nodes": 5, "jobs": 1, "hours": 0.5, "faults": ["skew", "crash"]}
            assert campaign(2, **given, world=a_world_of_the_test).held
        """
    run(test, "--pgjobs-seed", "100", "--pgjobs-seeds", "5").assert_outcomes(passed=5)


def test_an_alarm_fails_the_test_and_leaves_the_way_back_to_it(run):
    test = """
        from tests.simulation.worlds import alarming

        def test_alarm(campaign):
            campaign(range(5, 8), jobs=4, world=alarming)

        def test_wrong_use(campaign):
            campaign(0)

        def test_misspelt(campaign):
            campaign(faults="crush")

        def test_an_option(campaign):
            campaign(1, job=3)

        def test_unnamed(campaign):
            campaign(1, processes=1, world=lambda seed, options, store: None)

        def test_unnamed_here(campaign):
            campaign([9], world=lambda seed, options, store: None)
        """
    result = run(test)
    result.assert_outcomes(failed=6)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: seed 6: permits: 3 of 2 are out",
            "E * drawn: 4 jobs",
            "E * again: pgjobs-testing simulate --seed 6 --jobs 4 --world *worlds:alarming",
            "E * scenario: *alarm-6.scenario.yaml",
            "E * 3 seeds (5..7) on memory: 1 alarm, * events",
            "E *found 0 seeds; expected one, at least",
            "E *unknown fault 'crush': did you mean 'crash'?",
            "E *unknown option of campaign 'job': did you mean 'jobs'? campaign takes seeds, nodes, *",
            "E *which other processes cannot import*",
            "E * again: give the test's campaign() seeds=[[]9]: no command can import the world *<lambda>",
        ]
    )


def test_a_campaign_that_would_play_nothing_or_no_seed_fails_and_says_what_is_right(run):
    test = """
        import pytest

        from pgjobs import ConfigurationError
        from pgjobs_testing.simulation.playing import CampaignError
        from tests.simulation.worlds import awaited, exits, quick, storeless

        @pytest.mark.parametrize("given, said", [
            ({"seeds": []}, "found no seeds; expected one, at least"),
            ({"seeds": "0..3"}, "found the seeds '0..3'; expected a number of them, or the seeds"),
            ({"seeds": 1.5}, "found the seeds 1.5; expected a number of them, or the seeds"),
            ({"seeds": [1, -1]}, "found the seed -1; expected a whole number from 0 to"),
            ({"seeds": [2**64]}, "found the seed 18446744073709551616; expected"),
            ({"processes": -1}, "found -1 processes; expected a whole number from 0 to 1024"),
            ({"processes": "2"}, "found '2' processes"),
            ({"time": 0}, "time is 0; expected more than 0 s"),
            ({"world": 3}, "found the world 3; expected a function, or its name as module:function"),
        ])
        def test_refused(campaign, given, said):
            with pytest.raises(ConfigurationError) as raised:
                campaign(**{"world": quick, **given})
            assert said in str(raised.value)

        def test_a_world_that_exits_is_an_alarm(campaign):
            with pytest.raises(AssertionError, match="seed 7: the world raised SystemExit: 5"):
                campaign([7], world=exits)

        @pytest.mark.parametrize("processes", [0, 2])
        @pytest.mark.parametrize("world, said", [
            (storeless, "storeless(seed, options) cannot be called with a seed, the options and"),
            ("tests.simulation.worlds:mere", "mere() cannot be called with a seed, the"),
            (awaited, "awaited is async; expected a function of a module"),
            (lambda seed: None, "(seed) cannot be called with a seed"),
        ])
        def test_a_world_of_another_signature_is_played_with_no_seed(
            campaign, world, said, processes
        ):
            with pytest.raises(CampaignError) as raised:
                campaign(10, world=world, processes=processes)
            assert said in str(raised.value)
        """
    run(test).assert_outcomes(passed=18)


@pytest.mark.postgres
def test_a_campaign_in_mode_postgres_leaves_the_jobs_of_its_test_alone(run, pytestconfig):
    test = """
        import pytest
        from pgjobs import worker
        from tests.simulation.worlds import differing, shop

        @worker
        def note(job):
            pass

        @pytest.mark.pgjobs(mode="postgres")
        def test_both(campaign, jobs):
            job = jobs.insert(note.new())
            digest = campaign(range(4), jobs=4, world=shop).digest
            assert digest == campaign(range(4), jobs=4, world=shop, store="memory").digest
            assert [job.id] == [each.id for each in jobs.all_jobs()]
            assert digest == campaign(range(4), jobs=4, world=shop, processes=1).digest
            with pytest.raises(AssertionError, match="seed 2: the stores differ"):
                campaign(range(4), jobs=4, world=differing, store="both")
        """
    server: str = pytestconfig.getoption("--pgjobs-postgres")
    run(test, "--pgjobs-postgres", server).assert_outcomes(passed=1)


@pytest.mark.postgres
def test_a_world_of_a_project_plays_its_workers_on_the_store_it_is_given(run, pytestconfig):
    """As docs/how-to/simulate-a-cluster.md writes it."""
    page = (ROOT / "docs/how-to/simulate-a-cluster.md").read_text(encoding="utf-8")
    (world,) = re.findall(r'```python title="shop_worlds.py"\n(.*?)```', page, re.DOTALL)
    test = """
        def test_on_both_stores(campaign):
            both = campaign(range(3), jobs=20, world=play, store="both")
            assert both.digest == campaign(range(3), jobs=20, world=play).digest
            assert both.marks["refunded"] > 0
        """
    server: str = pytestconfig.getoption("--pgjobs-postgres")
    run(world + textwrap.dedent(test), "--pgjobs-postgres", server).assert_outcomes(passed=1)


@pytest.mark.postgres
def test_a_campaign_under_xdist_asks_the_controllers_server(run, pytestconfig):
    pytest.importorskip("xdist")
    server: str = pytestconfig.getoption("--pgjobs-postgres")
    test = """
        import pytest
        from tests.simulation.worlds import shop

        @pytest.mark.parametrize("processes", [0, 1])
        def test_one(campaign, processes):
            campaign(range(4), jobs=4, world=shop, store="both", processes=processes)
        """
    result = run(test, "-n", "2", "--pgjobs-postgres", server)
    result.assert_outcomes(passed=2)
