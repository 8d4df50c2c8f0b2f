"""No signal and no thread is missed, however early it comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from pgjobs.cli.bell import Bell


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What a handler of SIGUSR1 has heard."""
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: came.append(number))
    yield came
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("times", [1, 3])
def test_a_signal_before_the_wait_ends_it(heard: list[int], times: int) -> None:
    with Bell() as bell:
        for _ in range(times):
            signal.raise_signal(signal.SIGUSR1)
        bell.wait()
        assert [signal.SIGUSR1] * times == heard
        bell.wait(0.001)  # and no second one


def test_threads_end_a_wait_and_never_wait_themselves() -> None:
    with Bell() as bell:

        def ring() -> None:
            for _ in range(100_000):
                bell.ring()

        ringing = threading.Thread(target=ring)
        ringing.start()
        ringing.join()  # nobody has listened, and it is full
        bell.wait()


def test_signals_ring_no_more_afterwards(heard: list[int]) -> None:
    with Bell():
        within = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(within)
        assert within != -1
    assert -1 == signal.set_wakeup_fd(-1)
    signal.raise_signal(signal.SIGUSR1)
    assert [signal.SIGUSR1] == heard


def test_a_wait_may_be_longer_than_a_socket_waits() -> None:
    with Bell() as bell:
        bell.ring()
        bell.wait(1e300)
