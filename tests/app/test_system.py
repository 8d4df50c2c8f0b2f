"""The adapter of the real world: its clock follows the store's and never goes back."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from pgjobs.adapters import system
from pgjobs.adapters.system import SystemClock, SystemRng, node_name
from pgjobs.rules.errors import StoreUnavailableError
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


class Steady:
    """Seconds that pass when the test says so, and where a reading of the server takes some."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Server:
    """A server whose clock is ``off`` from steady time; None: it cannot be reached."""

    def __init__(self, steady: Steady, off: timedelta | None, *round_trips_s: float) -> None:
        self.steady, self.off = steady, off
        self.round_trips_s = [*round_trips_s]
        self.asked = 0

    def now(self) -> datetime:
        self.asked += 1
        if self.off is None:
            raise StoreUnavailableError("no connection could be opened: refused")
        before, half = self.true, (self.round_trips_s.pop(0) if self.round_trips_s else 0.0) / 2
        self.steady.seconds += 2 * half
        return before + half * SECOND + self.off

    @property
    def true(self) -> datetime:
        return START + self.steady.seconds * SECOND


def test_a_store_that_has_no_clock_leaves_the_machines():
    clock = SystemClock(lambda: None)
    clock.settle()
    assert clock.now() > START
    assert abs(clock.offset) < 60 * SECOND


def test_the_machines_clock_serves_only_until_the_stores_can_be_read():
    steady = Steady()
    server = Server(steady, None)
    clock = SystemClock(server.now, steady)
    assert abs(clock.offset) < 60 * SECOND
    with pytest.raises(StoreUnavailableError, match="refused"):
        clock.settle()
    asked = server.asked
    steady.seconds += system.RETRY_AFTER_S / 2
    clock.now()
    assert asked == server.asked
    steady.seconds += system.RETRY_AFTER_S
    server.off = timedelta(0)
    assert server.true == clock.now(), "however far it lies behind the machine's"
    clock.settle()


def test_a_correction_backwards_slows_the_clock_down_to_half_its_pace():
    steady = Steady()
    server = Server(steady, 60 * SECOND)
    clock = SystemClock(server.now, steady)
    assert server.true + 60 * SECOND == clock.now()
    server.off = timedelta(0)
    steady.seconds += system.REPROBE_AFTER_S + 1
    corrected = clock.now()
    assert server.true + 60 * SECOND == corrected
    steady.seconds += 40
    assert corrected + 20 * SECOND == clock.now()
    steady.seconds += 80
    assert server.true == clock.now() == corrected + 60 * SECOND
    steady.seconds += 10
    assert server.true == clock.now()


def test_a_correction_that_comes_while_the_clock_is_slow_counts_from_what_it_shows():
    steady = Steady()
    server = Server(steady, 1_000 * SECOND)
    clock = SystemClock(server.now, steady)
    clock.now()
    server.off = timedelta(0)
    steady.seconds += system.REPROBE_AFTER_S + 1
    first = clock.now()
    steady.seconds += system.REPROBE_AFTER_S + 1
    second = clock.now()
    assert (system.REPROBE_AFTER_S + 1) / 2 * SECOND == second - first
    server.off = 5_000 * SECOND
    steady.seconds += system.REPROBE_AFTER_S + 1
    assert server.true + 5_000 * SECOND == clock.now(), "forwards it goes at once"


def test_the_reading_of_the_shortest_round_trip_counts():
    steady = Steady()
    server = Server(steady, timedelta(0), 6.0, 0.2, 2.0)
    skewed = iter([3 * SECOND, 0.1 * SECOND, timedelta(0)])

    def late() -> datetime:
        return server.now() + next(skewed)  # the query itself came at the end of the round trip

    clock = SystemClock(late, steady)
    assert abs(clock.now() - server.true) <= 0.1 * SECOND
    assert 3 == server.asked


def test_a_short_round_trip_needs_no_second_reading():
    steady = Steady()
    server = Server(steady, timedelta(0), 0.004)
    assert SystemClock(server.now, steady).now() == server.true
    assert 1 == server.asked


def test_a_store_lost_later_leaves_the_clock_on_its_course():
    steady = Steady()
    server = Server(steady, timedelta(0))
    clock = SystemClock(server.now, steady)
    clock.now()
    server.off = None
    steady.seconds += system.REPROBE_AFTER_S + 1
    assert server.true == clock.now()
    clock.settle()


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
