"""Which steps belong together: a fault and its end, a pause and what lifts it."""

from __future__ import annotations

from typing import Any

_ENDS = {
    "restart": ("crash", "stop"),
    "heal": ("partition",),
    "resume": ("pause",),
    "resume_all": ("pause_all",),
}
_SWITCHES = ("drop_notifications", "double_notifications", "delay_notifications", "database")
_RESETS = ("slow", "skew", "drift")


def units(steps: list[dict[str, Any]]) -> list[list[int]]:
    """The positions of steps that go together, each in one unit, in the order of their first ones."""
    found: list[list[int]] = []
    under_way: dict[tuple[str, Any], list[int]] = {}
    for n, step in enumerate(steps):
        begins, ends = _marks(step)
        unit = next((under_way[mark] for mark in ends if mark in under_way), None)
        if unit is None:
            unit = []
            found.append(unit)
        unit.append(n)
        for mark in ends:
            under_way.pop(mark, None)
        under_way |= dict.fromkeys(begins, unit)
    return found


def _marks(step: dict[str, Any]) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """What a step begins, and what it ends."""
    begins: list[tuple[str, Any]] = []
    ends: list[tuple[str, Any]] = []
    for key, value in step.items():
        about = value.get("node", value.get("queue")) if isinstance(value, dict) else value
        if key in ("crash", "stop", "partition", "pause", "pause_all"):
            if key == "crash" and isinstance(value, dict):
                ends.append(("stop", about))  # what makes sure that a stop has ended
            begins.append((key, about))
        elif key in _ENDS:
            ends += [(each, about) for each in _ENDS[key]]
        elif key in _SWITCHES:
            over = value in (False, "up", "0s")
            (ends if over else begins).append((key, ""))
        elif key in _RESETS:
            over = value.get("by", value.get("ppm")) in ("0s", 0)
            (ends if over else begins).append((key, about))
    return begins, ends
