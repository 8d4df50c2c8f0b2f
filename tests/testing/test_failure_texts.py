"""A failure explains itself: the text of each, compared with ``golden/<case>.txt`` to the letter.

Where a text is meant to change, ``PGJOBS_RENEW_GOLDEN=1 pytest tests/testing/test_failure_texts.py`` writes
all of them anew; read what git shows of it before you commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgjobs import Discard, Job, PgJobs, Snooze, Unique, worker
from pgjobs_testing import ANY, Harness, harness

GOLDEN = Path(__file__).parent / "golden"
RENEW = "PGJOBS_RENEW_GOLDEN"
START = datetime(2025, 1, 1, tzinfo=UTC)

Case = Callable[[Harness], object]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


@worker(name="shop.send_receipt", queue="mail", max_attempts=3)
def send(job: Job) -> object:
    if job.args.get("down"):
        raise ConnectionError("the mail server said no")
    return Snooze(30) if job.args.get("wait") else None


@worker(name="shop.pack_parcel", tags=["fast", "fragile"], unique=Unique(period=3600))
def pack(job: Job) -> object:
    return Discard("out of stock") if job.args.get("gone") else None


@worker(name="shop.ask_review", priority=3)
def review(job: Job) -> None: ...


@pytest.fixture
def jobs() -> Iterator[Harness]:
    application = PgJobs("postgresql://shop.test/shop", queues={"default": 5, "mail": 2})
    with harness(mode="manual", start=START, seed=1, plugins=[]) as made:
        yield made
    del application


@case
def nothing_at_all(jobs: Harness) -> None:
    jobs.assert_enqueued(worker=send, args={"order": 7})


@case
def a_number_off_by_one(jobs: Harness) -> None:
    jobs.insert(send.new({"user": {"id": 8, "name": "ada"}, "order": 7}))
    jobs.assert_enqueued(worker=send, args={"user": {"id": 7, "name": "ada"}})


@case
def texts_that_look_alike(jobs: Harness) -> None:
    args = {
        "mail": "Ada@example.org",
        "name": "Zoe\u0308",
        "city": "New  York",
        "street": "1 Main Street, Springfield East",
    }
    jobs.insert(send.new(args))
    jobs.assert_enqueued(
        args={
            "mail": "ada@example.org",
            "name": "Zo\u00eb",
            "city": "New York",
            "street": "1 Main Street, Springfield West",
        }
    )


@case
def kinds_of_json(jobs: Harness) -> None:
    jobs.insert(send.new({"paid": 1, "order": "7", "note": None, "lines": {"a": 1}, "total": 9.5}))
    jobs.assert_enqueued(args={"paid": True, "order": 7, "note": "", "lines": ["a"], "total": 9.25})


@case
def a_missing_key(jobs: Harness) -> None:
    jobs.insert(send.new({"user": {"id": 7, "email": "ada@example.org"}, "user_id": 7}))
    jobs.assert_enqueued(worker=send, args={"userid": 7, "user": {"phone": ANY, "id": 7}})


@case
def lists_and_dicts_inside(jobs: Harness) -> None:
    jobs.insert(
        send.new(
            {"items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}], "ids": [3, 1, 2], "to": [1]}
        )
    )
    jobs.assert_enqueued(
        args={"items": [{"sku": "a"}, {"sku": "c"}], "ids": [1, 2, 3], "to": [1, 2]}
    )


@case
def an_instant_off_by_milliseconds(jobs: Harness) -> None:
    jobs.insert(review.new({"order": 7}, scheduled_at=START + timedelta(days=14, milliseconds=12)))
    jobs.assert_enqueued(worker=review, scheduled_at=START + timedelta(days=14), delta=0.01)


@case
def an_instant_in_another_time_zone(jobs: Harness) -> None:
    jobs.insert(review.new({}, scheduled_at=START + timedelta(hours=9)))
    jobs.assert_enqueued(scheduled_at=START + timedelta(hours=8))


@case
def a_delay_counted_from_now(jobs: Harness) -> None:
    jobs.insert(review.new({"order": 7}, schedule_in=300))
    jobs.advance(60)
    jobs.assert_enqueued(worker=review, scheduled_in=300)


@case
def tags_and_meta(jobs: Harness) -> None:
    jobs.insert(send.new({}, tags=["Slow", "bulk"], meta={"tenant": "b"}))
    jobs.assert_enqueued(worker=send, tags=["slow", "bulk", "night"], meta={"tenant": "a"})


@case
def matched_but_already_completed(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7}, schedule_in=3))
    jobs.advance(60)
    jobs.assert_enqueued(worker=send, args={"order": 7})


@case
def matched_but_discarded_and_cancelled(jobs: Harness) -> None:
    jobs.insert(pack.new({"order": 7, "gone": True}))
    jobs.cancel_job(jobs.insert(pack.new({"order": 8})))
    jobs.advance(5)
    jobs.assert_enqueued(worker=pack)


@case
def matched_but_executing(jobs: Harness) -> None:
    failures: list[AssertionError] = []

    @worker(name="shop.look_at_itself")
    def look(job: Job) -> None:
        try:
            jobs.assert_enqueued(worker="shop.look_at_itself")
        except AssertionError as error:
            failures.append(error)

    jobs.insert(look.new({}))
    jobs.drain_queue()
    raise failures[0]


@case
def a_misspelt_worker(jobs: Harness) -> None:
    jobs.insert(pack.new({"order": 7}))
    jobs.assert_enqueued(worker="shop.pack_parcle", args={"order": 7})


@case
def a_misspelt_queue(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7}))
    jobs.assert_enqueued(queue="mails")


@case
def the_nearest_of_several(jobs: Harness) -> None:
    jobs.insert_all(
        [
            pack.new({"order": 7, "size": "xl"}),
            send.new({"order": 6, "size": "xl"}),
            send.new({"order": 7, "size": "s"}, priority=2),
            send.new({"order": 9, "size": "s"}, schedule_in=3600),
            review.new({"order": 7}),
        ]
    )
    jobs.assert_enqueued(worker=send, args={"order": 7, "size": "xl"}, priority=0)


@case
def too_few(jobs: Harness) -> None:
    jobs.insert_all([send.new({"order": 7}), send.new({"order": 8}), send.new({"order": "7"})])
    jobs.assert_enqueued(worker=send, args={"order": int}, count=3)


@case
def too_many(jobs: Harness) -> None:
    jobs.insert_all([send.new({"order": 7, "copy": n}) for n in range(3)])
    jobs.insert(send.new({"order": 8}))
    jobs.assert_enqueued(worker=send, args={"order": 7}, count=1)


@case
def at_least_five(jobs: Harness) -> None:
    jobs.insert_all([send.new({"order": n}) for n in range(2)])
    jobs.assert_enqueued(worker=send, at_least=5)


@case
def an_insert_that_met_a_duplicate(jobs: Harness) -> None:
    for _ in range(3):
        jobs.insert(pack.new({"order": 7}))
    jobs.assert_enqueued(worker=pack, count=3)


@case
def a_function_that_raised_and_one_without_answer(jobs: Harness) -> None:
    jobs.insert(send.new({"order": None, "total": 5}))

    def answers_nothing(total: int) -> None: ...

    jobs.assert_enqueued(args={"order": lambda order: order > 5, "total": answers_nothing})


@case
def refuted_by_one(jobs: Harness) -> None:
    jobs.insert(
        send.new({"order": 7, "total": 12, "to": {"name": "ada", "city": "Paris"}}, schedule_in=60)
    )
    jobs.insert(pack.new({"order": 8}))
    jobs.refute_enqueued(
        queue="mail",
        args={"total": lambda total: total > 10, "to": {"name": ANY}},
        scheduled_in=61,
    )


@case
def refuted_by_many(jobs: Harness) -> None:
    jobs.insert_all([send.new({"order": n}) for n in range(14)])
    jobs.refute_enqueued(worker=send)


@case
def refuted_by_nobody_can_say(jobs: Harness) -> None:
    jobs.insert(pack.new({"order": 7}))
    jobs.insert(send.new({"total": 12}))
    jobs.refute_enqueued(args=lambda args: args["total"] > 20)


@case
def ten_thousand_jobs(jobs: Harness) -> None:
    jobs.insert_all(
        [(send, review)[n % 4 == 0].new({"order": n, "total": n % 100}) for n in range(10_000)]
    )
    jobs.assert_enqueued(worker=send, args={"order": 5_000.5, "total": 1})


@case
def deleted_meanwhile(jobs: Harness) -> None:
    jobs.delete_job(jobs.insert(send.new({"order": 7})))
    jobs.assert_enqueued(worker=send, args={"order": 7})


@case
def in_the_database_of_another_instance(jobs: Harness) -> None:
    billing = PgJobs("postgresql://billing.test/billing", name="billing")
    billing.insert(send.new({"order": 7}))
    jobs.assert_enqueued(worker=send, args={"order": 7})


@case
def a_block_that_inserted_nothing_new(jobs: Harness) -> None:
    jobs.insert(pack.new({"order": 7}))
    jobs.advance(5)
    with jobs.expect_enqueued(worker=pack, args={"order": 7}):
        jobs.insert(pack.new({"order": 7}))


@case
def a_block_that_inserted_another(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7}))
    with jobs.expect_enqueued(worker=send, args={"order": 7}, scheduled_in=60):
        jobs.insert(send.new({"order": 8}, schedule_in=62))
        jobs.insert(pack.new({"order": 7}))


@case
def a_block_that_may_insert_none(jobs: Harness) -> None:
    with jobs.expect_enqueued(worker=send, count=0):
        jobs.insert(send.new({"order": 8}))


@case
def nothing_ran(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7}))
    jobs.insert(send.new({"order": 7}, schedule_in=60))
    jobs.assert_performed(worker=send, args={"order": 7})


@case
def ran_otherwise(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7, "down": True}))
    jobs.insert(send.new({"order": 8, "wait": True}))
    jobs.advance(20)
    jobs.assert_performed(worker=send, args={"order": 7}, state="completed", error=None)


@case
def ran_too_often(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7, "down": True}))
    jobs.advance(60)
    jobs.assert_performed(worker=send, count=1, error=ConnectionError)


@case
def may_not_have_run(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7, "down": True}))
    jobs.advance(1)
    jobs.refute_performed(args={"order": 7}, error="server said")


@case
def an_event_with_other_details(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7}, schedule_in=2))
    jobs.insert(pack.new({"order": 7}))
    jobs.advance(5)
    jobs.assert_event("pgjobs.job.start", worker=send, attempt=2, queue_time=1.5, args={"order": 7})


@case
def an_event_that_did_not_happen(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7}))
    jobs.advance(5)
    jobs.assert_event("pgjobs.job.exception", worker=send)


@case
def an_event_that_may_not_happen(jobs: Harness) -> None:
    jobs.insert(send.new({"order": 7, "down": True}))
    jobs.advance(20)
    jobs.refute_event("pgjobs.job.exception", state="retryable", error="server said no")


@case
def out_of_order(jobs: Harness) -> None:
    first = jobs.insert(review.new({"order": 7}))
    jobs.insert(pack.new({"order": 7}))
    jobs.advance(1)
    jobs.insert(send.new({"order": 7}, schedule_in=60))
    jobs.assert_order([pack, {"worker": send, "args": {"order": 7}}, first])


@case
def absent_from_the_order(jobs: Harness) -> None:
    jobs.insert_all([pack.new({"order": 7}), send.new({"order": 7})])
    jobs.assert_order([pack, {"worker": send, "args": {"order": 8}}])


@pytest.mark.parametrize("name", CASES)
def test_a_failure_reads_as_its_golden_file(name: str, jobs: Harness):
    with pytest.raises(AssertionError) as failed:
        CASES[name](jobs)
    text = f"{failed.value}\n"
    file = GOLDEN / f"{name}.txt"
    if os.environ.get(RENEW):
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text
    assert text.count("\n") <= 60
    assert "\x1b" not in text


@pytest.mark.parametrize("name", [name for name in CASES if name != "ten_thousand_jobs"])
def test_a_failure_reads_the_same_on_a_server(name: str, server: object):
    application = PgJobs("postgresql://shop.test/shop", queues={"default": 5, "mail": 2})
    with (
        harness(mode="postgres", start=START, seed=1, plugins=[]) as jobs,
        pytest.raises(AssertionError) as failed,
    ):
        CASES[name](jobs)
    del application
    assert (GOLDEN / f"{name}.txt").read_text(encoding="utf-8") == f"{failed.value}\n"


def test_a_failure_is_bounded_whatever_it_has_to_show(jobs: Harness):
    nasty = "\x1b[31m\nred" + "\u2028" * 9 + "x" * 5_000
    wide = {f"{n}\n{nasty[:50]}": nasty for n in range(50)}

    @worker(name=f"shop\n\x1b[31m.{'w' * 100}", queue="q\n" * 20)
    def odd(job: Job) -> None:
        raise ValueError(nasty)

    jobs.insert_all([odd.new({"a": wide, "n": n}, tags=[nasty[:90]], meta=wide) for n in range(9)])
    jobs.insert_all([odd.new({"a": [wide] * 3}) for _ in range(3)])
    asked = {"a": dict.fromkeys(wide, 0), "b": [wide], "n": nasty}
    for ask in (
        lambda: jobs.assert_enqueued(worker=odd, args=asked, meta=asked, tags=[nasty[:80]]),
        lambda: jobs.refute_enqueued(args={"a": ANY}, meta=wide),
        lambda: jobs.assert_enqueued(count=40),
        lambda: jobs.assert_performed(error=nasty),
        lambda: jobs.refute_performed(error="red", args={"a": ANY}),
        lambda: jobs.refute_event("pgjobs.job.exception", error="red", meta=wide),
        lambda: jobs.assert_order([odd, {"args": asked}]),
    ):
        jobs.drain_queue(with_safety=True)
        jobs.insert_all([odd.new({"a": wide})] * 2)
        with pytest.raises(AssertionError) as failed:
            ask()
        lines = str(failed.value).split("\n")
        assert len(lines) <= 60
        assert max(map(len, lines)) <= 500
        assert all(line.isprintable() for line in lines)


def test_every_golden_file_has_a_case():
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(CASES)
