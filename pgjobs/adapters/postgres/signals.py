"""What a notification says, as a ``Signal``: in Oban's channels and in ours, plain or gzipped.

Oban's ``oban_insert`` carries ``{"queue": "x"}``, its ``oban_signal`` ``{"action": "pkill", "job_id": 1}``
among others that bind Oban's own nodes. What cannot be read, or says nothing to us, is no signal.

A ``pkill`` of ours comes after the row was changed, and is marked as ours: a poll sees what it means. That
of Oban for Python is the cancel itself: the row stays ``executing``, for the node that runs it to settle.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from datetime import datetime
from functools import lru_cache
from typing import Any

from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.statement import OURS
from pgjobs.ports import Signal
from pgjobs.rules.schedule import instant


@lru_cache(maxsize=64)
def signal_of(channel: str, payload: str, names: Names) -> Signal | None:
    """The signal in a notification, or None. Most say what one before them did: jobs in a queue."""
    try:
        content = _decoded(payload)
        if channel == names.insert_channel:
            return Signal("insert", _text(content["queue"]))
        if channel == names.signal_channel:
            if content["action"] != "pkill":
                return None
            kind = "cancel" if content.get("from") == OURS else "kill"
            return Signal(kind, job_id=int(content["job_id"]))
        if channel == names.own_channel:
            return _own(content)
    except _UNREADABLE:
        pass  # not written by us or by an Oban that we know; polling sees what matters
    return None


_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    OSError,
    OverflowError,  # a job_id of 1e999
    RecursionError,
    zlib.error,
)
"""What reading a payload that anybody may have sent can raise."""


def _own(content: dict[str, Any]) -> Signal | None:
    ((kind, value),) = content.items()
    if kind == "due":
        return Signal("due", at=instant(datetime.fromisoformat(_text(value)), "due"))
    if kind == "cancel":
        return Signal("cancel", job_id=int(value))
    return Signal(kind, _text(value)) if kind in ("insert", "control") else None


def _decoded(payload: str) -> dict[str, Any]:
    if not payload.startswith("{"):
        payload = gzip.decompress(base64.b64decode(payload, validate=True)).decode()
    content = json.loads(payload)
    if not isinstance(content, dict):
        raise TypeError("a payload is an object")
    return content


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value
