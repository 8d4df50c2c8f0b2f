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
