"""Pictures of a trace: an SVG to embed, and a page to zoom and search; each is one file."""

from __future__ import annotations

from pgjobs_testing.pictures.drawing import draw
from pgjobs_testing.pictures.layout import layout
from pgjobs_testing.timeline import Trace


def svg(trace: Trace, title: str) -> str:
    """The trace as SVG."""
    return draw(layout(trace), title)
