"""Which loops can be given virtual time, and what stands in the places of their own functions meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

HOOKS = ("call_at", "time", "create_task", "run_in_executor")
_PRIVATE = frozenset(("_ready", "_selector", "_ssock"))


class UnsupportedLoopError(RuntimeError):
    """The loop cannot be given virtual time; the message names it and the remedy."""


def check_loop(loop: asyncio.AbstractEventLoop) -> None:
    """`UnsupportedLoopError` for a loop that is not asyncio's selector event loop, or is hooked already."""
    held = vars(loop)
    if not isinstance(loop, asyncio.SelectorEventLoop) or not held.keys() >= _PRIVATE:
        raise UnsupportedLoopError(
            f"async jobs under a test's clock need asyncio's selector event loop, not {_kind(loop)}: "
            "run this test on asyncio.SelectorEventLoop (where uvloop comes from: an event "
            "loop policy, a loop factory, or anyio's use_uvloop)"
        )
    if not held.keys().isdisjoint(HOOKS):
        taken = next(hook for hook in HOOKS if hook in held)
        raise UnsupportedLoopError(
            f"{taken}() of this {_kind(loop)} is replaced already: a loop has one virtual clock, "
            "so detach the other first"
        )


def hooked(loop: Any, *ours: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Put ``ours`` in the places of ``HOOKS``; returns the loop's own."""
    real = {hook: getattr(loop, hook) for hook in HOOKS}
    vars(loop).update(zip(HOOKS, ours, strict=True))
    return real


def unhook(loop: Any) -> None:
    """Give the loop its own functions back."""
    for hook in HOOKS:
        del vars(loop)[hook]


def _kind(loop: asyncio.AbstractEventLoop) -> str:
    return f"{type(loop).__module__}.{type(loop).__qualname__}"
