"""Pictures of a trace: an SVG to embed, and a page to zoom and search; each is one file."""

from __future__ import annotations

from pgjobs_testing.pictures.drawing import draw
from pgjobs_testing.pictures.layout import layout
from pgjobs_testing.pictures.page import Chapter, page
from pgjobs_testing.trace import Trace

__all__ = ["Chapter", "html", "page", "svg"]


def svg(trace: Trace, title: str) -> str:
    """The trace as SVG."""
    return draw(layout(trace), title)


def html(trace: Trace, title: str) -> str:
    """The trace as a page."""
    return page(title, [Chapter(title, trace)])
