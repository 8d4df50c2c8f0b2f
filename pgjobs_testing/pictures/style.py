"""The colours and patterns of a picture as CSS and SVG: one palette for light, one for dark."""

from __future__ import annotations

from collections.abc import Iterable

from pgjobs_testing.pictures.kinds import BY_NAME, Kind

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif"

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1c2430",
    "quiet": "#5c6675",
    "line": "#dfe3e9",
    "faint": "#f3f5f8",
    "onbar": "#ffffff",
    "dark": "#8a93a1",
    "gold": "#8a6200",
    "goldfill": "#f6e3ad",
    "alarm": "#b3202e",
}
DARK = {
    "paper": "#14181f",
    "ink": "#e4e8ee",
    "quiet": "#98a2b1",
    "line": "#2b323d",
    "faint": "#1b212a",
    "onbar": "#0d1117",
    "dark": "#6c7686",
    "gold": "#e9c46a",
    "goldfill": "#4a3c14",
    "alarm": "#ff8a93",
}


def variables(*, dark: bool) -> str:
    """The palette as CSS variables: the paper's, and one for each kind of bar."""
    named = {
        **(DARK if dark else LIGHT),
        **{kind.name: kind.dark if dark else kind.light for kind in BY_NAME.values()},
    }
    return "".join(f"--{name}:{colour};" for name, colour in named.items())


def css(kinds: Iterable[str]) -> str:
    """The style sheet inside an SVG, for the kinds that occur in it."""
    rules = [
        f".pgjobs{{{variables(dark=False)}font-family:{FONT};font-size:11px}}",
        f"@media(prefers-color-scheme:dark){{.pgjobs{{{variables(dark=True)}}}}}",
        ".pgjobs text{fill:var(--ink)}",
        ".pgjobs .paper{fill:var(--paper)}",
        ".pgjobs .h{font-size:17px;font-weight:600}",
        ".pgjobs .queue{font-size:12px;font-weight:600}",
        ".pgjobs .q{fill:var(--quiet)}",
        ".pgjobs .s{font-size:10.5px}",
        ".pgjobs .halo{stroke:var(--paper);stroke-width:3px;stroke-linejoin:round;paint-order:stroke}",
        ".pgjobs .grid{stroke:var(--line);stroke-width:1;fill:none}",
        ".pgjobs .edge{stroke:var(--dark);stroke-width:1;fill:none}",
        ".pgjobs .faint{fill:var(--faint)}",
        ".pgjobs .on{fill:var(--onbar);font-weight:600}",
        ".pgjobs .glyph{fill:none;stroke:var(--onbar);stroke-width:1.6;stroke-linecap:round}",
        ".pgjobs .badge{fill:var(--paper);stroke:var(--ink);stroke-width:1.2}",
        ".pgjobs .sign{fill:none;stroke:var(--ink);stroke-width:1.5;stroke-linecap:round}",
        ".pgjobs .in{fill:var(--ink)}",
        ".pgjobs .link{fill:none;stroke:var(--quiet);stroke-width:1.2;stroke-dasharray:2 3}",
        ".pgjobs .leads{fill:var(--goldfill);stroke:var(--gold);stroke-width:1}",
        ".pgjobs .gone{fill:url(#shade);stroke:var(--dark);stroke-width:1}",
        ".pgjobs .paused{fill:url(#pause);stroke:var(--dark);stroke-width:1}",
        ".pgjobs .shade{fill:url(#shade)}",
        ".pgjobs .pause{fill:url(#pause)}",
        ".pgjobs .break{fill:none;stroke:var(--paper);stroke-width:5}",
        ".pgjobs .zig{fill:none;stroke:var(--dark);stroke-width:1}",
        *(_rule(BY_NAME[name]) for name in kinds),
    ]
    return "\n".join(rules)


def patterns(kinds: Iterable[str]) -> list[str]:
    """The definitions of the patterns that ``css`` speaks of."""
    found = [_SHADE, _PAUSE]
    for name in kinds:
        kind = BY_NAME[name]
        if kind.thick and kind.pattern in _STROKES:
            size, stroke = _STROKES[kind.pattern]
            ground = f'<rect width="{size}" height="{size}" style="fill:var(--{name})"/>'
            strength = _STRENGTH.get(kind.pattern, 0.4)
            lines = f'style="stroke:var(--onbar);stroke-opacity:{strength}" fill="none"'
            found.append(
                f'<pattern id="p-{name}" width="{size}" height="{size}" '
                f'patternUnits="userSpaceOnUse">{ground}<path d="{stroke}" {lines} '
                'stroke-width="1.3" stroke-linecap="square"/></pattern>'
            )
    return found


_SHADE = (
    '<pattern id="shade" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><path d="M0 0V6" '
    'style="stroke:var(--dark);stroke-opacity:.45" stroke-width="2"/></pattern>'
)
_PAUSE = (
    '<pattern id="pause" width="8" height="8" patternUnits="userSpaceOnUse">'
    '<path d="M2 1V7M5 1V7" style="stroke:var(--dark);stroke-opacity:.28" '
    'stroke-width="1.2"/></pattern>'
)

_STROKES = {
    "hatch": (6, "M-1 7L7 -1M-1 1L1 -1M5 7L7 5"),
    "cross": (6, "M-1 7L7 -1M-1 -1L7 7"),
    "lines": (5, "M0 2.5H5"),
    "bars": (6, "M3 0V6"),
    "dots": (5, "M2.5 2.5h.01"),
}
"""Size and strokes of the patterns of thick bars."""

_STRENGTH = {"cross": 0.28, "lines": 0.3}
"""How strong they are where it is not 0.4: what covers more is drawn more softly."""

DASHES = {"plain": "", "dots": "1 4", "dashes": "6 3"}
"""The dashes of thin bars."""


def _rule(kind: Kind) -> str:
    name = f".pgjobs .{kind.name}"
    colour = f"var(--{kind.name})"
    ink = f"{name}-disc{{fill:{colour}}}{name}-fill{{fill:{colour};fill-opacity:.8}}"
    if not kind.thick:
        dashes = DASHES[kind.pattern]
        dashed = f"stroke-dasharray:{dashes};" if dashes else ""
        cap = "stroke-linecap:round;" if kind.pattern == "dots" else ""
        return f"{name}{{stroke:{colour};stroke-width:2.5;fill:none;{dashed}{cap}}}{ink}"
    if kind.pattern == "hollow":
        hollow = f"fill:var(--paper);stroke:{colour};stroke-width:1.4;stroke-dasharray:4 2"
        return f"{name}{{{hollow}}}{ink}"
    fill = f"url(#p-{kind.name})" if kind.pattern in _STROKES else colour
    return f"{name}{{fill:{fill}}}{ink}"
