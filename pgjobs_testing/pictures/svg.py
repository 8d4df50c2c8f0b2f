"""The few forms of SVG elements that a picture is written in."""

from __future__ import annotations

from pgjobs_testing.pictures.text import escaped


def n(number: float) -> str:
    """A number with a decimal at most, and none where it is whole."""
    return f"{number:.1f}".removesuffix(".0")


def at(x: float, y: float) -> str:
    """The attribute that moves an element."""
    return f' transform="translate({n(x)} {n(y)})"'


def text(x: float, y: float, content: str, kind: str, anchor: str = "") -> str:
    """A line of text."""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{kind}" x="{n(x)}" y="{n(y)}"{anchored}>{escaped(content)}</text>'


def element(name: str, kind: str, x: float, y: float, title: str = "", **sizes: float) -> str:
    """A shape at a place, with a title where there is one."""
    given = "".join(f' {key}="{n(size)}"' for key, size in sizes.items())
    head = f'<{name} class="{kind}" x="{n(x)}" y="{n(y)}"{given}'
    return f"{head}><title>{escaped(title)}</title></{name}>" if title else f"{head}/>"
