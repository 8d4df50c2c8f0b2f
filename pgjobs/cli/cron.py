"""``pgjobs cron``: when a cron entry would run, for people and for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo

import click

from pgjobs.cli.common import in_one_line
from pgjobs.preview import Tick, explain
from pgjobs.rules.schedule import real_instant, time_zone


@click.group()
def cron() -> None:
    """Cron expressions."""


@cron.command()
@click.argument("expression")
@click.option(
    "--timezone",
    default="Etc/UTC",
    show_default=True,
    metavar="ZONE",
    help="The IANA time zone of the entry.",
)
@click.option(
    "--from",
    "start",
    metavar="TIME",
    help="A date or a time in that zone, or with an offset: 2025-11-01, 2025-11-01T05:30Z. "
    "By default now. A date is its midnight.",
)
@click.option("--to", "end", metavar="TIME", help="The same. By default there is no end.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="At most so many runs. By default 10, or with --to all.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs: a JSON array.")
def preview(
    expression: str,
    timezone: str,
    start: str | None,
    end: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """When an entry with this EXPRESSION would run, from --from to --to, both included.

    EXPRESSION is quoted for the shell: "30 1 * * MON-FRI", or one of @hourly, @daily and their kin.
    The last column says where a change of the clocks moves a run, or doubles its wall time.
    """
    with in_one_line():
        zone = time_zone(timezone)
        begin = None if start is None else _instant(start, "--from", zone)
        until = None if end is None else _instant(end, "--to", zone)
        found = explain(expression, zone, begin, until, limit)
    if as_json:
        click.echo(json.dumps([_plain(tick) for tick in found.ticks], indent=2))
    elif found.crontab.reboot:
        click.echo("@reboot has no times: it is due when nodes start")
    elif not found.ticks:
        click.echo("no run between the two")
    else:
        click.echo(_table(found.ticks))
    if found.more and end is not None:
        click.echo(f"more follow before {end}: raise --limit", err=True)


def _table(ticks: tuple[Tick, ...]) -> str:
    rows = [("local time", "zone", "UTC", "")]
    for tick in ticks:
        name = tick.local.tzname() or ""
        rows.append((f"{tick.local:%a} {_shown(tick.local)}", name, _shown(tick.at), _note(tick)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in padded)


def _note(tick: Tick) -> str:
    """What the clocks do to this run; empty on most days."""
    notes = []
    if tick.skipped:
        first, last = tick.skipped[0], tick.skipped[-1]
        same_day = first.date() == tick.local.date()
        names = [f"{wall:%H:%M}" if same_day else _shown(wall) for wall in (first, last)]
        what = f"{names[0]} does" if first == last else f"{names[0]} to {names[1]} do"
        notes.append(f"moved: {what} not exist, the clocks go forward")
    if tick.twice is not None:
        runs = "runs once, at the" if tick.once else "the"
        notes.append(f"{tick.local:%H:%M} comes twice: {runs} {tick.twice}")
    return "; ".join(notes)


def _plain(tick: Tick) -> dict[str, object]:
    return {
        "utc": tick.at.isoformat().replace("+00:00", "Z"),
        "local": tick.local.isoformat(),
        "zone": tick.local.tzname(),
        "skipped": [wall.isoformat() for wall in tick.skipped],
        "twice": tick.twice,
        "note": _note(tick),
    }


def _shown(wall: datetime) -> str:
    timespec = "seconds" if wall.second else "minutes"
    return wall.replace(tzinfo=None).isoformat(sep=" ", timespec=timespec)


def _instant(text: str, option: str, zone: tzinfo) -> datetime:
    """An instant as people write it: in ``zone`` unless it has an offset of its own."""
    try:
        given = datetime.fromisoformat(text.strip())
        if given.tzinfo is None:
            return real_instant(given, zone)
        return given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.UsageError(
            f"{option} takes a date or a time, as in 2025-11-01 or 2025-11-01T01:30, not {text!r}"
        ) from None
