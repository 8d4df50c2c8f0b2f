"""Keeps simulated failures off standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed() -> Iterator[None]:
    """Without anybody who listens, Python would print simulated failures to standard error."""
    log, nobody = logging.getLogger("pgjobs"), logging.NullHandler()
    log.addHandler(nobody)
    try:
        yield
    finally:
        log.removeHandler(nobody)
