"""Where pgjobs refuses what a test or its project asks for, the failure points at the line that asked."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

TESTS = """
    import pytest
    from pgjobs import PgJobs, Snooze, worker

    app = PgJobs("postgresql://nowhere/shop", queues={"mail": 2})

    @worker
    def mail(job):
        if "new" in job.args:
            mail.new(pririty=3)
        return Snooze(0)

    def asks(jobs):
        jobs.count_jobs(stat="available")

    def test_filter(jobs): jobs.refute_enqueued(quue="mail")
    def test_block(jobs):
        with jobs.expect_enqueued(quue="mail"):
            pass
    def test_livelock(jobs):
        app.insert(mail.new(queue="mail"))
        jobs.drain_queue()
    def test_new(jobs): mail.new(pririty=3)
    def test_args(jobs): mail.new({"a": {1}})
    def test_insert(jobs): app.insert("mail")
    def test_unknown(jobs): app.get_job(7)
    def test_advance(jobs): jobs.advance(-1)
    def test_in_a_function(jobs): asks(jobs)
    def test_performed(jobs): jobs.perform_job("mial")
    def test_in_a_worker(jobs):
        app.insert(mail.new({"new": 1}, queue="mail"))
        jobs.drain_queue()
    async def test_async(jobs):
        await app.get_job_async(7)
    @pytest.fixture
    def early(jobs): jobs.all_jobs(stat="x")
    def test_fixture(early): pass
"""


@pytest.fixture
def run(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)
    pytester.makepyfile(test_it=textwrap.dedent(TESTS))
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")

    def running(*options):
        result = pytester.runpytest_subprocess(
            "-p", "pgjobs_testing", "-p", "no:cacheprovider", *options, timeout=120
        )
        return result.stdout.str()

    return running


def files(section: str) -> set[str]:
    """The files at whose lines a failure points."""
    return set(re.findall(r"^(\S+\.py):\d+: ", section, re.MULTILINE))


def sections(output: str) -> dict[str, str]:
    found = re.split(r"^_{3,} (?:ERROR at setup of )?(test_\w+) _{3,}$", output, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_a_failure_points_at_the_line_that_asked_and_hides_ours(run):
    found = sections(run())
    assert len(found) == 13
    for name, section in found.items():
        assert files(section) == {"test_it.py"}, name
        assert "hidden" not in section, name
    assert 'jobs.refute_enqueued(quue="mail")' in found["test_filter"]
    assert "did you mean 'queue'" in found["test_filter"]
    assert "LivelockError" in found["test_livelock"]
    assert "mail.new(pririty=3)" in found["test_in_a_worker"], (
        "the worker's own line, and the drain's"
    )
    assert "jobs.drain_queue()" in found["test_in_a_worker"]
    assert 'jobs.count_jobs(stat="available")' in found["test_in_a_function"]


def test_a_full_trace_shows_ours_too(run):
    assert "pgjobs/rules/errors.py:" in run("--full-trace", "-k", "test_filter")


def test_an_error_that_is_not_ours_keeps_its_frames(pytester, run):
    pytester.makepyfile(
        test_it="""
        from pgjobs import PgJobs, worker
        app = PgJobs("postgresql://nowhere/shop")

        def test_filter(jobs):
            jobs.refute_enqueued(quue="mail")

        def test_it(jobs, monkeypatch):
            monkeypatch.setattr("pgjobs.client.filtered", lambda filters: 1 / 0)
            app.all_jobs(state="available")
        """
    )
    found = sections(run())
    assert files(found["test_filter"]) == {"test_it.py"}
    assert "pgjobs/client.py" in found["test_it"], "which may be a mistake of ours"
