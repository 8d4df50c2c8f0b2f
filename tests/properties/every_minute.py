"""Cron against the wall clocks of ten zones, in every minute of five years.

Run as ``python -m tests.properties.every_minute``, it reads each clock in every minute. The suite does the
same with fewer expressions, and reads each clock every quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click

from pgjobs.rules.crontab import parse, ticks
from pgjobs.rules.errors import ConfigurationError
from pgjobs_testing.clock import MICROSECOND, SeededRng
from tests.properties.walls import BOUNDS, MINUTE, Entry, Minutes

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
ZONES = (
    "Etc/UTC",
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",  # half an hour
    "Africa/Cairo",  # at midnight, since 2023
    "America/Santiago",  # at midnight
    "America/St_Johns",  # half an hour off
    "Asia/Kathmandu",  # three quarters off
    "Africa/Casablanca",  # four changes a year until 2023, by the moon
    "Asia/Tehran",  # no more changes since 2022
)
CHOSEN = (
    "30 1 * * *",
    "*/15 2 * * *",
    "0 2,3 * * *",
    "* 1 * * SUN",
    "0 0 * * *",
    "59 23 31 * *",
    "15,45 * * * *",
    "*/20 */3 * * *",
    "45 0-3 1,15 * MON",
    "*/10 * * 3,10 */6",
    "7 0-23/5 */2 * 1-5",
    "0 12 29 2 *",
)


def drawn(seed: int, zone: str, count: int) -> list[str]:
    """So many expressions, the same ones for the same seed and zone; hours lie mostly in the night."""
    rng = SeededRng(seed)

    def whole(low: int, high: int) -> int:
        return low + int(rng.random(zone) * (high - low + 1))

    def item(low: int, high: int) -> str:
        first, last = sorted((whole(low, high), whole(low, high)))
        kinds = (f"{first}", f"{first}-{last}", f"{first}-{last}/{whole(1, 9)}", f"*/{whole(1, 9)}")
        step = kinds[whole(0, 3)]
        return f"*/{min(whole(1, 9), high - low + 1)}" if step.startswith("*") else step

    def field(place: int, stars: int) -> str:
        low, high = (0, 3) if place == 1 and whole(0, 2) else BOUNDS[place]
        if whole(0, 9) < stars:
            return "*"
        return ",".join(item(low, high) for _ in range(whole(1, 3)))

    found: list[str] = []
    while len(found) < count:
        text = " ".join(field(place, stars) for place, stars in enumerate((1, 3, 7, 7, 7)))
        try:
            parse(text)
        except ConfigurationError:  # a date that never comes, or a step that is too long
            continue
        found.append(text)
    return found


def differing(zone: str, expressions: list[str], step: int) -> Iterator[tuple[str, int, int]]:
    """For each expression how many ticks there are, and how many of these are in one place only."""
    clock = ZoneInfo(zone)
    model = Minutes(clock, BEGIN, END, step)
    for text in expressions:
        expected = model.expected(Entry.read(text))
        found = [
            (tick - BEGIN) // MINUTE
            for tick in ticks(parse(text), clock, BEGIN - MICROSECOND, END - MINUTE)
        ]
        wrong = len(set(expected) ^ set(found)) + (len(found) - len(set(found)))
        yield text, len(expected), wrong if expected != found else 0


@click.command()
@click.option("--seed", default=0, show_default=True, help="of the expressions that are drawn")
@click.option("--expressions", default=60, show_default=True, help="drawn for each zone")
def main(seed: int, expressions: int) -> None:
    """Read the clocks of ten zones in every minute of five years, and compare what cron makes of it."""
    minutes = total = bad = 0
    for zone in ZONES:
        chosen = [*CHOSEN, *drawn(seed, zone, expressions)]
        for text, count, wrong in differing(zone, chosen, 1):
            total, bad = total + count, bad + wrong
            if wrong:
                click.echo(f"{zone}: {text!r} differs in {wrong} of {count} ticks")
        minutes += (END - BEGIN) // MINUTE
        click.echo(f"{zone}: {len(chosen)} expressions", err=True)
    click.echo(
        f"{minutes} minutes of {len(ZONES)} zones, {total} ticks, {bad} differ (seed {seed})"
    )
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
