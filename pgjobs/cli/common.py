"""What the commands share: which database, which errors become one line, and how rows are shown."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from pgjobs import guard
from pgjobs.app import DSN_VARIABLE, PgJobs
from pgjobs.cli.importing import instance
from pgjobs.rules.errors import ConfigurationError, InvalidJobError, PgJobsError
from pgjobs.telemetry_log import printable

F = TypeVar("F", bound=Callable[..., Any])

CANNOT = 2
"""Exit code for what can never work as it was asked for: click's own for usage errors."""


class Refused(click.ClickException):
    """One line for what can never work as it was asked for."""

    exit_code = CANNOT


class Seconds(click.FloatRange):
    """A finite number of seconds, within the bounds given."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):  # nan is within any bounds
            self.fail(f"a number of seconds is taken, not {seconds}", param, ctx)
        return seconds


def takes_database(command: F) -> F:
    """The options ``--dsn`` and ``--schema``."""
    schema = click.option("--schema", metavar="NAME", help="The schema of the tables.  [public]")
    dsn = click.option(
        "--dsn",
        envvar=DSN_VARIABLE,
        metavar="DSN",
        help=f"The database; by default the environment's {DSN_VARIABLE}.",
    )
    return dsn(schema(command))


def takes_app(command: F) -> F:
    """The option ``--app``."""
    return click.option(
        "--app",
        metavar="MODULE:JOBS",
        help="The PgJobs whose database and configured queues count.",
    )(command)


def takes_json(command: F) -> F:
    """The flag ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        command
    )


@contextmanager
def opened(dsn: str | None, schema: str | None, app: str | None = None) -> Iterator[PgJobs]:
    """The instance for one command, closed after it; errors of pgjobs become one line.

    Without ``app`` it is a client of the database that ``dsn`` names. With ``app`` it is that
    instance, or for a ``--dsn`` of the command line one with its queues.
    """
    with in_one_line():
        jobs = _client(dsn, schema) if app is None else _application(app, dsn, schema)
        try:
            yield jobs
        finally:
            jobs.store.close()


@contextmanager
def in_one_line() -> Iterator[None]:
    """Errors of pgjobs end the command with one line on standard error."""
    try:
        yield
    except PgJobsError as error:
        kind = (
            Refused
            if isinstance(error, ConfigurationError | InvalidJobError)
            else click.ClickException
        )
        raise kind(" ".join(printable(part) for part in str(error).split())) from error


def dsn_of(dsn: str | None) -> str:
    """The DSN that was given; a usage error when there is none."""
    if not dsn:
        guard.check_unnamed()
        raise click.UsageError(f"name the database: --dsn postgresql://..., or set {DSN_VARIABLE}")
    return dsn


def echo_json(value: Any) -> None:
    """One JSON document, in ASCII, so that no terminal's encoding changes it."""
    click.echo(json.dumps(value, indent=2, default=_json_value))


def table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], right: Collection[str] = ()
) -> str:
    """Aligned columns, those named in ``right`` to the right; an empty cell shows as "-"."""
    shown = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(headers, *shown, strict=True)]
    lines = []
    for cells in (headers, *shown):
        padded = []
        for header, cell, width in zip(headers, cells, widths, strict=True):
            space = " " * (width - _width(cell))
            padded.append(space + cell if header in right else cell + space)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def shortened(text: str, length: int) -> str:
    """The text, cut to ``length`` characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def compact(value: Any) -> str:
    """A JSON value in one line, for people."""
    return json.dumps(value, ensure_ascii=False, default=_json_value)


def shown_instant(at: datetime | None) -> str | None:
    """An instant in UTC, to the second."""
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


def counted(number: int, noun: str) -> str:
    """``"1 job"``, ``"2 jobs"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _client(dsn: str | None, schema: str | None) -> PgJobs:
    from pgjobs.adapters.postgres.store import PostgresStore

    store = PostgresStore(dsn_of(dsn), schema="public" if schema is None else schema, pool_size=1)
    return PgJobs(name="pgjobs-cli", store=store, queues=False)


def _application(app: str, dsn: str | None, schema: str | None) -> PgJobs:
    from pgjobs.adapters.postgres.store import PostgresStore

    jobs = instance(app)
    source = click.get_current_context().get_parameter_source("dsn")
    if source is not ParameterSource.COMMANDLINE:
        if schema is not None and schema != jobs.schema:
            raise click.UsageError(f"{app} has the schema {jobs.schema!r}: give --dsn as well")
        return jobs
    store = PostgresStore(
        dsn_of(dsn), schema=jobs.schema if schema is None else schema, pool_size=1
    )
    return PgJobs(name="pgjobs-cli", store=store, queues=jobs.queues, workers=jobs.workers)


def _json_value(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else printable(str(value))


def _width(text: str) -> int:
    """Columns of a terminal that the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
