"""What an operator set by hand for a queue, and what holds in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pgjobs.rules import options
from pgjobs.rules.options import Queue

EVERY_QUEUE = options.EVERY_QUEUE


@dataclass(frozen=True, slots=True)
class Control:
    """Values set by hand; None where nothing was set.

    ``paused_over`` and ``concurrency_over`` are the configured values that were overridden. The hand
    holds only while the configuration still says so, hence a changed configuration wins; None
    stands for "whatever is configured".
    """

    paused: bool | None = None
    paused_over: bool | None = None
    concurrency: int | None = None
    concurrency_over: int | None = None


NOTHING_SET = Control()


def effective(queue: str, configured: Queue, controls: Mapping[str, Control]) -> Queue:
    """The queue as it is to be served: the hand's values where they hold, else the configured."""
    everywhere = controls.get(EVERY_QUEUE, NOTHING_SET)
    own = controls.get(queue, NOTHING_SET)
    paused, concurrency = configured.paused, configured.concurrency
    if everywhere.paused is not None:
        paused = everywhere.paused
    if own.paused is not None and own.paused_over in (None, configured.paused):
        paused = own.paused
    if own.concurrency is not None and own.concurrency_over in (None, configured.concurrency):
        concurrency = own.concurrency
    if (paused, concurrency) == (configured.paused, configured.concurrency):
        return configured
    return replace(configured, paused=paused, concurrency=concurrency)


def merged(old: Control | None, new: Control) -> Control:
    """``new`` over ``old``: a value given with its ``_over`` replaces both."""
    result = old or NOTHING_SET
    if new.paused is not None:
        result = replace(result, paused=new.paused, paused_over=new.paused_over)
    if new.concurrency is not None:
        result = replace(result, concurrency=new.concurrency, concurrency_over=new.concurrency_over)
    return result
