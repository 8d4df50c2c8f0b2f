"""What the command shows while it plays: a live line on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Show(Protocol):
    """Where a command's words go."""

    def at(self, number: int, file: str, events: int) -> None:
        """File ``number`` is being played, and ``events`` have happened in it."""
        ...

    def say(self, text: str, *, error: bool = False) -> None:
        """Print text that stays."""
        ...


@contextmanager
def progress(total: int, *, shown: bool, outlasting: bool = False) -> Iterator[Show]:
    """The show for ``total`` files; live only on a terminal, and where it is to be shown.

    ``outlasting``: where nobody reads it any more, the block goes on in silence; ``BrokenPipeError`` comes
    when it ends.
    """
    with _show(total, shown) as show:
        heard = Outlasting(show)
        yield heard if outlasting else show
    if heard.broken is not None:
        raise heard.broken


@contextmanager
def _show(total: int, shown: bool) -> Iterator[Show]:
    if not shown or not sys.stderr.isatty():
        yield Plain()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as live:
        yield Live(live, live.add_task("", total=total))


class Plain:
    """Lines alone: each file's line says that it is done."""

    def at(self, number: int, file: str, events: int) -> None:
        """Nothing is shown of what is under way."""

    def say(self, text: str, *, error: bool = False) -> None:
        click.echo(text, err=error)


class Outlasting:
    """Another show, as long as somebody reads it. ``broken`` says that nobody does any more."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self.broken: BrokenPipeError | None = None

    def at(self, number: int, file: str, events: int) -> None:
        if self.broken is None:
            self._show.at(number, file, events)

    def say(self, text: str, *, error: bool = False) -> None:
        if self.broken is None:
            try:
                self._show.say(text, error=error)
            except BrokenPipeError as broken:
                self.broken = broken


class Live:
    """One line on the terminal that changes."""

    def __init__(self, live: Progress, task: TaskID) -> None:
        self._live, self._task = live, task

    def at(self, number: int, file: str, events: int) -> None:
        self._live.update(self._task, completed=number, description=f"{file}, {events} events")

    def say(self, text: str, *, error: bool = False) -> None:
        self._live.stop()
        click.echo(text, err=error)
        self._live.start()
