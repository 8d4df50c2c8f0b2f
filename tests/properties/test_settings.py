"""A machine's settings neither flake nor hide, and a failure is the same under any hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from pgjobs import ConfigurationError
from pgjobs.worker import REGISTRY
from pgjobs_testing import JobsMachine
from pgjobs_testing.properties.machine import chosen_settings
from pgjobs_testing.properties.scripted import scripted

ROOT = Path(__file__).parents[2]
BROKEN = '''
from hypothesis import Phase, settings
from pgjobs_testing import JobsMachine

class Broken(JobsMachine):
    """At most one job completes, it says."""

    mode = "manual"

    def check(self):
        assert self.jobs.count_jobs(state="completed") < 2

TestBroken = Broken.TestCase
TestBroken.settings = settings(
    TestBroken.settings, derandomize=True, database=None, max_examples=40, print_blob=False,
    report_multiple_bugs=False, phases=[Phase.generate],
)
'''


def test_a_machine_has_settings_of_its_own_and_a_project_may_change_them():
    class One(JobsMachine):
        pass

    class Two(JobsMachine):
        pass

    Two.TestCase.settings = settings(Two.TestCase.settings, max_examples=7)
    chosen = One.TestCase.settings
    assert (None, True) == (chosen.deadline, chosen.print_blob)
    assert [HealthCheck.too_slow] == list(chosen.suppress_health_check)
    assert settings.default is not None
    assert settings.default.max_examples == chosen.max_examples
    assert (7, None) == (Two.TestCase.settings.max_examples, Two.TestCase.settings.deadline)


def test_what_is_registered_is_given_back_whatever_an_example_does():
    class Failing(JobsMachine):
        def check(self) -> None:
            assert not self.jobs.all_jobs()

    before = dict(REGISTRY.by_name)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Failing,
            settings=chosen_settings(max_examples=5, database=None, phases=[Phase.generate]),
        )
    assert before == REGISTRY.by_name


@pytest.mark.parametrize(
    "name, value, said",
    [
        (
            "workers",
            [scripted],
            "workers are .*; expected a mapping of workers, each to a strategy",
        ),
        ("workers", {"sent": st.just({})}, "the key 'sent'; expected a worker, not its name"),
        ("workers", {scripted: {"n": 1}}, "has the args {'n': 1}; expected a strategy for them"),
        ("workers", {}, "no workers: name some, or leave the attribute out"),
        ("longest_s", -1, "longest_s must be 0 s or more, not -1"),
        ("longest_s", "1m", "longest_s takes seconds or a timedelta, not '1m'"),
    ],
)
def test_what_a_machine_cannot_be_made_of_is_refused_in_words(name, value, said):
    class Wrong(JobsMachine):
        pass

    setattr(Wrong, name, value)
    with pytest.raises(ConfigurationError, match=said):
        run_state_machine_as_test(Wrong, settings=settings(max_examples=1, database=None))


@pytest.mark.parametrize("mode", ["inline", "live", "memory"])
def test_a_mode_that_a_machine_cannot_have_is_refused(mode):
    class Wrong(JobsMachine):
        pass

    Wrong.mode = mode
    with pytest.raises(ConfigurationError, match="mode is manual or postgres"):
        Wrong()


def test_a_failure_is_the_same_under_any_hash_seed(tmp_path):
    (tmp_path / "test_broken.py").write_text(BROKEN, encoding="utf-8")
    said = {failure(tmp_path, seed) for seed in ("0", "4242")}
    assert 1 == len(said)
    assert "state = Broken()" in said.pop()


def failure(folder: Path, seed: str) -> str:
    """What the failing machine prints: the program that broke it."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environ = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
    environ.pop("PGJOBS_CAPTURED_BY", None)
    options = ["-p", "pgjobs_testing", "-p", "no:cacheprovider", "-p", "no:asyncio", "--tb=short"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_broken.py"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 1 == done.returncode, done.stdout + done.stderr
    return done.stdout.partition("Failing test case")[2].partition("state.teardown()")[0]
