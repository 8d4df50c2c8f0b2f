"""What ``simulate`` says: how far it is, each alarm with the way back to it, and the sum at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Protocol

import click

from pgjobs.ports import Clock
from pgjobs_testing.simulation.asked import words
from pgjobs_testing.simulation.campaign import Summary
from pgjobs_testing.simulation.playing import STANDARD, Setup
from pgjobs_testing.simulation.verdict import Options, Verdict
from pgjobs_testing.trace import elapsed

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY_S = 10.0
"""How often a line tells how far it is, where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a campaign has taken, in real time."""

    clock: Clock
    began: float

    def seconds(self) -> float:
        return self.clock.monotonic() - self.began

    def told(self, summary: Summary) -> str:
        """Seeds a second, and the virtual time."""
        seconds = self.seconds()
        rate = f"{summary.played / seconds:.3g} seeds/s" if seconds > 0 else "no time"
        return f"{rate}, {virtual(summary)} of virtual time"


class Show(Protocol):
    """Where the words of the command go."""

    def at(self, summary: Summary) -> None:
        """The campaign has come so far."""
        ...

    def say(self, text: str) -> None:
        """Print text that stays: an alarm."""
        ...


@contextmanager
def showing(total: int | None, pace: Pace, *, quiet: bool) -> Iterator[Show]:
    """The show for so many seeds (None: till the time is over); live only on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield Plain(total, pace, quiet=quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=20), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as live:
        yield Live(live, live.add_task("", total=total), total, pace)


class Plain:
    """A line every ten seconds."""

    def __init__(self, total: int | None, pace: Pace, *, quiet: bool) -> None:
        self._total, self._pace, self._quiet = total, pace, quiet
        self._next_s = EVERY_S

    def at(self, summary: Summary) -> None:
        if not self._quiet and self._pace.seconds() >= self._next_s:
            self._next_s = self._pace.seconds() + EVERY_S
            click.echo(f"{so_far(summary, self._total)}, {self._pace.told(summary)}", err=True)

    def say(self, text: str) -> None:
        click.echo(text, err=True)


class Live:
    """One line on the terminal that changes."""

    def __init__(self, live: Progress, task: TaskID, total: int | None, pace: Pace) -> None:
        self._live, self._task, self._total, self._pace = live, task, total, pace

    def at(self, summary: Summary) -> None:
        text = f"{so_far(summary, self._total)}, {self._pace.told(summary)}"
        self._live.update(self._task, completed=summary.played, description=text)

    def say(self, text: str) -> None:
        self._live.stop()
        click.echo(text, err=True)
        self._live.start()


def so_far(summary: Summary, total: int | None) -> str:
    """How many seeds of how many, and how many alarms."""
    of = "" if total is None else f" of {total}"
    return f"{summary.played}{of} seeds, {alarms(len(summary.alarms))}"


def alarms(number: int) -> str:
    """A number of alarms in words."""
    return "no alarm" if number == 0 else f"{number} alarm{'' if number == 1 else 's'}"


def virtual(summary: Summary) -> str:
    """The virtual time of all seeds together, to the second."""
    return elapsed(timedelta(seconds=round(summary.virtual_s)))


def alarm_of(verdict: Verdict, setup: Setup, directory: Path) -> str:
    """An alarm, with all that leads back to it; its scenario is written into ``directory``."""
    world = None if setup.world == STANDARD else setup.world
    lines = [f"seed {verdict.seed}: {verdict.alarm}"]
    if verdict.drawn:
        lines.append(f"  drawn: {verdict.drawn}")
    lines.append(f"  again: {_again(verdict.seed, setup.options, world)}")
    if verdict.scenario is not None:
        lines += _written(verdict.seed, verdict.scenario, directory)
    if verdict.report is not None:
        lines.append(indent(verdict.report, "    "))
    return "\n".join(lines)


def _again(seed: int, options: Options, world: str | None) -> str:
    """How the seed is played again: by a command, where one can import the world."""
    if world is not None and "<" in world:
        return f"give the test's campaign() seeds=[{seed}]: no command can import the world {world}"
    return words(seed, options, world)


def _written(seed: int, scenario: str, directory: Path) -> list[str]:
    """Where the scenario is. That it cannot be written must not end the campaign, nor lose it."""
    file = directory / f"alarm-{seed}.scenario.yaml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file.write_text(scenario, encoding="utf-8")
    except OSError as error:
        refused = f"  scenario: {file} cannot be written: {error.strerror}; it is this:"
        return [refused, indent(scenario.rstrip(), "    ")]
    return [f"  scenario: {file}"]


def tell_sum(summary: Summary, setup: Setup, pace: Pace, note: str | None) -> None:
    """Print the sum to standard output, after a line on why there is no more of it."""
    if note is not None:
        click.echo(note)
    first, *others = sum_of(summary, setup)
    click.echo("\n".join([f"{first}, {pace.told(summary)}", *others]))


def sum_of(summary: Summary, setup: Setup) -> list[str]:
    """What was played, and what was seen in it; the digest comes last."""
    if summary.played == 0:
        played = "no seed"
    elif summary.played == 1:
        played = f"seed {summary.first}"
    else:
        played = f"{summary.played} seeds ({summary.first}..{summary.last})"
    store = "both stores" if setup.options.store == "both" else setup.options.store
    lines = [f"{played} on {store}: {alarms(len(summary.alarms))}, {summary.events} events"]
    if summary.alarms:
        shown = ", ".join(str(verdict.seed) for verdict in summary.alarms[:20])
        more = "" if len(summary.alarms) <= 20 else ", ..."
        lines.append(f"alarms of seeds {shown}{more}")
    if summary.marks:
        seen = ", ".join(f"{mark} {summary.marks[mark]}" for mark in sorted(summary.marks))
        lines.append(f"marks: {seen}")
    if summary.silent:
        lines.append(
            f"marks that must fire in so large a campaign, and did not: {', '.join(summary.silent)}"
        )
    lines.append(f"digest: {summary.digest}")
    return lines
