"""What a test can assert beside waiting jobs: blocks, runs, events and order; and that twins agree."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pgjobs import ConfigurationError, Job, PgJobs, Pruner, Snooze, Unique, worker
from pgjobs.effects import Delete
from pgjobs.rules.selection import by_id
from pgjobs.telemetry import EVENTS
from pgjobs_testing import Harness, harness
from pgjobs_testing.asserting.events import DETAILS

START = datetime(2025, 1, 1, tzinfo=UTC)


@worker(name="mail", max_attempts=3)
def mail(job: Job) -> object:
    if job.args.get("down"):
        raise ConnectionError("the server said no")
    return Snooze(30) if job.args.get("wait") and not job.snoozed else None


@worker(name="pack", queue="parcels", unique=Unique(period=3600))
def pack(job: Job) -> None: ...


@pytest.fixture
def jobs() -> Iterator[Harness]:
    with harness(mode="manual", start=START, plugins=[]) as made:
        yield made


# Blocks


def test_a_block_is_judged_by_what_it_inserted_alone(jobs: Harness):
    jobs.insert(mail.new({"n": 1}))
    with (
        pytest.raises(AssertionError, match="it inserted nothing"),
        jobs.expect_enqueued(worker=mail),
    ):
        pass
    with jobs.expect_enqueued(worker=mail, count=2) as expected:
        stored = jobs.insert_all([mail.new({"n": 2}), pack.new(), mail.new({"n": 3})])
    assert expected.jobs == [stored[0], stored[2]]
    assert expected.job == stored[0]


def test_a_block_sees_other_instances_and_threads_on_its_database():
    application = PgJobs("postgresql://x.test/x", queues={"default": 1})
    with harness(mode="manual") as jobs, jobs.expect_enqueued(worker=mail, count=2) as expected:
        twin = PgJobs("postgresql://x.test/x")
        twin.insert(mail.new({"n": 1}))
        thread = threading.Thread(target=lambda: application.insert(mail.new({"n": 2})))
        thread.start()
        thread.join()
    assert [job.args["n"] for job in expected.jobs] == [1, 2]


def test_several_expectations_share_a_block(jobs: Harness):
    with (
        jobs.expect_enqueued(worker=mail) as mails,
        jobs.expect_enqueued(worker=pack, at_least=1) as packs,
        jobs.expect_enqueued(queue="parcels", args={"n": 9}, count=0) as none,
    ):
        jobs.insert_all([mail.new({"n": 1}), pack.new({"n": 2})])
    assert (mails.job.args, packs.job.args, none.jobs) == ({"n": 1}, {"n": 2}, [])
    with pytest.raises(ConfigurationError, match="there is no job"):
        none.job  # noqa: B018 - it raises


def test_what_the_block_raises_is_not_masked(jobs: Harness):
    with pytest.raises(ZeroDivisionError), jobs.expect_enqueued(worker=mail) as expected:
        1 / 0  # noqa: B018 - it raises
    with pytest.raises(ConfigurationError, match="ended as expected"):
        expected.jobs  # noqa: B018 - it raises


def test_a_block_tells_nothing_before_its_end(jobs: Harness):
    with jobs.expect_enqueued(worker=mail) as expected:
        jobs.insert(mail.new())
        with pytest.raises(ConfigurationError, match="ask after it"):
            expected.job  # noqa: B018 - it raises


def test_a_duplicate_is_not_inserted_by_the_block(jobs: Harness):
    jobs.insert(pack.new({"n": 1}))
    with jobs.expect_enqueued(worker=pack, count=1) as expected:
        conflict = jobs.insert(pack.new({"n": 1}))
        jobs.insert(pack.new({"n": 2}))
    assert conflict.conflict
    assert expected.job.args == {"n": 2}


def test_a_job_that_ran_inside_its_block_was_enqueued_by_it(jobs: Harness):
    with jobs.mode("inline"), jobs.expect_enqueued(worker=mail, state="available") as expected:
        jobs.insert(mail.new({"n": 1}))
    assert jobs.get_job(expected.job).state == "completed"


def test_a_job_that_was_deleted_inside_its_block_was_not(jobs: Harness):
    with (
        pytest.raises(
            AssertionError, match=r"#1 matched when it was inserted, and was deleted at \+0s"
        ),
        jobs.expect_enqueued(worker=mail),
    ):
        jobs.delete_job(jobs.insert(mail.new()))


def test_a_delay_inside_a_block_counts_from_the_insert(jobs: Harness):
    with jobs.expect_enqueued(worker=mail, scheduled_in=60, delta=0):
        jobs.advance(30)
        jobs.insert(mail.new(schedule_in=60))


def test_a_block_names_the_instance_that_got_the_job_instead():
    application = PgJobs("postgresql://x.test/x")
    billing = PgJobs("postgresql://y.test/y", name="billing")
    with harness(mode="manual") as jobs:
        with (
            pytest.raises(
                AssertionError, match=r"database of the instance 'billing': jobs\['billing'\]"
            ),
            jobs.expect_enqueued(worker=mail),
        ):
            billing.insert(mail.new())
        with jobs["billing"].expect_enqueued(worker=mail):
            billing.insert(mail.new())
    del application


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"count": -1}, "count is a whole number"),
        ({"count": 1, "at_least": 1}, "not both"),
        ({"wrker": mail}, "did you mean 'worker'"),
    ],
)
def test_a_block_is_refused_before_it_begins(jobs: Harness, asked: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message):
        jobs.expect_enqueued(**asked)


# Runs


def test_each_run_of_a_job_was_performed(jobs: Harness):
    jobs.insert(mail.new({"down": True}))
    jobs.insert(mail.new({"wait": True}))
    jobs.refute_performed()
    jobs.advance(100)
    jobs.assert_performed(args={"down": True}, count=3, error=ConnectionError)
    jobs.assert_performed(state="retryable", count=2)
    last = jobs.assert_performed(attempt=3, state="discarded", error="server said no")
    assert last == jobs.get_job(last)
    assert jobs.assert_performed(state="scheduled", attempt=1).snoozed == 1
    done = jobs.assert_performed(args={"wait": True}, state="completed", attempt=1, error=None)
    assert done.state == "completed"
    jobs.assert_performed(worker=mail, at_least=5)
    jobs.refute_performed(worker=pack)
    jobs.refute_performed(error=lambda text: text is not None and "timeout" in text)


def test_a_job_that_is_gone_has_still_run(jobs: Harness):
    job = jobs.insert(mail.new())
    jobs.drain_queue()
    jobs.delete_job(job)
    assert jobs.assert_performed(worker=mail, count=1).id == job.id


@pytest.mark.parametrize(
    "filters, message",
    [
        ({"state": "available"}, "no run leaves its job available"),
        ({"error": 5}, "a text that it contains"),
        ({"scheduled_in": 5}, "unknown filter 'scheduled_in'"),
        ({"worker": "male"}, "did you mean 'mail'"),
        ({"queue": "parcel"}, "did you mean 'parcels'"),
    ],
)
def test_a_question_that_no_run_can_answer_is_refused(
    jobs: Harness, filters: dict[str, Any], message: str
):
    with pytest.raises(ConfigurationError, match=message):
        jobs.refute_performed(**filters)
    with pytest.raises(ConfigurationError, match="refute_performed"):
        jobs.assert_performed(count=0)


# Events


def test_events_are_found_by_what_they_tell(jobs: Harness):
    job = jobs.insert(mail.new({"n": 1}, schedule_in=5))
    jobs.insert(mail.new({"down": True}))
    jobs.pause_queue("parcels")
    jobs.advance(10)
    found = jobs.assert_event("pgjobs.job.start", job=job, queue_time=0, args={"n": 1})
    assert (found.at, found.details["attempt"]) == (START + timedelta(seconds=5), 1)
    assert found.job is not None and found.job.id == job.id
    jobs.assert_event("pgjobs.job.start", times=2, node="test", worker=mail)
    jobs.assert_event("pgjobs.job.start", at_least=2)
    jobs.assert_event("pgjobs.job.stage", id=job.id, queue="default")
    jobs.assert_event(
        "pgjobs.job.exception", error="said no", exception=lambda e: e.args, duration=0
    )
    jobs.assert_event("pgjobs.job.exception", error=ConnectionError, state="retryable")
    jobs.assert_event("pgjobs.job.stop", error=None, duration=timedelta(0), times=1)
    jobs.assert_event("pgjobs.queue.pause", queue="parcels")
    jobs.refute_event("pgjobs.queue.resume")
    jobs.refute_event("pgjobs.job.start", attempt=2)
    jobs.refute_event("pgjobs.job.conflict", worker=lambda name: name == "male")


@pytest.mark.parametrize(
    "event, details, message",
    [
        ("pgjobs.job.strat", {}, "did you mean 'pgjobs.job.start'"),
        ("job.start", {}, "did you mean 'pgjobs.job.start'"),
        (5, {}, "unknown event 5"),
        ("pgjobs.job.start", {"atempt": 1}, "has no 'atempt': did you mean 'attempt'"),
        ("pgjobs.job.start", {"count": 1}, "asked by times="),
        ("pgjobs.job.start", {"duration": 1}, "has no 'duration'"),
        ("pgjobs.job.start", {"foo": 1}, "args, attempt, id, .*, queue_time, state, tags, worker$"),
        ("pgjobs.job.start", {"attempt": "1"}, "a whole number"),
        ("pgjobs.job.start", {"queue_time": "1"}, "queue_time takes seconds"),
        ("pgjobs.job.start", {"worker": "male"}, "did you mean 'mail'"),
        ("pgjobs.node.start", {"queues": "default"}, "a list of names"),
    ],
)
def test_a_question_that_no_event_can_answer_is_refused(
    jobs: Harness, event: Any, details: dict[str, Any], message: str
):
    with pytest.raises(ConfigurationError, match=message):
        jobs.refute_event(event, **details)


def test_every_event_can_be_asked_for_with_all_that_it_tells():
    assert tuple(DETAILS) == EVENTS
    page = Path(__file__).parents[2] / "pgjobs" / "telemetry.py"
    told = {
        cell.strip("` ")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ``")
        for column in line.split("|")[3:5]
        for cell in column.replace("and ", "").replace("as stop", "").replace(",", " ").split()
    }
    told -= {"(the", "one", "there)", "(as", "changed)", "state", "-"}
    assert told <= {detail for details in DETAILS.values() for detail in details}


def test_what_an_engine_tells_is_in_the_table_of_what_can_be_asked(jobs: Harness):
    jobs.insert(mail.new({"down": True}))
    jobs.insert(pack.new())
    jobs.insert(pack.new())
    jobs.retry_job(jobs.cancel_job(jobs.insert(mail.new(schedule_in=5))))
    jobs.scale_queue("default", 3)
    jobs.advance(100)
    events = jobs._scene().recorder.events()
    assert len({event.name for event in events}) >= 9
    for event in events:
        told = set(event.details) - {
            "new"
        }  # what was given to the insert: scenarios are made of it
        assert told <= set(DETAILS[event.name]), event.name


# Order


def test_jobs_ran_and_will_run_in_an_order(jobs: Harness):
    later = jobs.insert(mail.new({"n": 3}, schedule_in=60))
    urgent = jobs.insert(mail.new({"n": 2}, priority=0))
    first = jobs.insert(mail.new({"n": 1}, priority=5, scheduled_at=START - timedelta(days=1)))
    with pytest.raises(AssertionError, match="not in this order"):
        jobs.assert_order([first, urgent])
    assert jobs.assert_order([urgent, first, later]) == [urgent, first, later]
    jobs.drain_queue()
    jobs.assert_order([urgent, first, later])
    jobs.assert_order([{"args": {"n": 2}}, {"worker": mail, "priority": 5}, later])
    jobs.insert(pack.new(schedule_in=30))
    jobs.assert_order([mail, mail, pack, mail])
    with pytest.raises(AssertionError, match="no job that ran or waits matches"):
        jobs.assert_order([pack, {"args": {"n": 4}}])
    with pytest.raises(AssertionError, match=r"4\. worker mail"):
        jobs.assert_order([mail, mail, mail, mail])


def test_the_order_in_which_jobs_would_run_is_the_one_in_which_a_drain_runs_them():
    def insert(jobs: Harness) -> None:
        for n in range(24):
            due = START - timedelta(seconds=n % 5)
            jobs.insert(
                (pack if n % 3 else mail).new({"n": n}, priority=n * 7 % 4, scheduled_at=due)
            )

    with harness(mode="manual", start=START) as jobs:
        insert(jobs)
        order = [{"args": job.args} for job in jobs.drain_queue().jobs]
    with harness(mode="manual", start=START) as jobs:
        insert(jobs)
        assert len(jobs.assert_order(order)) == 24
        with pytest.raises(AssertionError):
            jobs.assert_order([*order[:5], order[6], order[5], *order[7:]])


@pytest.mark.parametrize(
    "order", [[], ["mail"], "mail", 5, [mail, 5], [mail, {"wrker": mail}], [mail, "male"]]
)
def test_an_order_that_cannot_be_is_refused(jobs: Harness, order: Any):
    jobs.insert(mail.new())
    with pytest.raises(ConfigurationError):
        jobs.assert_order(order)


# Clues


def test_a_job_that_left_the_store_is_remembered():
    with harness(mode="manual", start=START, plugins=[Pruner(max_age=0)]) as jobs:
        jobs.insert(mail.new({"n": 1}))
        jobs.advance(120)
        rolled_back = jobs.insert(mail.new({"n": 2}))
        jobs.store.run(Delete(by_id(rolled_back.id), 1))
        with pytest.raises(AssertionError) as failed:
            jobs.assert_enqueued(worker=mail)
        text = str(failed.value)
        assert (
            "#1 matched when it was inserted, and was completed at +0s, and is stored no more"
            in text
        )
        assert (
            "#2 matched when it was inserted, and is not stored: its transaction was rolled" in text
        )


def test_jobs_from_around_the_test_are_counted_where_it_finds_none():
    with harness(mode="manual") as around:
        around.insert_all([mail.new({"n": 1}), mail.new({"n": 2})])
        with harness(mode="manual") as jobs, pytest.raises(AssertionError) as failed:
            jobs.assert_enqueued(worker=mail)
    assert "2 jobs were inserted outside of this test" in str(failed.value)


def test_all_databases_of_a_test_count_time_from_one_beginning():
    billing = PgJobs("postgresql://y.test/y", name="billing")
    with harness(mode="manual", start=START) as jobs:
        jobs.insert(mail.new())
        jobs.advance(60)
        billing.insert(mail.new())
        with pytest.raises(AssertionError, match=r"test, 2025-01-01 00:00:00 UTC; it is \+1m now"):
            jobs["billing"].refute_enqueued()


# Strictness


@pytest.mark.parametrize(
    "look",
    [
        lambda jobs: jobs.assert_enqueued(worker=mail),
        lambda jobs: jobs.all_enqueued(),
        lambda jobs: jobs.assert_performed(error="said no"),
        lambda jobs: jobs.assert_event("pgjobs.job.exception"),
        lambda jobs: jobs.assert_order([{"args": {"n": 0}}, {"args": {"n": 1}}]),
        lambda jobs: None,
        lambda jobs: jobs.refute_enqueued(worker=pack),
        lambda jobs: jobs.refute_performed(worker=pack),
    ],
)
def test_what_an_assertion_matched_was_looked_at_and_nothing_else(look: Any):
    failed: list[str] = []
    looked = False
    try:
        with harness(mode="manual", strict=True) as jobs:
            job = jobs.insert(mail.new({"down": True, "n": 1}))
            jobs.drain_queue(with_safety=True)
            with jobs.expect_enqueued(args={"n": 0}):
                jobs.insert(mail.new({"n": 0}))
            jobs.advance(0)
            jobs.retry_all_jobs(id=job.id)
            looked = look(jobs) is not None
    except AssertionError as error:
        failed.append(str(error))
    assert bool(failed) != looked


# Twins


def test_every_assertion_has_a_twin_that_asserts_the_same(jobs: Harness):
    async def body() -> None:
        await jobs.refute_enqueued_async()
        async with jobs.expect_enqueued_async(worker=mail) as expected:
            job = await jobs.insert_async(mail.new({"n": 1}))
        assert expected.job == job == await jobs.assert_enqueued_async(args={"n": 1})
        assert await jobs.all_enqueued_async() == [job]
        await jobs.refute_performed_async()
        await jobs.drain_queue_async()
        await jobs.insert_async(pack.new())
        assert (await jobs.assert_performed_async(worker=mail)).id == job.id
        assert (await jobs.assert_event_async("pgjobs.job.start", times=1)).job is not None
        await jobs.refute_event_async("pgjobs.job.exception")
        await jobs.assert_order_async([mail, pack])
        with pytest.raises(AssertionError, match="it inserted nothing"):
            async with jobs.expect_enqueued_async(worker=mail):
                pass
        with pytest.raises(ZeroDivisionError):
            async with jobs.expect_enqueued_async(worker=mail):
                1 / 0  # noqa: B018 - it raises
        for failing in (
            jobs.assert_enqueued_async(worker=mail),
            jobs.refute_enqueued_async(worker=pack),
            jobs.assert_performed_async(worker=pack),
            jobs.refute_performed_async(worker=mail),
            jobs.assert_event_async("pgjobs.job.exception"),
            jobs.refute_event_async("pgjobs.job.start"),
            jobs.assert_order_async([pack, mail]),
        ):
            with pytest.raises(AssertionError):
                await failing

    asyncio.run(body())
    names = [
        name for name in dir(jobs) if name.startswith(("assert_", "refute_", "expect_", "all_enq"))
    ]
    assert {f"{name}_async" for name in names if not name.endswith("_async")} <= set(names)


def test_a_failure_points_at_the_line_of_the_test(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        from pgjobs import worker

        @worker
        def note(job): ...

        def test_it(jobs):
            jobs.assert_enqueued(worker=note)

        def test_block(jobs):
            with jobs.expect_enqueued(worker=note):
                pass

        def test_ran(jobs):
            jobs.assert_performed(worker=note)

        def test_event(jobs):
            jobs.assert_event("pgjobs.job.start")

        def test_order(jobs):
            jobs.assert_order([note, note])
        """
    )
    result = pytester.runpytest_subprocess("-p", "pgjobs_testing", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=5)
    places = [line for line in result.outlines if line.endswith(": AssertionError")]
    assert len(places) == 5
    assert all("test_a_failure_points_at_the_line_of_the_test.py:" in place for place in places)
    assert not [line for line in result.outlines if "pgjobs_testing/asserting" in line]
