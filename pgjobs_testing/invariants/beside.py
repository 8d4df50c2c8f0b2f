"""What effects change beside rows: heartbeats, leases, watermarks, and what was set by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pgjobs.effects import ResetControl, SetControl
from pgjobs.leading import Beat, Heartbeat, Lead, Lease, Leave, Rescue, Resign, Tick, Watermarks
from pgjobs.rules.job import Job
from pgjobs.rules.stalled import FORGOTTEN_AFTER
from pgjobs_testing.invariants.ledger import Ledger


def _beat(ledger: Ledger, effect: Beat, _: Any) -> None:
    before = ledger.beats.get(effect.node)
    at = effect.now if before is None else max(effect.now, before.beat_at)
    ledger.beats[effect.node] = Heartbeat(effect.node, effect.started_at, at, effect.every)


def _left(ledger: Ledger, effect: Leave, _: Any) -> None:
    if not ledger.executing.get(effect.node):
        ledger.beats.pop(effect.node, None)


def _forgot(ledger: Ledger, effect: Rescue, _: Any) -> None:
    for node in ledger.silent(effect.fence.node, effect.fence.now, FORGOTTEN_AFTER):
        del ledger.beats[node]


def _led(ledger: Ledger, effect: Lead, answer: Lease) -> None:
    ledger.leases[effect.name] = answer


def _resigned(ledger: Ledger, effect: Resign, _: Any) -> None:
    fence = effect.fence
    lease = ledger.leases.get(fence.name)
    if lease is not None and (lease.node, lease.token) == (fence.node, fence.token):
        ledger.leases[fence.name] = Lease(lease.node, lease.token, min(lease.until, fence.now))


def _marked(ledger: Ledger, effect: Watermarks, answer: dict[str, datetime]) -> None:
    for key, _ in effect.entries:
        ledger.ticks.setdefault(key, answer[key])


def _fired(ledger: Ledger, effect: Tick, answer: list[Job] | None) -> None:
    if answer is not None:
        ledger.ticks[effect.key] = effect.at


def _set(ledger: Ledger, effect: SetControl, _: Any) -> None:
    ledger.control(effect.queue, effect.control)


def _reset(ledger: Ledger, effect: ResetControl, _: Any) -> None:
    ledger.controls.pop(effect.queue, None)


BESIDE: dict[type[Any], Callable[[Ledger, Any, Any], None]] = {
    Beat: _beat,
    Leave: _left,
    Rescue: _forgot,
    Lead: _led,
    Resign: _resigned,
    Watermarks: _marked,
    Tick: _fired,
    SetControl: _set,
    ResetControl: _reset,
}
"""How each kind of effect changes what stands beside rows; after its passages."""
