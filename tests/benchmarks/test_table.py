"""The table of the benchmarks: what it takes as a figure, a ratio, a goal that is met."""

import pytest

from benchmarks.rows import P50, PARTS, RATE, ROWS, Goal, Row
from benchmarks.table import best, details, median, met, reached, summary

PROCESSED = Row(
    "process",
    part="process",
    metric=RATE,
    ours="pgjobs",
    goals=(Goal(1.5, "pgqueuer"), Goal(0.6, "bare loop")),
    peers=("pgqueuer", "oban"),
    limits=("bare loop",),
)
PICKED_UP = Row(
    "latency",
    part="latency",
    metric=P50,
    ours="pgjobs",
    goals=(Goal(1.5),),
    peers=("pgqueuer", "oban"),
)


def rounds(row, **figures):
    return {
        (row.part, run.replace("_", " ")): [{row.metric.name: value} for value in values]
        for run, values in figures.items()
    }


def test_a_figure_is_the_median_of_the_rounds_that_have_it():
    figures = rounds(PROCESSED, pgjobs=[30_000, 10_000, 20_000])
    figures["process", "pgjobs"].append({"rss_mb": 40.0})
    assert median(figures, PROCESSED, "pgjobs") == 20_000
    assert median(figures, PROCESSED, "oban") is None


def test_the_best_rate_is_the_greatest_and_the_best_latency_the_least():
    assert best(rounds(PROCESSED, pgqueuer=[2], oban=[1]), PROCESSED, PROCESSED.peers) == (
        "pgqueuer",
        2,
    )
    assert best(rounds(PICKED_UP, pgqueuer=[2], oban=[1]), PICKED_UP, PICKED_UP.peers) == (
        "oban",
        1,
    )
    assert best({}, PROCESSED, PROCESSED.peers) is None


def test_a_ratio_is_one_of_medians_and_its_goal_is_met_from_there_on():
    figures = rounds(PROCESSED, pgjobs=[30, 45, 10], pgqueuer=[20, 1, 90], bare_loop=[51, 51, 51])
    to_pgqueuer, to_loop = PROCESSED.goals
    assert (reached(figures, PROCESSED, to_pgqueuer), met(figures, PROCESSED, to_pgqueuer)) == (
        1.5,
        True,
    )
    assert reached(figures, PROCESSED, to_loop) == pytest.approx(30 / 51)
    assert met(figures, PROCESSED, to_loop) is False


def test_a_bound_is_met_up_to_its_value():
    (bound,) = PICKED_UP.goals
    assert met(rounds(PICKED_UP, pgjobs=[1.5]), PICKED_UP, bound) is True
    assert met(rounds(PICKED_UP, pgjobs=[1.51]), PICKED_UP, bound) is False


@pytest.mark.parametrize("row", [PROCESSED, PICKED_UP])
def test_what_was_not_measured_meets_no_goal_and_is_a_dash(row):
    assert [met({}, row, goal) for goal in row.goals] == [None] * len(row.goals)
    cells = [cell.strip() for cell in summary([row], {}).splitlines()[-1].strip("|").split("|")]
    assert cells[1:6] == ["-"] * 5
    assert set(cells[-1].split("; ")) == {"-"}


def test_a_line_shows_our_figure_the_best_peer_the_limit_and_each_goal_with_its_verdict():
    figures = rounds(
        PROCESSED, pgjobs=[41_234], pgqueuer=[27_000], oban=[6_400], bare_loop=[80_000]
    )
    *_, line = summary([PROCESSED], figures).splitlines()
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "process",
        "41,200/s",
        "pgqueuer 27,000/s",
        "1.53",
        "bare loop 80,000/s",
        "0.52",
        "1.5 of pgqueuer: 1.53; 0.6 of bare loop: 0.52",
        "yes; NO",
    ]


def test_a_row_that_compares_with_an_empty_table_tells_each_ones_share():
    (row,) = [each for each in ROWS if each.beside]
    figures = rounds(row, pgjobs=[19_000], pgqueuer=[5_000])
    figures |= rounds(row, **{"pgjobs, empty table": [20_000], "pgqueuer, empty table": [10_000]})
    line = summary([row], figures)
    assert "19,000/s (95% of its empty table)" in line
    assert "pgqueuer 5,000/s (50% of its empty table)" in line
    assert "0.95 of pgjobs, empty table: 0.95" in line


def test_details_tell_the_range_and_how_many_rounds_there_were():
    row = next(each for each in ROWS if each.part == "latency")
    *_, line = details([row], rounds(row, pgjobs=[1.2, 1.44, 1.3])).splitlines()
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        *("latency: pgjobs", "p50_ms", "1.3", "1.2 to 1.44", "3"),
    ]


def test_each_row_speaks_of_runs_that_its_part_makes():
    for row in ROWS:
        made = {run.name for run in PARTS[row.part]}
        named = {row.ours, *row.peers, *row.limits, *(goal.of for goal in row.goals if goal.of)}
        assert named <= made, row.title
        assert all(f"{name}{row.beside}" in made for name in (row.ours, *row.peers, *row.limits))


def test_each_part_is_shown_and_names_a_run_once():
    assert {row.part for row in ROWS} == set(PARTS)
    for part, runs in PARTS.items():
        assert len({run.name for run in runs}) == len(runs), part
