"""``freeze=True``: the application's time held at the test's clock, by time-machine or by freezegun.

time-machine is taken where it is installed: it starts in 10 µs against freezegun's 6 ms (765 modules
loaded), holds the time of every thread, and leaves monotonic clocks alone, so that asyncio, psycopg,
hypothesis and pytest's durations go by real time. freezegun looks through every module, and takes the
monotonic clocks along; those named here must be left out.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pgjobs.rules.errors import ConfigurationError
from pgjobs_testing.clock import EPOCH
from pgjobs_testing.frozen import Freezegun, holder

REAL_UNDER_FREEZEGUN = ["_pytest.timing", "psycopg", "psycopg_pool", "pgjobs.adapters.postgres"]
"""Modules that wait by a clock. Not pytest or pgjobs as a whole: freezegun then shows real time to
whatever they call."""


def freeze(instant: datetime) -> Callable[[], None]:
    """Hold the application's time at ``instant``; what is returned lets it go."""
    # freezegun that holds time already goes on, for time-machine cannot start within it.
    if not isinstance(holder(), Freezegun) and _installed("time_machine"):
        return _by_time_machine(importlib.import_module("time_machine"), instant)
    return _by_freezegun(importlib.import_module("freezegun"), instant)


def check_installed() -> None:
    """``ConfigurationError`` where neither library is installed."""
    if not _installed("time_machine") and not _installed("freezegun"):
        raise ConfigurationError(
            "freeze=True needs time-machine or freezegun, and neither is installed: install "
            '"pgjobs[testing]", which brings freezegun, or time-machine, which is faster'
        )


def _by_time_machine(machine: Any, instant: datetime) -> Callable[[], None]:
    seconds, rest = divmod(instant - EPOCH, timedelta(seconds=1))
    travel = machine.travel(seconds, tick=False)  # a datetime would set the time zone as well
    traveller = travel.start()
    traveller.shift(rest)

    def stop() -> None:
        if machine.traveller_stack[-1] is traveller:
            travel.stop()
        else:  # a travel of a wider fixture, which began in this test and goes on
            machine.traveller_stack.remove(traveller)

    return stop


def _by_freezegun(freezegun: Any, instant: datetime) -> Callable[[], None]:
    freezer = freezegun.freeze_time(instant, ignore=REAL_UNDER_FREEZEGUN, real_asyncio=True)
    freezer.start()
    stop: Callable[[], None] = freezer.stop
    return stop


def _installed(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None
