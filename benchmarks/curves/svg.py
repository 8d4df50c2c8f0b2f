"""How a chart looks: an SVG of its own, without a library, the same bytes for the same chart.

Each line ends in its name, so that no legend has to be looked up; names that would overlap are moved
apart. The colours follow the reader's light or dark mode.
"""

from __future__ import annotations

import math
from html import escape

from benchmarks.curves.chart import Chart, Line, shown

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 66, 190, 56, 52
NAME_HEIGHT = 14
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif"
LIGHT = ("#1f5fbf", "#b3541e", "#2c7d4f", "#7a4fa3", "#8a6200", "#5c6675")
DARK = ("#7db0ff", "#f0a070", "#7fd0a0", "#c9a6ee", "#e9c46a", "#98a2b1")
PAPER = {"paper": "#ffffff", "ink": "#1c2430", "quiet": "#5c6675", "grid": "#dfe3e9"}
NIGHT = {"paper": "#14181f", "ink": "#e4e8ee", "quiet": "#98a2b1", "grid": "#2b323d"}
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Scale:
    """Where a place and a value of a chart stand on its picture."""

    def __init__(self, chart: Chart) -> None:
        self.log = chart.log
        self.ticks = ticks_of(chart)
        self._steps = max(1, len(chart.places) - 1)

    def x(self, place: int) -> float:
        return LEFT + 14 + place * (WIDTH - LEFT - RIGHT - 28) / self._steps

    def y(self, value: float) -> float:
        low, high, at = map(self._height, (self.ticks[0], self.ticks[-1], value))
        return HEIGHT - BOTTOM - (at - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    def has(self, value: float) -> bool:
        """Whether a value can be shown: a logarithmic axis has no 0."""
        return value > 0 or not self.log

    def _height(self, value: float) -> float:
        return math.log10(value) if self.log else value


def drawn(chart: Chart, note: str) -> str:
    """The SVG of ``chart``; ``note`` stands below it in small letters."""
    scale = Scale(chart)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    label = f'aria-label="{escape(chart.title)}"'
    edge, middle = LEFT - 50, (LEFT + WIDTH - RIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curve" {size} role="img" {label}>',
        f"<style>{_css(len(chart.lines))}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        _text("h", edge, 20, chart.title),
        _text("q", edge, 40, chart.y),
    ]
    for tick in scale.ticks:
        y = scale.y(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text("q", LEFT - 6, y + 4, shown(tick), "end"))
    for n, place in enumerate(chart.places):
        parts.append(_text("q", scale.x(n), HEIGHT - BOTTOM + 16, place, "middle"))
    parts.append(_text("q", middle, HEIGHT - 18, chart.x, "middle"))
    parts.append(_text("n", edge, HEIGHT - 4, note))
    for number, line in enumerate(chart.lines):
        parts.append(_line(number, line, chart, scale))
    for number, at in enumerate(_ends(chart, scale)):
        parts.append(_text(f"t{number}", WIDTH - RIGHT + 8, at + 4, chart.lines[number].name))
    return "\n".join([*parts, "</svg>", ""])


def ticks_of(chart: Chart) -> list[float]:
    """Round values, from 0 (or a power of ten) to one that no line exceeds."""
    values = [value for line in chart.lines for value in line.values if value is not None]
    highest = max(values, default=1.0) or 1.0
    if chart.log:
        lowest = min((value for value in values if value > 0), default=highest)
        first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
        return [10.0**power for power in range(first, max(last, first + 1) + 1)]
    scale = 10.0 ** math.floor(math.log10(highest / 5))
    step = next(scale * by for by in STEPS if scale * by * 5 >= highest * (1 - 1e-9))
    return [step * n for n in range(math.ceil(highest / step - 1e-9) + 1)]


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(text)}</text>'


def _line(number: int, line: Line, chart: Chart, scale: Scale) -> str:
    points = [
        (scale.x(n), scale.y(value), place, value)
        for n, (place, value) in enumerate(zip(chart.places, line.values, strict=True))
        if value is not None and scale.has(value)
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in points)
    kind = "bound" if line.bound else "line"
    drawing = f'<path class="{kind} s{number}" d="M{path}"/>' if points else ""
    if line.bound:
        return drawing
    return drawing + "".join(
        f'<circle class="f{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
        f"<title>{escape(f'{line.name}, {place}: {shown(value)}')}</title></circle>"
        for x, y, place, value in points
    )


def _ends(chart: Chart, scale: Scale) -> list[float]:
    """How high the name of each line stands: at its last value, or as near as the others allow."""
    wanted: list[tuple[float, int]] = []
    for number, line in enumerate(chart.lines):
        known = [value for value in line.values if value is not None and scale.has(value)]
        wanted.append((scale.y(known[-1]) if known else HEIGHT - BOTTOM, number))
    placed: dict[int, float] = {}
    lowest = float(TOP)
    for at, number in sorted(wanted):
        placed[number] = max(at, lowest)
        lowest = placed[number] + NAME_HEIGHT
    over = max(0.0, lowest - NAME_HEIGHT - (HEIGHT - BOTTOM))
    return [placed[number] - over for number in range(len(chart.lines))]


def _css(lines: int) -> str:
    rules = [
        f".curve{{{_variables(PAPER, LIGHT[:lines])}font-family:{FONT};font-size:12px}}",
        f"@media(prefers-color-scheme:dark){{.curve{{{_variables(NIGHT, DARK[:lines])}}}}}",
        ".paper{fill:var(--paper)}.h{fill:var(--ink);font-size:15px;font-weight:600}",
        ".q{fill:var(--quiet)}.n{fill:var(--quiet);font-size:9.5px}",
        ".grid{stroke:var(--grid);fill:none}",
        ".line{fill:none;stroke-width:2}.bound{fill:none;stroke-width:1.5;stroke-dasharray:5 4}",
    ]
    rules += [
        f".s{n}{{stroke:var(--c{n})}}.f{n}{{fill:var(--c{n})}}.t{n}{{fill:var(--c{n})}}"
        for n in range(lines)
    ]
    return "".join(rules)


def _variables(named: dict[str, str], colours: tuple[str, ...]) -> str:
    every = {**named, **{f"c{n}": colour for n, colour in enumerate(colours)}}
    return "".join(f"--{name}:{colour};" for name, colour in every.items())
