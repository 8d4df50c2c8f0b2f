"""How each thing that a job goes through looks: a colour for light and dark, a pattern, a glyph, a name.

Colour is never alone: thin bars differ by their dashes, thick ones by pattern and glyph, so that a
picture reads in black and white. The colours of thick bars carry their text at a contrast of 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from pgjobs.rules.job import JobState


@dataclass(frozen=True, slots=True)
class Kind:
    """One look. ``rank`` orders kinds by how much they want to be seen where bars are merged."""

    name: str
    label: str
    light: str
    dark: str
    thick: bool
    pattern: str = "plain"
    glyph: str = ""
    rank: int = 0


KINDS: tuple[Kind, ...] = (
    Kind("scheduled", "scheduled", "#7b8798", "#8d99ab", thick=False, pattern="dots"),
    Kind("available", "available", "#1f5fbf", "#5b97ee", thick=False),
    Kind("retryable", "retryable", "#b85a00", "#e58f2e", thick=False, pattern="dashes"),
    Kind("suspended", "suspended", "#7545b8", "#a985ea", thick=False, pattern="dots"),
    Kind("executing", "executing", "#1f5fbf", "#5b97ee", thick=True, glyph="on", rank=1),
    Kind("completed", "ran, completed", "#1d7f5c", "#3cb487", thick=True, glyph="check"),
    Kind(
        "snoozed",
        "ran, snoozed",
        "#7545b8",
        "#a985ea",
        thick=True,
        pattern="dots",
        glyph="z",
        rank=2,
    ),
    Kind(
        "returned",
        "ran, given back",
        "#2d6da3",
        "#62a5da",
        thick=True,
        pattern="bars",
        glyph="back",
        rank=3,
    ),
    Kind(
        "cancelled",
        "ran, cancelled",
        "#656b74",
        "#949ca8",
        thick=True,
        pattern="lines",
        glyph="slash",
        rank=4,
    ),
    Kind(
        "failed",
        "ran, failed, retryable",
        "#b85a00",
        "#e58f2e",
        thick=True,
        pattern="hatch",
        glyph="bang",
        rank=5,
    ),
    Kind(
        "lost",
        "ran, lost",
        "#8a6d1d",
        "#c9a94a",
        thick=True,
        pattern="hollow",
        glyph="gone",
        rank=6,
    ),
    Kind(
        "discarded",
        "ran, discarded",
        "#b3202e",
        "#ef6f7a",
        thick=True,
        pattern="cross",
        glyph="x",
        rank=7,
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}

WAITING_AS = {
    JobState.SCHEDULED: "scheduled",
    JobState.AVAILABLE: "available",
    JobState.RETRYABLE: "retryable",
    JobState.SUSPENDED: "suspended",
}
"""The kind of a wait in each state in which a job waits."""

RUN_AS = {
    JobState.EXECUTING: "executing",
    JobState.COMPLETED: "completed",
    JobState.RETRYABLE: "failed",
    JobState.SCHEDULED: "snoozed",
    JobState.AVAILABLE: "returned",
    JobState.DISCARDED: "discarded",
    JobState.CANCELLED: "cancelled",
    JobState.SUSPENDED: "returned",
}
"""The kind of a run by the state that it left its job in."""

MARKS = {
    "insert": "inserted",
    "conflict": "conflict: a duplicate was inserted",
    "replace": "replaced by a duplicate",
    "cancel": "cancelled by hand",
    "retry": "retried by hand",
    "delete": "deleted",
    "release": "given back, not run",
    "rescue": "rescued",
    "late": "late outcome, dropped",
}
"""What marks on a job's row mean."""

BANDS = {
    "leads": "leads",
    "down": "down",
    "suspended": "suspended",
    "cut": "cut off",
    "stopping": "stopping",
    "paused": "paused",
    "outage": "database down",
    "mute": "notifications lost",
}
"""What bands on nodes and queues say."""
