"""Scenario files as pytest's items, in a project of its own."""

from __future__ import annotations

import pytest

HOLDS = """\
name: A job is done
workers: {W: {}}
steps: [{at: 0s, insert: {as: x, worker: W}}]
expect:
  - {at: end, job: x, state: completed}
"""


@pytest.fixture
def project(pytester):
    """A project with scenarios in two places, and files that are none."""
    (pytester.path / "timelines").mkdir()
    (pytester.path / "timelines" / "in_a_directory.yaml").write_text(HOLDS)
    (pytester.path / "anywhere.scenario.yaml").write_text(HOLDS)
    (pytester.path / "other.yaml").write_text("not: a scenario\n")
    pytester.makeini("[pytest]\npgjobs_scenarios = timelines\n")
    return pytester


def run(project, *options):
    return project.runpytest_subprocess("-p", "pgjobs_testing", "-p", "no:cacheprovider", *options)


def test_files_are_collected_by_suffix_and_by_directory_and_named_as_they_are(project):
    result = run(project, "--collect-only", "-q")
    assert [
        "anywhere.scenario.yaml::A job is done",
        "timelines/in_a_directory.yaml::A job is done",
    ] == [line for line in result.outlines if "::" in line]
    run(project).assert_outcomes(passed=2)


def test_a_file_may_end_with_yml(project):
    (project.path / "short.scenario.yml").write_text(HOLDS)
    (project.path / "other.yml").write_text("not: a scenario\n")
    (project.path / "timelines" / "short.yml").write_text(HOLDS)
    result = run(project, "--collect-only", "-q")
    assert [
        "anywhere.scenario.yaml::A job is done",
        "short.scenario.yml::A job is done",
        "timelines/in_a_directory.yaml::A job is done",
        "timelines/short.yml::A job is done",
    ] == [line for line in result.outlines if "::" in line]


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_a_directory_that_is_not_there_is_a_usage_error(project, workers):
    """Mistyped, it would leave its scenarios untested, and say nothing."""
    result = run(project, "-o", "pgjobs_scenarios=timelines timelinse", *workers)
    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(
        ["ERROR: pgjobs_scenarios: there is no timelinse: name directories*"]
    )


def test_a_failing_scenario_reads_as_in_the_command(project):
    path = project.path / "anywhere.scenario.yaml"
    path.write_text(HOLDS.replace("state: completed", "state: discarded"))
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "anywhere.scenario.yaml:5:5: job x is not as expected at the end (0s)",
            "    5 |   - {at: end, job: x, state: discarded}",
            "             expected   actual",
            "    ! state  discarded  completed",
            "    the timeline around 0s:",
            "    on memory",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_a_file_with_mistakes_is_an_error_that_names_them_all(project):
    path = project.path / "anywhere.scenario.yaml"
    path.write_text(HOLDS.replace("expect", "expct").replace("worker: W", "worker: V"))
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "anywhere.scenario.yaml:3:42: steps[[]0].insert.worker: no worker is named 'V'; known are W",
            "anywhere.scenario.yaml:4:1: found the unknown key 'expct'; did you mean 'expect'?",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_a_file_runs_on_the_store_of_the_session(project, server):
    path = project.path / "anywhere.scenario.yaml"
    path.write_text(HOLDS.replace("state: completed", "state: discarded"))
    result = run(project, "--pgjobs-mode", "postgres", "--pgjobs-postgres", server.dsn)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["    on postgres"])


REAL = """\
name: Shop
workers: {Night: {use: "shop.jobs:night"}}
steps: [{at: 0s, insert: {as: x, worker: Night}}]
expect:
  - {at: end, job: x, state: completed, completed_at: 30s}
  - {at: end, count: {worker: shop.jobs.mail, state: completed}, is: 1}
"""
SHOP = """\
import asyncio
from pgjobs import PgJobs, worker

jobs = PgJobs("postgresql://nobody@127.0.0.1:1/shop")

@worker(queue="mail")
def mail(job):
    return None

@worker
async def night(job):
    await asyncio.sleep(30)
    jobs.insert(mail.new())
"""


@pytest.fixture
def shop(project):
    """The project with an application, and a scenario of its worker."""
    (project.path / "shop").mkdir()
    (project.path / "shop" / "jobs.py").write_text(SHOP)
    (project.path / "shop.scenario.yaml").write_text(REAL)
    return project


