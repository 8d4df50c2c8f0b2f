"""Which statements carry out an effect: one, and so one round trip (a large insert and a limited claim
take several, in one transaction).

No statement reads the server's clock or leaves a column to its default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from pgjobs import effects, leading
from pgjobs.adapters.postgres import (
    controlling,
    copying,
    limits,
    nodes,
    polling,
    reading,
    sweeping,
    ticking,
    writing,
)
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.statement import Plan
from pgjobs.effects import Effect
from pgjobs.rules.errors import PgJobsError, StoreError

T = TypeVar("T")


def plan(effect: Effect[T], names: Names) -> Plan[T]:
    """The plan of ``effect``; ``StoreError`` for what this store cannot carry out."""
    make = _PLANS.get(type(effect))
    if make is None:
        raise StoreError(f"the Postgres store cannot carry out {type(effect).__name__}")
    try:
        return cast("Plan[T]", make(effect, names))
    except PgJobsError:
        raise
    except (UnicodeEncodeError, ValueError, OverflowError) as error:
        raise StoreError(
            f"{type(effect).__name__} holds what PostgreSQL cannot: {error}"
        ) from error


def plan_of_own(effect: Effect[T], names: Names) -> Plan[T]:
    """The same for a connection of the store's own, on which it may COPY."""
    if isinstance(effect, effects.Insert):
        copied = copying.insert(effect, names)
        if copied is not None:
            return cast("Plan[T]", copied)
    return plan(effect, names)


_PLANS: dict[type[Any], Callable[[Any, Names], Plan[Any]]] = {
    effects.Insert: writing.insert,
    effects.Claim: writing.claim,
    effects.ClaimWithin: limits.claim_within,
    effects.Settle: writing.settle,
    effects.Transition: writing.transition,
    effects.Delete: writing.delete,
    effects.Find: reading.find,
    effects.FindIds: reading.find_ids,
    effects.Count: reading.count,
    effects.SetControl: controlling.set_control,
    effects.ResetControl: controlling.reset_control,
    effects.Controls: controlling.controls,
    effects.Windows: limits.windows,
    effects.Poll: polling.poll,
    leading.Beat: nodes.beat,
    leading.Leave: nodes.leave,
    leading.Heartbeats: nodes.heartbeats,
    leading.Lead: nodes.lead,
    leading.Leases: nodes.leases,
    leading.Resign: nodes.resign,
    leading.Rescue: sweeping.rescue,
    leading.Prune: sweeping.prune,
    leading.Watermarks: ticking.watermarks,
    leading.Tick: ticking.tick,
}
