"""Which text a picture may hold, and how wide it is: nothing here can break XML, HTML or a layout.

A picture knows no font, so that widths are estimates on the wide side for the usual sans-serif ones.
"""

from __future__ import annotations

import re
from unicodedata import east_asian_width

_ILLEGIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_NARROW = frozenset("iljtfrI.,:;'|!()[]/ -#")
_BROAD = frozenset("mwMW@%—…")
_ELLIPSIS = "…"


def legible(text: str) -> str:
    """``text`` with what XML refuses, and what turns the direction of a line, written as an escape."""
    return _ILLEGIBLE.sub(lambda found: _escape(ord(found[0])), text)


def escaped(text: str) -> str:
    """``text`` as the content of an element or an attribute, of XML as well as of HTML."""
    plain = legible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace('"', "&quot;").replace("'", "&#39;")


def width(text: str, size: float) -> float:
    """An upper estimate of the width of ``text`` at a font size, both in pixels."""
    return size * sum(map(_em, text))


def fitted(text: str, room: float, size: float) -> str:
    """``text``, or as much of it as there is room for and an ellipsis; empty where nothing fits."""
    text = legible(text)
    if width(text, size) <= room:
        return text
    room -= width(_ELLIPSIS, size)
    kept = 0
    for char in text:
        room -= size * _em(char)
        if room < 0:
            break
        kept += 1
    return text[:kept].rstrip() + _ELLIPSIS if kept > 1 else ""


def _em(char: str) -> float:
    if char in _NARROW:
        return 0.36
    if char in _BROAD:
        return 0.95
    if not char.isascii():
        return 1.05 if east_asian_width(char) in "WF" else 0.8
    return 0.7 if char.isupper() else 0.6


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
