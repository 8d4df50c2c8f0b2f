"""Curves: what is measured is drawn, tabled and kept as figures, the same for the same figures."""

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.curves import page
from benchmarks.curves.__main__ import MEASURED
from benchmarks.curves.chart import Chart, Line, shown, table
from benchmarks.curves.svg import NAME_HEIGHT, drawn, ticks_of

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def chart(*lines, log=False, places=("1", "10", "100")):
    return Chart("name", "A <title>", "places", places, "µs", lines, log)


TWO = chart(Line("one", (1.0, 12.5, 12_345.0)), Line("most", (2.0, None, 4.0), bound=True))


@pytest.mark.parametrize(
    "value, text",
    [
        (None, ""),
        (0, "0"),
        (0.012345, "0.0123"),
        (1.0, "1"),
        (12.34, "12.3"),
        (99.96, "100"),
        (1234.5, "1,230"),
        (27_712.0, "27,700"),
    ],
)
def test_a_figure_is_shown_in_three_digits(value, text):
    assert text == shown(value)


def test_a_table_has_a_row_for_each_place_and_a_column_for_each_line():
    assert [
        "| places | one | most |",
        "| --- | ---: | ---: |",
        "| 1 | 1 | 2 |",
        "| 10 | 12.5 |  |",
        "| 100 | 12,300 | 4 |",
    ] == table(TWO).splitlines()


def test_a_chart_survives_its_json():
    assert TWO == Chart.of_json(json.loads(json.dumps(TWO.as_json())))


def test_a_line_that_has_not_a_value_for_each_place_is_refused():
    with pytest.raises(AssertionError, match="name: short"):
        chart(Line("short", (1.0,)))


@pytest.mark.parametrize(
    "values, ticks",
    [
        ((0.0, 0.0, 97.0), [0, 20, 40, 60, 80, 100]),
        ((1.0, 2.0, 3.0), [0, 1, 2, 3]),
        ((0.0, 0.0, 100.0), [0, 20, 40, 60, 80, 100]),
        ((0.0, 0.0, 0.0), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_a_linear_axis_begins_at_nothing_and_ends_above_the_highest_value(values, ticks):
    assert ticks == pytest.approx(ticks_of(chart(Line("one", values))))


@pytest.mark.parametrize(
    "values, ticks",
    [
        ((3.0, 40.0, 500.0), [1, 10, 100, 1000]),
        ((10.0, 10.0, 10.0), [10, 100]),
        ((0.0, 0.5, 2.0), [0.1, 1, 10]),
    ],
)
def test_a_logarithmic_axis_goes_from_one_power_of_ten_to_another(values, ticks):
    assert ticks == pytest.approx(ticks_of(chart(Line("one", values), log=True)))


def test_a_picture_has_each_point_once_and_is_the_same_every_time():
    picture = drawn(TWO, "2 cores")
    assert picture == drawn(TWO, "2 cores")
    tree = ElementTree.fromstring(picture)
    titles = [title.text for title in tree.iter(f"{SVG}title")]
    assert ["one, 1: 1", "one, 10: 12.5", "one, 100: 12,300"] == titles
    texts = [text.text for text in tree.iter(f"{SVG}text")]
    assert {"A <title>", "µs", "places", "2 cores", "one", "most", "10"} <= set(texts)


def test_higher_values_stand_higher_and_later_places_further_right():
    tree = ElementTree.fromstring(drawn(chart(Line("one", (1.0, 2.0, 4.0))), ""))
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in tree.iter(f"{SVG}circle")]
    assert circles == sorted(circles, key=lambda at: (at[0], -at[1]))
    (_, first), (_, second), (_, third) = circles
    assert pytest.approx(2 * (first - second), abs=0.11) == second - third


def test_the_names_of_lines_that_end_at_one_height_stand_apart():
    lines = [Line(f"line {n}", (5.0, 5.0, 5.0)) for n in range(6)]
    tree = ElementTree.fromstring(drawn(chart(*lines), ""))
    names = [t for t in tree.iter(f"{SVG}text") if t.get("class", "").startswith("t")]
    heights = sorted(float(name.attrib["y"]) for name in names)
    assert 6 == len(heights)
    assert all(b - a >= NAME_HEIGHT - 0.11 for a, b in pairwise(heights))


def test_a_page_keeps_its_prose_and_gets_the_tables_of_what_was_measured():
    other = "<!-- curve other -->\nold\n<!-- end -->"
    before = f"# A\n\n<!-- curve name -->\nold\n<!-- end -->\n\nprose\n\n{other}\n"
    after = page.filled(before, [TWO], "performance")
    assert after == page.filled(after, [TWO], "performance")
    assert "![A <title>](performance/name.svg)" in after
    assert table(TWO) in after
    assert "prose" in after
    assert other in after


def test_figures_of_an_earlier_run_are_kept_where_nothing_new_was_measured(tmp_path):
    page.write([TWO], "then", tmp_path)
    other = Chart("other", "B", "x", ("1",), "ms", (Line("one", (1.0,)),))
    page.write([other], "now", tmp_path)
    kept = json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))
    assert {"name": "then", "other": "now"} == {name: each["note"] for name, each in kept.items()}
    assert (tmp_path / "name.svg").read_text(encoding="utf-8") == drawn(TWO, "then")


def test_every_measurement_is_one_of_those_that_are_run():
    here = {
        f"{path.parent.name}.{path.stem}"
        for folder in ("growth", "real_life")
        for path in (ROOT / "benchmarks" / folder).glob("*.py")
        if "def charts(" in path.read_text(encoding="utf-8")
    }
    assert here == set(MEASURED)


def test_the_page_shows_the_figures_that_lie_beside_it():
    """Each curve of the page is one of the last run, and no figure was changed by hand."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    folder = ROOT / "docs" / "performance"
    figures = json.loads((folder / "curves.json").read_text(encoding="utf-8"))
    charts = {}
    for name, each in figures.items():
        note = each.pop("note")
        charts[name] = Chart.of_json(each)
        assert (folder / f"{name}.svg").read_text(encoding="utf-8") == drawn(charts[name], note)
    assert text == page.filled(text, list(charts.values()), "performance")
    assert sorted(charts) == sorted(page.marked(text))
