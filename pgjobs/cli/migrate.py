"""``pgjobs migrate``: make the tables, or bring them up to date."""

from __future__ import annotations

import click

from pgjobs.cli.common import dsn_of, in_one_line, takes_database


@click.command()
@takes_database
@click.option("--sql", is_flag=True, help="Print the SQL instead of running it.")
def migrate(dsn: str | None, schema: str | None, sql: bool) -> None:
    """Make or bring up to date the tables. Safe to run again, and from two processes at once."""
    from pgjobs.adapters.postgres.migrations import migration_sql
    from pgjobs.adapters.postgres.store import PostgresStore

    schema = "public" if schema is None else schema
    with in_one_line():
        if sql:
            click.echo(migration_sql(schema))
            return
        store = PostgresStore(dsn_of(dsn), schema=schema)
        try:
            applied = store.migrate()
        finally:
            store.close()
    for version in applied:
        click.echo(f"applied migration {version}")
    click.echo(f"schema {schema} is up to date")
