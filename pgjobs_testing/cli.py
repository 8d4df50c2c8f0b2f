"""``pgjobs-testing``: replays scenario files, records them from production, writes their JSON Schema, and
plays simulated worlds.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pgjobs_testing.settings import MOST_SEED
from pgjobs_testing.simulation.simulate import refuse_idle_server, simulate

if TYPE_CHECKING:
    from pgjobs_testing.pictures import Chapter
    from pgjobs_testing.scenarios.files import Played, Stores
    from pgjobs_testing.scenarios.progress import Show
    from pgjobs_testing.scenarios.real import Imports

HELD, FAILED, UNREADABLE = 0, 1, 2

BROKEN_OFF = 130
"""Exit status after a Ctrl-C, as shells have it: 1 would say that something was found."""


class Commands(click.Group):
    """Commands that a Ctrl-C breaks off, where they do not end by themselves then."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(BROKEN_OFF)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgjobs")
def main() -> None:
    """Scenarios of pgjobs, replayed on virtual time, and worlds that are drawn by seeds."""


main.add_command(simulate)


@main.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@click.option(
    "--store",
    type=click.Choice(["both", "memory", "postgres"]),
    default="both",
    show_default=True,
    help="Where to play; both are compared, event by event.",
)
@click.option(
    "--postgres",
    default="embedded",
    show_default=True,
    metavar="auto|embedded|testcontainers|DSN",
    help="The PostgreSQL to play on, as the plugin's --pgjobs-postgres. On a DSN's server a "
    "database of its own is made, and dropped.",
)
@click.option("--image", metavar="IMAGE", help="The image for testcontainers.")
@click.option("--record", is_flag=True, help="Write the trace into each file that holds.")
@click.option(
    "--seed", type=click.IntRange(0, MOST_SEED), metavar="N", help="In place of each file's seed."
)
@click.option(
    "--allow-imports",
    is_flag=True,
    help="Import the real workers that files name by `use`, from the working directory or the path. "
    "This runs their code.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with every timeline, also of what failed.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say only what did not hold.")
