"""``--pgjobs-seed`` and ``--pgjobs-start`` reproduce a run, whatever else differs about it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

APP = """
from pgjobs import Cron, PgJobs, Pruner, Retry, Stalled, worker

@worker(queue="mail", max_attempts=5)
async def mail(job):
    if job.attempt < 3:
        raise ValueError("no")

@worker
def tick(job):
    jobs.insert(mail.new({"of": job.args}, tags=["x"]))
    return Retry("again") if job.attempt == 1 else None

jobs = PgJobs(
    "postgresql://db.example.invalid/production",
    queues={"default": 10, "mail": 2},
    plugins=[Cron([("* * * * *", tick.new({"every": "minute"}))]), Stalled(), Pruner(max_age=90)],
)
"""

TESTS = """
import hashlib
import pytest
import app
from pgjobs_testing import harness

def told(jobs, name):
    tokens = [job.attempted_by for job in jobs.all_jobs()]
    text = f"{jobs.timeline.text()}{tokens}"
    print(f"told {name}: {hashlib.sha256(text.encode()).hexdigest()}")

def body(jobs, name):
    app.jobs.insert_all([app.mail.new({"n": n}) for n in range(5)])
    jobs.drain_queue(with_safety=True)
    jobs.advance(400)
    told(jobs, name)

@pytest.mark.pgjobs(jitter=True)
def test_one(jobs):
    body(jobs, "one")

@pytest.mark.pgjobs(jitter=True, mode="inline")
def test_two(jobs):
    body(jobs, "two")

@pytest.mark.pgjobs(jitter=True, seed=5)
def test_three(jobs):
    body(jobs, "three")

@pytest.mark.asyncio
async def test_four(jobs):
    await app.jobs.insert_async(app.mail.new())
    await jobs.advance_async(100)
    told(jobs, "four")

def test_five():
    with harness(jitter=True) as jobs:
        body(jobs, "five")
"""


@pytest.fixture
def output(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs tests with the plugin on; what pytest prints."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)

    def ran(*options: str, hash_seed: str = "0", tests: str = TESTS, ends: int = 0) -> str:
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        pytester.makepyfile(app=APP, test_it=textwrap.dedent(tests))
        switches = ("-p", "pgjobs_testing", "-p", "no:cacheprovider", "-rA", *options)
        result = pytester.runpytest_subprocess(*switches, timeout=120)
        text = result.stdout.str()
        assert result.ret == ends, text
        return text

    return ran


@pytest.fixture
def run(output):
    """Runs tests; what they told, by name."""
    return lambda *options, **more: dict(re.findall(r"told (\w+): (\w+)", output(*options, **more)))


FIXED = ("--pgjobs-seed", "7", "--pgjobs-start", "2025-01-01T11:58:30Z")


def test_equal_seeds_and_starts_tell_equal_timelines_in_any_order_process_or_selection(run):
    first = run(*FIXED)
    assert sorted(first) == ["five", "four", "one", "three", "two"]
    assert run(*FIXED, hash_seed="1") == first
    assert run(*FIXED, "--random-order", "--random-order-seed=4", hash_seed="99") == first
    assert run(*FIXED, "-n", "2") == first
    for name in first:
        assert run(*FIXED, "-k", name) == {name: first[name]}


def test_another_seed_tells_another_timeline_where_no_marker_fixes_it(run):
    first = run(*FIXED)
    other = run("--pgjobs-seed", "8", *FIXED[2:])
    changed = {name for name in first if first[name] != other[name]}
    assert changed == {"one", "two", "four", "five"}


@pytest.mark.parametrize("seed", ["-3", str(2**64), str(2**80)])
def test_a_seed_that_no_scenario_can_have_is_a_usage_error(output, seed):
    output("--pgjobs-seed", seed, tests="def test_it(): pass", ends=pytest.ExitCode.USAGE_ERROR)


def test_a_failing_test_says_what_repeats_it(output):
    failing = """
        import app

        def test_it(jobs):
            jobs.advance(100, run=True)
            assert not jobs.timeline.text()
        """
    text = output(tests=failing, ends=1)
    said = re.search(
        r"^again: pytest .* (--pgjobs-seed \d+ --pgjobs-start \S+Z)$", text, re.MULTILINE
    )
    assert said is not None, text
    timeline = re.compile(r"- pgjobs timeline -.*?^again: ", re.DOTALL | re.MULTILINE)
    again = output(*said[1].split(), tests=failing, ends=1)
    assert timeline.findall(again) == timeline.findall(text) != []


def test_the_header_says_where_the_clock_is_put(output, pytester):
    pytester.makepyfile(test_it="def test_it(): pass")
    result = pytester.runpytest_subprocess("-p", "pgjobs_testing", *FIXED)
    result.stdout.fnmatch_lines(
        ["pgjobs: mode manual, --pgjobs-seed 7 --pgjobs-start 2025-01-01T11:58:30Z"]
    )


@pytest.mark.parametrize("given", ["tomorrow", "2025-01-01T12:00:00"])
def test_a_start_that_is_no_aware_instant_is_a_usage_error(output, pytester, given):
    pytester.makepyfile(test_it="def test_it(): pass")
    result = pytester.runpytest_subprocess("-p", "pgjobs_testing", "--pgjobs-start", given)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--pgjobs-start takes an instant such as *, not '{given}'*"])


BY_THE_CLOCK = """
    from datetime import UTC, datetime
    import pytest
    from pgjobs import Cron, PgJobs, worker

    @worker
    def nightly(job): ...

    app = PgJobs("postgresql://nowhere.invalid/db", plugins=[Cron([("0 2 * * *", nightly)])])

    def test_a_day(jobs):
        print("begins", jobs.clock.now().isoformat(), "with", len(jobs.advance(3600)))

    @pytest.mark.pgjobs(start=datetime(2025, 1, 1, 5, tzinfo=UTC), plugins=None)
    def test_says_so(jobs):
        print("begins", jobs.clock.now().isoformat(), "with", len(jobs.advance(86400)))
