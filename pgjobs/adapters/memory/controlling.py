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
        for queue, old in tuple(tables.controls.items()):
            _keep(tables, queue, replace(old, paused=None, paused_over=None))
    _keep(tables, effect.queue, control.merged(tables.controls.get(effect.queue), given))


def _keep(tables: Tables, queue: str, set_: Control) -> None:
    """What holds nothing is not kept, and the rest in order: polls read it, and it is seldom set."""
    if set_ == control.NOTHING_SET:
        tables.controls.pop(queue, None)
    else:
        tables.controls = dict(sorted({**tables.controls, queue: set_}.items()))


def reset_control(tables: Tables, effect: effects.ResetControl) -> None:
    tables.controls.pop(effect.queue, None)


def controls(tables: Tables, _: effects.Controls) -> dict[str, Control]:
    return by_queue(tables)


def by_queue(tables: Tables) -> dict[str, Control]:
    """What is set, in order."""
    return tables.controls.copy()
