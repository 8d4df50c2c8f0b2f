"""``pgjobs``: the shell commands that migrate a database and run a node."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading

import click

from pgjobs.app import DSN_VARIABLE, PgJobs
from pgjobs.rules.errors import PgJobsError, nearest

NOT_STOPPED = 70
"""Exit code when a job did not end within two graces: its node is gone, and rescue will find it."""


LEFT = "what still runs stays executing until it is rescued, or cancelled"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgjobs")
def main() -> None:
    """A PostgreSQL-backed job queue."""


@main.command()
@click.option(
    "--dsn", envvar=DSN_VARIABLE, help=f"The database; by default the environment's {DSN_VARIABLE}."
)
@click.option("--schema", default="public", show_default=True, help="The schema of the tables.")
@click.option("--sql", is_flag=True, help="Print the SQL instead of running it.")
def migrate(dsn: str | None, schema: str, sql: bool) -> None:
    """Make or bring up to date the tables. Safe to run again, and from two processes at once."""
    from pgjobs.adapters.postgres.migrations import migration_sql
    from pgjobs.adapters.postgres.store import PostgresStore

    if sql:
        click.echo(migration_sql(schema))
        return
    if not dsn:
        raise click.UsageError(f"name the database: --dsn postgresql://..., or set {DSN_VARIABLE}")
    store = PostgresStore(dsn, schema=schema)
    try:
        applied = store.migrate()
    except PgJobsError as error:
        raise click.ClickException(str(error)) from error
    finally:
        store.close()
    for version in applied:
        click.echo(f"applied migration {version}")
    click.echo(f"schema {schema} is up to date")


@main.command()
@click.argument("target", metavar="MODULE:JOBS")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="Seconds that running jobs get after SIGTERM or Ctrl-C.",
)
@click.option("--log-level", default="INFO", show_default=True, help="The level of the log.")
def run(target: str, grace: float, log_level: str) -> None:
    """Serve the queues of MODULE:JOBS, a PgJobs, until SIGTERM or Ctrl-C.

    A job that has not ended after the grace is stopped and given back. A thread cannot be stopped:
    after a second grace the process exits with code 70, and the job stays executing until it is
    rescued, or cancelled. A second signal does that at once.
    """
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None:
        known = logging.getLevelNamesMapping()
        raise click.UsageError(f"unknown level {log_level!r}{nearest(log_level.upper(), known)}")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    jobs = _find(target)
    stopping = threading.Event()

    def stop(*_: object) -> None:
        if stopping.is_set():
            click.echo(f"stopped by a second signal; {LEFT}", err=True)
            os._exit(NOT_STOPPED)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        jobs.start()
    except PgJobsError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"serving {', '.join(jobs.queues)} (Ctrl-C stops, with a grace of {grace:g} s)")
    stopping.wait()
    click.echo("stopping")
    ending = threading.Thread(target=jobs.stop, args=(grace,), daemon=True)
    ending.start()
    ending.join(2 * grace + 1)
    if ending.is_alive():
        click.echo(f"a job did not end in time; {LEFT}", err=True)
        os._exit(NOT_STOPPED)
    click.echo("stopped")


def _find(target: str) -> PgJobs:
    """The instance that ``module:attribute`` names."""
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise click.UsageError(
            f"name a module and its PgJobs, as in shop.queue:jobs, not {target!r}"
        )
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise click.UsageError(f"the module {module_name!r} cannot be imported: {error}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, PgJobs):
        known = [name for name, value in vars(module).items() if isinstance(value, PgJobs)]
        hint = f"; it has {', '.join(sorted(known))}" if known else "; it has none"
        raise click.UsageError(f"{attribute!r} of {module_name} is no PgJobs{hint}")
    return found


if __name__ == "__main__":
    main()
