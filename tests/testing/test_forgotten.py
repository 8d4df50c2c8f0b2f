"""A call of the harness that nobody awaited fails its test, by name and line, whatever warnings are shown."""

from __future__ import annotations

import asyncio
import inspect
import textwrap
from pathlib import Path

import pytest

from pgjobs import PgJobs, worker
from pgjobs_testing import Harness, harness


@worker
def note(job): ...


ASYNC = [
    name
    for name, each in inspect.getmembers(Harness, inspect.iscoroutinefunction)
    if not name.startswith("_")
]


def given(name):
    """As many positional arguments as a call needs: it does not begin, so any do."""
    signature = inspect.signature(getattr(Harness, name))
    needed = [
        each
        for each in list(signature.parameters.values())[1:]
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    return [None] * len(needed)


@pytest.mark.parametrize("name", ASYNC)
def test_a_block_that_does_not_await_a_call_fails_with_its_name_and_line(name):
    with (
        pytest.raises(AssertionError) as caught,
        harness() as jobs,
    ):
        getattr(jobs, name)(*given(name))  # the line that is named
    first, call, remedy = str(caught.value).splitlines()
    assert "pgjobs: a call of this test was never awaited, and so did nothing" == first
    assert "test_forgotten.py:" in call
    assert call.endswith("# the line that is named")
    assert remedy == f"Write await jobs.{name}(...)"


async def later(jobs):
    """Every way in which a coroutine is awaited that is not awaited where it is made."""
    kept = jobs.insert_async(note.new())
    assert inspect.iscoroutine(kept)
    await kept
    await asyncio.gather(jobs.assert_enqueued_async(worker=note), jobs.all_enqueued_async())
    await asyncio.create_task(jobs.get_job_async(1))
    assert 1 == await asyncio.wait_for(jobs.count_jobs_async(by=None), 60)
    never = asyncio.create_task(jobs.advance_async(3600))
    never.cancel()  # before it has begun
    with pytest.raises(asyncio.CancelledError):
        await never
    jobs.advance_async(1).close()  # said to be meant
    assert await jobs.drain_queue_async() == {"completed": 1}


def test_what_is_awaited_later_or_cancelled_is_no_mistake():
    with harness() as jobs:
        asyncio.run(later(jobs))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_others_forget_is_pythons_to_tell():
    app = PgJobs("postgresql://db.example.invalid/shop")
    with harness():
        app.insert_async(note.new())  # type: ignore[unused-coroutine]  # the mistake
        asyncio.sleep(1)  # type: ignore[unused-coroutine]  # noqa: TID251 - never begun


def test_an_error_on_its_way_is_not_masked_and_what_was_forgotten_is_told_around_it():
    def body():
        with harness() as jobs:
            jobs.insert_async(note.new())  # type: ignore[unused-coroutine]  # the mistake
            raise ValueError("of its own")

    with pytest.raises(AssertionError, match="never awaited"), harness():  # noqa: SIM117 - one block in the other
        with pytest.raises(ValueError, match="of its own"):
            body()


APP = """
from pgjobs import PgJobs, worker

app = PgJobs("postgresql://db.example.invalid/production")

@worker
def note(job): ...
"""

TESTS = """
    import pytest
    from app import app, note
    from pgjobs_testing import harness

    def test_dropped(jobs):
        app.insert(note.new())
        jobs.refute_enqueued_async(worker=note)  # dropped

    @pytest.mark.asyncio
    async def test_kept(jobs):
        await app.insert_async(note.new())
        kept = jobs.assert_enqueued_async(worker=note, count=7)  # kept
        await jobs.drain_queue_async()

    @pytest.fixture
    def filled(jobs):
        jobs.insert_async(note.new())  # by a fixture
        yield
        jobs.cancel_all_jobs_async()  # at its end

    def test_fixture(filled):
        pass

    def test_two(jobs):
        kept = [jobs.advance_async(1), jobs.insert_async(note.new())]  # two of them

    def test_failing(jobs):
        jobs.insert_async(note.new())  # beside a failure
        assert jobs.count_jobs(by=None) == 1

    def test_block():
        with harness() as inner:
            kept = inner.advance_async(60)  # beyond its block

    @pytest.mark.parametrize("n", [1, 2])
    @pytest.mark.asyncio
    async def test_right(jobs, n):
        await jobs.insert_async(note.new())
        await jobs.drain_queue_async()
        await jobs.assert_performed_async(worker=note)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(app=APP, test_it=textwrap.dedent(TESTS))

    def ran(*options: str) -> pytest.RunResult:
        switches = ("-p", "pgjobs_testing", "-p", "no:cacheprovider", "-ra")
        return pytester.runpytest_subprocess(*switches, *options, timeout=120)

    return ran


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-W", "error"),
        ("-W", "ignore"),
        ("-p", "no:warnings"),
        ("-n", "2"),
        ("--pgjobs-mode", "inline"),
        pytest.param(("--pgjobs-mode", "postgres"), marks=pytest.mark.postgres),
    ],
    ids=" ".join,
)
def test_a_test_that_forgets_to_await_fails_whatever_warnings_are_shown(run, options):
    result = run(*options)
    text = result.stdout.str()
    result.assert_outcomes(failed=6, passed=2, errors=1)
    for line in (
        "dropped",
        "kept",
        "by a fixture",
        "at its end",
        "two of them",
        "beside a failure",
        "beyond its block",
    ):
        assert f"# {line}" in text, line
    result.stdout.fnmatch_lines(
        [
            "pgjobs: a call of this test was never awaited, and so did nothing",
            "  test_it.py:7: jobs.refute_enqueued_async(worker=note)  # dropped",
            "Write await jobs.refute_enqueued_async(...)",
        ]
    )
    assert "pgjobs: 2 calls of this test were never awaited, and so did nothing" in text
    assert "RuntimeWarning" not in text
