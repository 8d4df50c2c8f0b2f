"""The page around timelines: HTML with its style and script inside, that loads nothing from anywhere.

A content security policy says so to the browser: only this style and this script, by their hashes.
Whatever a worker is called and whatever an error says, it is text.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote

from pgjobs_testing.pictures import glyphs, telling
from pgjobs_testing.pictures.data import data, script
from pgjobs_testing.pictures.drawing import draw
from pgjobs_testing.pictures.layout import layout
from pgjobs_testing.pictures.style import DARK, FONT, LIGHT, variables
from pgjobs_testing.pictures.text import escaped
from pgjobs_testing.trace import Trace

_SCRIPTS = ("axis.js", "paint.js", "page.js")
_KEYS = (
    "Ctrl + wheel, pinch or + and &minus; zoom, dragging or ← and → pan, 0 shows all. "
    "n and p choose the next job and the one before, / searches, Esc lets go."
)


@dataclass(frozen=True, slots=True)
class Chapter:
    """One timeline of a page, or none where there is nothing but problems.

    ``held`` is None where nothing was expected of it.
    """

    title: str
    trace: Trace | None
    file: str = ""
    held: bool | None = None
    problems: str = ""


def page(title: str, chapters: Sequence[Chapter]) -> str:
    """The whole page; with several chapters it begins with a list of them."""
    style, program = _style(), _program()
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(program)}'; base-uri 'none'; form-action 'none'"
    )
    several = len(chapters) != 1
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escaped(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        "<main>",
        *(_index(title, chapters) if several else ()),
        *(
            line
            for number, chapter in enumerate(chapters, 1)
            for line in _chapter(number, chapter, several=several)
        ),
        "</main>",
        '<div class="tip" role="tooltip" hidden></div>',
        f'<script type="application/json" id="glyphs">{_glyphs()}</script>',
        f"<script>{program}</script>",
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(lines)


def _index(title: str, chapters: Sequence[Chapter]) -> Iterator[str]:
    failed = sum(chapter.held is False for chapter in chapters)
    yield f"<h1>{escaped(title)}</h1>"
    yield f'<p class="quiet">{len(chapters) - failed} held, {failed} failed</p>'
    yield '<nav aria-label="Scenarios"><table>'
    yield "<thead><tr><th></th><th>scenario</th><th>file</th></tr></thead><tbody>"
    order = sorted(enumerate(chapters, 1), key=lambda each: each[1].held is not False)
    for number, chapter in order:  # what failed comes first
        link = f'<a href="#s{number}">{escaped(chapter.title)}</a>'
        file = f"<code>{escaped(chapter.file)}</code>"
        yield f"<tr><td>{_verdict(chapter)}</td><td>{link}</td><td>{file}</td></tr>"
    yield "</tbody></table></nav>"


def _chapter(number: int, chapter: Chapter, *, several: bool) -> Iterator[str]:
    picture = None if chapter.trace is None else layout(chapter.trace)
    head = "h2" if several else "h1"
    yield f'<section class="scenario" id="s{number}">'
    yield f"<{head}>{escaped(chapter.title)}</{head}>"
    told = f"{_verdict(chapter)} " if chapter.held is not None else ""
    summary = "" if picture is None else telling.summary(picture)
    file = f" · <code>{escaped(chapter.file)}</code>" if chapter.file else ""
    yield f'<p class="quiet">{told}{summary}{file}</p>'
    if chapter.problems:
        yield f'<pre class="failures">{escaped(chapter.problems)}</pre>'
    if picture is not None and chapter.trace is not None:
        alt = escaped(chapter.title)
        yield f'<img class="static" alt="{alt}" src="{_url(draw(picture, chapter.title))}">'
        yield '<div class="app">'
        yield f'<script type="application/json">{script(data(chapter.trace, picture))}</script>'
        yield _APP
        yield "</div>"
    yield "</section>"


def _url(svg: str) -> str:
    """An SVG as the address of an image, that needs no file beside the page."""
    return "data:image/svg+xml," + quote(svg, safe=" ='/:;,()+{}[]@!*-.~")


def _verdict(chapter: Chapter) -> str:
    if chapter.held is None:
        return ""
    word = "held" if chapter.held else "failed"
    return f'<span class="verdict {word}">{word}</span>'


_APP = f"""<div class="tools" role="group" aria-label="Timeline">
<input type="search" class="query" placeholder="Search: #12, worker, node, error" aria-label="Search jobs">
<select class="queue" aria-label="Queue"><option value="">every queue</option></select>
<select class="worker" aria-label="Worker"><option value="">every worker</option></select>
<select class="kind" aria-label="State"><option value="">every state</option></select>
<span class="found quiet small" role="status"></span>
<span class="zooms">
<button type="button" class="out" aria-label="Zoom out">&minus;</button>
<button type="button" class="in" aria-label="Zoom in">+</button>
<button type="button" class="whole">All</button>
<button type="button" class="fold" aria-pressed="true"
title="Fold long gaps without an event">Fold gaps</button>
</span>
</div>
<ul class="legend" aria-label="Legend"></ul>
<div class="stage">
<div class="view" tabindex="0" role="application" aria-roledescription="timeline"
aria-label="Timeline. {_KEYS}">
<canvas></canvas><div class="rest"></div>
</div>
<aside class="detail" tabindex="-1" aria-live="polite" aria-label="Job" hidden></aside>
</div>
<p class="quiet small hint">{_KEYS}</p>
<details class="moments" open>
<summary>Every moment</summary>
<div class="pages"><button type="button" class="back" aria-label="Page before">&lsaquo;</button>
<span class="which quiet small"></span>
<button type="button" class="on" aria-label="Next page">&rsaquo;</button></div>
<div class="scroll"><table>
<thead><tr><th scope="col">at</th><th scope="col">node</th><th scope="col">event</th>
<th scope="col">job</th><th scope="col">details</th></tr></thead>
<tbody></tbody>
</table></div>
</details>"""


def _style() -> str:
    edges = (("light", "#c3c9d2"), ("dark", "#434c5a"))
    light, dark = (f"--edge:{edge};--font:{FONT};" for _, edge in edges)
    assert LIGHT.keys() == DARK.keys()
    return (
        f":root{{{variables(dark=False)}{light}}}\n"
        f"@media (prefers-color-scheme: dark){{:root{{{variables(dark=True)}{dark}}}}}\n"
        f"@media print{{:root{{{variables(dark=False)}{light}}}}}\n" + _file("page.css")
    )


def _program() -> str:
    return '"use strict";\n' + "\n".join(_file(name) for name in _SCRIPTS)


def _file(name: str) -> str:
    return (files("pgjobs_testing.pictures") / name).read_text(encoding="utf-8")


def _glyphs() -> str:
    shown = {
        "outcomes": glyphs.OUTCOMES,
        "badges": glyphs.BADGES,
        "signs": glyphs.SIGNS,
        "diamond": glyphs.DIAMOND,
    }
    return json.dumps(shown)


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
