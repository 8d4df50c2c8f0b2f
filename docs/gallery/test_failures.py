"""Ten tests that fail on purpose, for what they then say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import shop

if TYPE_CHECKING:
    from pgjobs_testing import Harness

pytestmark = pytest.mark.pgjobs(start=datetime(2025, 3, 9, 12, tzinfo=UTC))


def test_nearest(jobs: Harness) -> None:
    """One value, deep in the args, is another"""
    shop.app.insert(shop.receipt.new({"to": {"name": "Ada", "id": 8}, "items": [1, 2, 3]}))
    shop.app.insert(shop.receipt.new({"to": {"name": "Bob", "id": 9}, "items": []}))
    shop.app.insert(shop.sync.new({"package": "react"}))
    jobs.assert_enqueued(worker=shop.receipt, args={"to": {"name": "Ada", "id": 7}})


def test_instant(jobs: Harness) -> None:
    """Scheduled an hour off, as one is who forgets daylight saving"""
    shop.app.insert(shop.sync.new({"package": "react"}, schedule_in=23 * 3600))
    jobs.assert_enqueued(worker=shop.sync, scheduled_in=24 * 3600)


def test_completed(jobs: Harness) -> None:
    """It matched, but it has run already"""
    shop.app.insert(shop.receipt.new({"order": 7}))
    jobs.drain_queue()
    jobs.assert_enqueued(worker=shop.receipt, args={"order": 7})


def test_nothing(jobs: Harness) -> None:
    """Nothing was enqueued at all"""
    shop.receipt.new({"order": 7})  # and not inserted
    jobs.assert_enqueued(worker=shop.receipt)


def test_typo(jobs: Harness) -> None:
    """A filter that does not exist passes nowhere"""
    jobs.refute_enqueued(quue="mail")


def test_refuted(jobs: Harness) -> None:
    """Something that should not be there, and why it matches"""
    shop.app.insert(shop.receipt.new({"order": 7, "total": 0}))
    shop.app.insert(shop.receipt.new({"order": 8, "total": 12}))
    jobs.refute_enqueued(worker=shop.receipt, args={"total": lambda total: total < 10})


def test_conflict(jobs: Harness) -> None:
    """The block inserted nothing, because the job was there before"""
    shop.app.insert(shop.sync.new({"package": "react", "version": 18}))
    with jobs.expect_enqueued(worker=shop.sync, args={"version": 19}):
        shop.app.insert(shop.sync.new({"package": "react", "version": 19}))


def test_endless(jobs: Harness) -> None:
    """A drain that would never end"""
    shop.app.insert(shop.again.new())
    jobs.drain_queue()


def test_idempotent(jobs: Harness) -> None:
    """A worker that may not run twice, although delivery is at least once"""
    jobs.assert_idempotent(
        shop.charge, {"who": "ada", "amount": 30}, observe=lambda: dict(shop.balance)
    )


@pytest.mark.pgjobs(strict=True)
def test_left_over(jobs: Harness) -> None:
    """A strict test does not overlook a job that failed"""
    shop.app.insert(shop.receipt.new({"order": 7, "failures": 1}))
    shop.app.insert(shop.sync.new({"package": "react"}))
    jobs.drain_queue("mail")
