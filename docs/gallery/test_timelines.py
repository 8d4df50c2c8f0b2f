"""Two tests that fail on purpose, for their timelines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import shop

from pgjobs import Queue, RateLimit

if TYPE_CHECKING:
    from pgjobs_testing import Harness

pytestmark = pytest.mark.pgjobs(start=datetime(2025, 3, 9, 12, tzinfo=UTC))


@pytest.fixture(autouse=True)
def drawn(jobs: Harness, request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep each test's picture."""
    yield
    shop.pictures[request.node.name] = jobs.timeline.to_svg()


def test_retries(jobs: Harness) -> None:
    """Retries that back off, and a duplicate"""
    shop.app.insert(shop.receipt.new({"order": 7, "failures": 2}))
    shop.app.insert(shop.sync.new({"package": "react", "busy": True}))
    shop.app.insert(shop.sync.new({"package": "react", "busy": True}))
    shop.app.insert(shop.sync.new({"package": "nothing"}, schedule_in=120))
    jobs.advance(600)
    pytest.fail("to show the timeline")


@pytest.mark.pgjobs(
    queues={"registry": Queue(concurrency=2, rate_limit=RateLimit(allowed=3, period=60))}
)
def test_rate_limit(jobs: Harness) -> None:
    """Ten jobs through a window of three a minute"""
    for number in range(10):
        shop.app.insert(shop.sync.new({"package": f"package-{number}"}))
    jobs.advance(timedelta(minutes=4))
    pytest.fail("to show the timeline")
