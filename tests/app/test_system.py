"""The adapter of the real world: its clock follows the store's and never goes back."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from pgjobs.adapters import system
from pgjobs.adapters.system import SystemClock, SystemRng, node_name
from tests.app.still import START

SECOND = timedelta(seconds=1)


@pytest.fixture
def always_probing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's clock is read at every reading, not only every five minutes."""
    monkeypatch.setattr(system, "REPROBE_AFTER_S", -1.0)


def test_without_a_stores_clock_the_machines_is_used():
    clock = SystemClock()
    before = datetime.now(UTC)  # noqa: TID251 - what it is held against
    assert before - SECOND < clock.now() < before + 60 * SECOND
    assert UTC is clock.now().tzinfo


def test_the_clock_follows_the_stores():
    readings = []

    def server() -> datetime:
        readings.append(1)
        return START

    clock = SystemClock(server)
    assert START <= clock.now() < START + 60 * SECOND
    assert clock.now() <= clock.now()
    assert [1] == readings
    assert abs(clock.offset) > timedelta(days=1)


def test_a_store_that_cannot_be_read_leaves_the_machines_clock():
    clock = SystemClock(lambda: None)
    assert clock.now() > START
    assert abs(clock.offset) < 60 * SECOND


def test_a_correction_backwards_holds_the_clock_still(always_probing: None):
    server = [START + 3600 * SECOND]
    clock = SystemClock(lambda: server[0])
    first = clock.now()
    server[0] = START
    assert first == clock.now() == clock.now()
    server[0] = START + 7200 * SECOND
    assert START + 7200 * SECOND <= clock.now()


def test_a_store_lost_later_leaves_the_clock_on_its_course(always_probing: None):
    server: list[datetime | None] = [START]
    clock = SystemClock(lambda: server[0])
    first = clock.now()
    server[0] = None
    assert first <= clock.now() < START + 60 * SECOND


def test_no_thread_ever_sees_the_clock_go_back(always_probing: None):
    steps = iter(range(10**9))

    def server() -> datetime:
        return START + (next(steps) % 7) * SECOND

    clock = SystemClock(server)
    backwards: list[tuple[datetime, datetime]] = []
    ready = threading.Barrier(4)

    def read() -> None:
        ready.wait()
        last = clock.now()
        for _ in range(2_000):
            now = clock.now()
            if now < last:
                backwards.append((last, now))
            last = now

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == backwards
    assert clock.now() < START + 60 * SECOND


def test_names_and_tokens_are_never_given_twice():
    rng = SystemRng()
    assert 1_000 == len({rng.token("claim") for _ in range(1_000)})
    assert 1_000 == len({node_name() for _ in range(1_000)})
    assert len(node_name()) <= 127
    assert all(0 <= rng.random("x") < 1 for _ in range(1_000))