def test_real_workers_are_imported_from_the_root_directory_and_play(shop):
    run(shop).assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", ["manual", "inline", "live"])
def test_a_file_plays_the_same_whatever_mode_tests_run_in(shop, mode):
    run(shop, "--pgjobs-mode", mode).assert_outcomes(passed=3)


def test_real_workers_play_on_the_store_of_the_session(shop, server):
    result = run(shop, "--pgjobs-mode", "postgres", "--pgjobs-postgres", server.dsn)
    result.assert_outcomes(passed=3)


def test_fixtures_that_every_test_uses_surround_a_scenario(shop):
    shop.makeconftest(
        """
        import os, pytest

        @pytest.fixture(autouse=True)
        def settings(monkeypatch):
            monkeypatch.setenv("SHOP_MAIL", "yes")
        """
    )
    night = SHOP.replace("jobs.insert", "if 'SHOP_MAIL' in os.environ: jobs.insert")
    (shop.path / "shop" / "jobs.py").write_text("import os\n" + night)
    run(shop).assert_outcomes(passed=3)


def test_a_worker_that_ends_the_test_as_pytest_does_fails_the_scenario(shop):
    night = SHOP.replace("jobs.insert(mail.new())", "import pytest; pytest.fail('not in May')")
    (shop.path / "shop" / "jobs.py").write_text(night)
    result = run(shop)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*stopped at 30s: a worker ended it by pytest's Failed: not in May"]
    )
    assert "Traceback" not in result.stdout.str()


def test_a_use_that_cannot_be_imported_is_a_mistake_of_the_file(shop):
    (shop.path / "shop.scenario.yaml").write_text(REAL.replace("shop.jobs:", "shop.jbs:"))
    result = run(shop)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*yaml:2:24: workers.Night.use: *(no module is named 'shop.jbs'; did you mean 'shop.jobs'?)",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_scenarios_are_chosen_by_keyword_node_id_and_marker(project):
    result = run(project, "-k", "done and anywhere")
    result.assert_outcomes(passed=1, deselected=1)
    run(project, "anywhere.scenario.yaml::A job is done").assert_outcomes(passed=1)
    run(project, "-m", "pgjobs_scenario").assert_outcomes(passed=2)
    run(project, "-m", "not pgjobs_scenario").assert_outcomes(deselected=2)
    strict = run(project, "--strict-markers", "--markers")
    strict.stdout.fnmatch_lines(["@pytest.mark.pgjobs_scenario: *"])


def test_names_of_any_characters_stay_one_line_and_can_be_chosen(project):
    odd = "a [b] ::c é\u202e\\n.scenario.yaml"
    path = project.path / odd
    path.write_text(HOLDS.replace("A job is done", '"x::y\\n[z] \\u202e é"'), encoding="utf-8")
    result = run(project, "--collect-only", "-q")
    (line,) = [each for each in result.outlines if "x: :y" in each]
    assert line.endswith("::x: :y\\n[z] \\u202e é")
    run(project, "-k", "z and é").assert_outcomes(passed=1, deselected=2)
    run(project, "-n", "2", "-v").assert_outcomes(passed=3)


def test_a_failure_heads_with_the_name_escaped(project):
    path = project.path / "anywhere.scenario.yaml"
    odd = HOLDS.replace("A job is done", '"x::y\\n\\e[31mz"')
    path.write_text(odd.replace("state: completed", "state: discarded"))
    result = run(project, "--color=no", "-rf")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "_ scenario: x::y\\n\\x1b[31mz _" in text
    assert "\x1b" not in text


def test_a_files_own_seed_counts_whatever_the_sessions_is(project):
    path = project.path / "anywhere.scenario.yaml"
    failing = HOLDS.replace("{W: {}}", "{W: {max_attempts: 2, runs: [{error: e}, ok]}}")
    text = failing.replace(
        "expect:", "seed: 3\njitter: true\nexpect:\n  - {at: 0s, job: x, scheduled_at: 16.6s}"
    )
    path.write_text(text)
    first, second = (run(project, "--pgjobs-seed", seed).outlines for seed in ("1", "2"))
    told = [[line for line in lines if "scheduled_at" in line] for lines in (first, second)]
    assert told[0]
    assert told[0] == told[1]