"""


@pytest.mark.parametrize(
    "ini, options, begins",
    [
        ("pgjobs_start = 2025-01-01T01:55:00Z", (), ["2025-01-01T01:55:00+00:00 with 3"]),
        (
            "pgjobs_start = 2025-01-01T01:55:00Z\npgjobs_plugins = false",
            (),
            ["2025-01-01T01:55:00+00:00 with 0"],
        ),
        (
            "pgjobs_start = 2025-01-01T01:55:00Z",
            ("--pgjobs-start", "2025-01-02T03:00:00+01:00"),
            ["2025-01-02T02:00:00+00:00 with 0"],
        ),
    ],
    ids=["ini", "no plugins", "the option wins"],
)
def test_a_project_says_where_clocks_begin_and_whether_its_crons_act(
    pytester, ini, options, begins
):
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile(test_it=textwrap.dedent(BY_THE_CLOCK))
    result = pytester.runpytest_subprocess("-p", "pgjobs_testing", "-s", *options)
    result.assert_outcomes(passed=2)
    found = re.findall(r"begins (.*)", result.stdout.str())
    assert [*begins, "2025-01-01T05:00:00+00:00 with 3"] == found


@pytest.mark.parametrize(
    "ini, said",
    [
        ("pgjobs_start = 2 o'clock", 'pgjobs_start takes an instant such as *, not "2 o\'clock"'),
        ("pgjobs_start = 2025-01-01T12:00:00", "pgjobs_start takes an instant such as *"),
        ("pgjobs_plugins = none", "pgjobs_plugins: *'none'; expected true or false"),
        ("pgjobs_strict = very", "pgjobs_strict: *'very'; expected true or false"),
    ],
)
def test_an_ini_that_cannot_be_is_a_usage_error(pytester, ini, said):
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile(test_it="def test_it(): pass")
    result = pytester.runpytest_subprocess("-p", "pgjobs_testing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said}*"])


def test_the_projects_own_chance_is_left_alone(run):
    """Neither ``random`` nor hypothesis is seeded by the plugin."""
    tests = """
        import random

        def test_it(jobs):
            random.seed(3)
            expected = random.random()
            random.seed(3)
            import app
            app.jobs.insert(app.mail.new())
            jobs.advance(100)
            assert random.random() == expected
        """
    run(*FIXED, tests=tests)
