"""How what an operator set by hand is kept in memory."""

from __future__ import annotations

from dataclasses import replace

from pgjobs import effects
from pgjobs.adapters.memory.tables import Tables
from pgjobs.rules import control
from pgjobs.rules.control import Control


def set_control(tables: Tables, effect: effects.SetControl) -> None:
    given = effect.control
    if effect.queue == control.EVERY_QUEUE and given.paused is not None:
        for queue, old in tables.controls.items():
            tables.controls[queue] = replace(old, paused=None, paused_over=None)
    tables.controls[effect.queue] = control.merged(tables.controls.get(effect.queue), given)


def reset_control(tables: Tables, effect: effects.ResetControl) -> None:
    tables.controls.pop(effect.queue, None)


def controls(tables: Tables, _: effects.Controls) -> dict[str, Control]:
    return by_queue(tables)


def by_queue(tables: Tables) -> dict[str, Control]:
    """The controls that hold anything, in order."""
    if not tables.controls:
        return {}
    set_ = sorted(tables.controls.items())
    return {queue: each for queue, each in set_ if each != control.NOTHING_SET}
