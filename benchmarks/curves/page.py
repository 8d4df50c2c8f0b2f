"""Where the figures of a run go: an SVG for each chart, and tables between the marks of a page.

    <!-- curve NAME -->      a picture and its table stand here
    <!-- end -->

What stands between the two marks is written anew; everything else on the page is somebody's prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.curves.chart import Chart, table
from benchmarks.curves.svg import drawn

_MARKED = re.compile(r"<!-- curve ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)


def write(charts: Sequence[Chart], note: str, folder: Path) -> None:
    """The pictures, and the figures themselves as ``curves.json``, into ``folder``.

    Figures of charts that were not measured this time are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "curves.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept |= {chart.name: {"note": note, **chart.as_json()} for chart in charts}
    file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for chart in charts:
        (folder / f"{chart.name}.svg").write_text(drawn(chart, note), encoding="utf-8")


def filled(page: str, charts: Sequence[Chart], folder: str) -> str:
    """``page`` with the tables of these charts; ``folder`` is that of their pictures, as seen from it."""
    by_name = {chart.name: chart for chart in charts}

    def fill(found: re.Match[str]) -> str:
        chart = by_name.get(found[1])
        if chart is None:
            return found[0]
        picture = f"![{chart.title}]({folder}/{chart.name}.svg)"
        figures = f"In {chart.y}:\n\n{table(chart)}"
        return f"<!-- curve {chart.name} -->\n{picture}\n\n{figures}\n<!-- end -->"

    return _MARKED.sub(fill, page)


def marked(page: str) -> list[str]:
    """The names of the charts that ``page`` has a place for."""
    return _MARKED.findall(page)
