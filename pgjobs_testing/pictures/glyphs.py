"""The small signs of a picture, as paths about their middle, five pixels to each side at most."""

from __future__ import annotations

OUTCOMES = {
    "check": "M-3.5 .5L-1 3L3.5 -3",
    "bang": "M0 -4V1M0 4V4.01",
    "x": "M-3 -3L3 3M3 -3L-3 3",
    "z": "M-2.5 -3H2.5L-2.5 3H2.5",
    "slash": "M-3 3L3 -3",
    "back": "M3 0H-3M-.5 -2.5L-3 0L-.5 2.5",
    "gone": "M-1.8 -2.2A2 2 0 1 1 0 .6V1.4M0 4V4.01",
    "on": "M-3 0H-3.01M0 0H.01M3 0H3.01",
}
"""How a run ended, at its end."""

BADGES = {
    "conflict": "M-2.5 -1.5H2.5M-2.5 1.5H2.5",
    "replace": "M-3 -1.5H3L1 -3.5M3 1.5H-3L-1 3.5",
    "cancel": "M-2.2 -2.2L2.2 2.2M2.2 -2.2L-2.2 2.2",
    "retry": "M2.8 -1.2A3 3 0 1 0 2.8 1.5M3 -3.4V-1H.6",
    "delete": "M-3 0H3",
    "release": "M3 0H-3M-.5 -2.5L-3 0L-.5 2.5",
    "rescue": "M-3 0H3M0 -3V3",
    "late": "M0 -2.8V.4L2 1.8",
}
"""What happened to a job, inside a round badge."""

SIGNS = {
    "crash": "M-4 -4L4 4M4 -4L-4 4",
    "stopped": "M-3.5 -3.5H3.5V3.5H-3.5Z",
    "skew": "M0 -4.5V0L3 2M-4.5 0A4.5 4.5 0 1 1 0 4.5",
    "store error": "M0 -4V1M0 4V4.01",
    "plugin error": "M0 -4V1M0 4V4.01",
    "task failed": "M0 -4V1M0 4V4.01",
}
"""What happened to a node or a queue; a diamond for anything else."""

DIAMOND = "M0 -3.5L3.5 0L0 3.5L-3.5 0Z"