@click.option("-v", "--verbose", is_flag=True, help="Print each trace.")
def replay(
    paths: tuple[Path, ...],
    store: str,
    postgres: str,
    image: str | None,
    record: bool,
    seed: int | None,
    allow_imports: bool,
    html: Path | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Replay scenario files, and every *.yaml and *.yml below directories.

    Exit status: 0 all held, 1 an expectation or a comparison of the stores failed, 2 a file could
    not be read or written, or no PostgreSQL be had.
    """
    if quiet and verbose:
        raise click.UsageError("give -q or -v, not both")
    if record and seed is not None:
        raise click.UsageError("--record writes the trace of the file's own seed: leave --seed out")
    refuse_idle_server(store)
    from pgjobs_testing.scenarios import files
    from pgjobs_testing.scenarios.pages import written
    from pgjobs_testing.scenarios.progress import progress
    from pgjobs_testing.servers import ServerError

    try:
        chosen = list(dict.fromkeys(files.found(paths)))
        with (
            _imports(allow_imports) as imports,
            written(html) as chapters,
            _stores(store, postgres, image) as stores,
        ):
            show = partial(progress, len(chosen), shown=not quiet, outlasting=html is not None)
            status = _play_all(
                chosen, stores, imports, record, seed, chapters, show, quiet, verbose
            )
        sys.exit(status)
    except (FileNotFoundError, ServerError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(UNREADABLE)


@main.command()
@click.argument("dsn", required=False, envvar="PGJOBS_DSN")
@click.option("--job", type=int, required=True, metavar="ID", help="The job that it is about.")
@click.option(
    "--around",
    default="10m",
    show_default=True,
    metavar="DURATION",
    help="Neighbours are told that lived so long before or after it.",
)
@click.option("--schema", default="public", show_default=True, help="The schema of the tables.")
@click.option(
    "--redact", is_flag=True, help="Put placeholders for what args, meta and errors hold."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write, instead of printing it.",
)
def record(
    dsn: str | None, job: int, around: str, schema: str, redact: bool, output: Path | None
) -> None:
    """Write a scenario from production: what happened to a job and its neighbours.

    DSN is the database, by default that of the environment's PGJOBS_DSN. It is read in a read-only
    transaction, without locks. Neighbours are jobs of the same queue or uniqueness group. What their rows
    do not know is chosen, and named in the file's first lines. Exit status: 0 written, 1 no such job, table
    or connection, 2 it cannot be as asked.
    """
    from pgjobs.cli.common import in_one_line
    from pgjobs_testing.scenarios.record import recorded
    from pgjobs_testing.scenarios.times import A_DURATION, span

    if not dsn:
        raise click.UsageError("name the database: give its DSN, or set PGJOBS_DSN")
    near = span(around)
    if near is None:
        raise click.BadParameter(f"found {around!r}; accepted: {A_DURATION}", param_hint="--around")
    with in_one_line():
        text = recorded(dsn, job, around=near, schema=schema, redact=redact)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)


@main.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def schema(file: Path | None) -> None:
    """Write the JSON Schema (draft-07) of scenario files to FILE, or print it.

    It also ships in the package, as pgjobs_testing/scenarios/scenario.schema.json.
    """
    from pgjobs_testing.scenarios.schema import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if file is None:
        click.echo(text, nl=False)
    else:
        _write(file, text)


def _write(file: Path, text: str) -> None:
    from pgjobs.cli.common import Refused

    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from None


def _play_all(
    paths: list[Path],
    stores: Stores,
    imports: Imports,
    record: bool,
    seed: int | None,
    chapters: list[Chapter],
    showing: Callable[[], AbstractContextManager[Show]],
    quiet: bool,
    verbose: bool,
) -> int:
    """Play the files in turn, telling of each as it ends; return the exit status."""
    from pgjobs_testing.scenarios import files
    from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
    from pgjobs_testing.scenarios.pages import chapter, unread

    logging.getLogger("pgjobs").addHandler(logging.NullHandler())  # the timeline tells all
    held = failed = unreadable = 0
    with showing() as show:
        for number, path in enumerate(paths):
            told = partial(show.at, number, str(path))
            try:
                played = files.play(
                    path, stores, seed=seed, recording=record, progress=told, imports=imports
                )
            except InvalidScenarioError as error:
                unreadable += 1
                chapters.append(unread(path, str(error)))
                show.say(str(error), error=True)
                continue
            held, failed = held + played.held, failed + (not played.held)
            chapters.append(chapter(played))
            _tell(played, show, quiet, verbose)
    if not quiet:
        from pgjobs_testing.telling import counted

        counts = f"{held} held, {failed} failed, {unreadable} could not be read"
        click.echo(f"{counted(len(paths), 'scenario')} on {' and '.join(stores)}: {counts}")
    return UNREADABLE if unreadable else FAILED if failed else HELD


def _tell(played: Played, show: Show, quiet: bool, verbose: bool) -> None:
    if not quiet:
        show.say(played.summary())
    if verbose:
        show.say(played.replays[0].trace.text())
    if not played.held:
        show.say(played.problems(), error=True)


@contextmanager
def _imports(allow: bool) -> Iterator[Imports]:
    """What files may import; while they may, no real database opens."""
    from pgjobs_testing.scenarios import real

    if allow:
        with real.allowed() as imports:
            yield imports
    else:
        yield real.Imports()


@contextmanager
def _stores(store: str, postgres: str, image: str | None) -> Iterator[Stores]:
    """The stores by name; one server serves all files, and is stopped at the end."""
    from pgjobs_testing.stores import MemorySource, PostgresSource

    stores: Stores = {}
    if store != "postgres":
        memory = MemorySource()
        stores["memory"] = lambda: memory.store(0)
    if store == "memory":
        yield stores
        return
    from pgjobs_testing.servers import choose
    from pgjobs_testing.servers.supply import OwnServer

    chosen = choose(postgres, image, os.environ, prefix="--")
    source = PostgresSource(OwnServer(lambda: chosen))
    try:
        stores["postgres"] = lambda: source.store(0)
        yield stores
    finally:
        source.close()


if __name__ == "__main__":
    main()
