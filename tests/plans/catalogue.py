"""Every statement that the store can send, by what it does."""

from __future__ import annotations

from tests.plans import called, daily, led
from tests.plans.promises import Cases

ROOMS = {
    "What every node sends": daily.CASES,
    "What the leader sends": led.CASES,
    "What callers ask for": called.CASES,
}
CASES: Cases = {name: case for room in ROOMS.values() for name, case in room.items()}
assert len(CASES) == sum(map(len, ROOMS.values()))
