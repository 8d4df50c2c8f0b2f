"""Makes the table of what was measured: medians, ratios of medians, and whether goals are met.

Every figure is the median of the rounds in which it was measured, and every ratio one of such medians,
of runs made in turn. What was not measured is a dash, and meets no goal.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.rows import PARTS, Goal, Row

Figures = Mapping[tuple[str, str], Sequence[Mapping[str, float]]]
"""By part and run: the metrics of each round."""

HEADER = ("", "pgjobs", "best peer", "ratio", "limit", "ratio", "goal: reached", "met")


def summary(rows: Iterable[Row], figures: Figures) -> str:
    """The table in Markdown, a row each; ratios are pgjobs' figure divided by the other one's."""
    return _markdown(HEADER, [_cells(row, figures) for row in rows])


def details(rows: Iterable[Row], figures: Figures) -> str:
    """Every run's median, with the least and the most, for each metric that a row shows."""
    lines, shown = [], set()
    for row in rows:
        for run in PARTS[row.part]:
            key = (row.part, row.metric, run.name)
            found = values(figures, row, run.name)
            if found and key not in shown:
                shown.add(key)
                span = f"{_number(min(found))} to {_number(max(found))}"
                told = f"{row.part}: {run.name}", row.metric.name, _number(statistics.median(found))
                lines.append((*told, span, str(len(found))))
    return _markdown(("run", "metric", "median", "range", "rounds"), lines)


def values(figures: Figures, row: Row, run: str) -> list[float]:
    """The row's metric of a run, in each round that has it."""
    rounds = figures.get((row.part, run), ())
    return [each[row.metric.name] for each in rounds if each.get(row.metric.name)]


def median(figures: Figures, row: Row, run: str) -> float | None:
    found = values(figures, row, run)
    return statistics.median(found) if found else None


def best(figures: Figures, row: Row, runs: Iterable[str]) -> tuple[str, float] | None:
    """The run whose median is best, by the row's sense, and that median."""
    found = [(run, median(figures, row, run)) for run in runs]
    measured = [(run, value) for run, value in found if value is not None]
    if not measured:
        return None
    return (min if row.metric.least_is_best else max)(measured, key=lambda each: each[1])


def reached(figures: Figures, row: Row, goal: Goal) -> float | None:
    """The ratio to what the goal names, or our figure where it is a bound."""
    ours = median(figures, row, row.ours)
    if goal.of is None or ours is None:
        return ours
    other = median(figures, row, goal.of)
    return None if other is None else ours / other


def met(figures: Figures, row: Row, goal: Goal) -> bool | None:
    """None where it was not measured."""
    found = reached(figures, row, goal)
    if found is None:
        return None
    return found <= goal.factor if goal.of is None else found >= goal.factor


def _cells(row: Row, figures: Figures) -> tuple[str, ...]:
    ours = median(figures, row, row.ours)
    own = "-" if ours is None else _amount(ours, row) + _besides(row, figures, row.ours)
    goals = [_goal(row, goal, reached(figures, row, goal)) for goal in row.goals]
    verdicts = {None: "-", True: "yes", False: "NO"}
    told = [verdicts[met(figures, row, goal)] for goal in row.goals]
    return (
        row.title,
        own,
        *_other(row, figures, ours, row.peers),
        *_other(row, figures, ours, row.limits),
        "; ".join(goals),
        "; ".join(told),
    )


def _other(row: Row, figures: Figures, ours: float | None, runs: Iterable[str]) -> tuple[str, str]:
    found = best(figures, row, runs)
    if found is None:
        return "-", "-"
    name, value = found
    ratio = "-" if ours is None else f"{ours / value:.2f}"
    return f"{name} {_amount(value, row)}{_besides(row, figures, name)}", ratio


def _besides(row: Row, figures: Figures, run: str) -> str:
    """What share this is of its figure elsewhere, where the row asks for that."""
    value, other = median(figures, row, run), median(figures, row, f"{run}{row.beside}")
    if not row.beside or value is None or other is None:
        return ""
    return f" ({value / other:.0%} of its{row.beside.removeprefix(',')})"


def _goal(row: Row, goal: Goal, found: float | None) -> str:
    if goal.of is None:
        return f"at most {_amount(goal.factor, row)}: {'-' if found is None else _number(found)}"
    return f"{goal.factor:g} of {goal.of}: {'-' if found is None else f'{found:.2f}'}"


def _amount(value: float, row: Row) -> str:
    return f"{_number(value)}{'' if row.metric.unit == '/s' else ' '}{row.metric.unit}"


def _number(value: float) -> str:
    """Three figures: a rate to the next 10 or 100, a time to a hundredth."""
    if value >= 1000:
        return f"{round(value, -2 if value >= 10_000 else -1):,.0f}"
    return f"{value:.3g}"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rows = [header, ["-" * width for width in widths], *lines]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in rows
    )
