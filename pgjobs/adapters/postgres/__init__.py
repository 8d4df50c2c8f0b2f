"""The store in PostgreSQL. psycopg is imported when the first connection is opened, not before."""

from pgjobs.adapters.postgres.migrations import migrate, migration_sql
from pgjobs.adapters.postgres.store import PostgresStore

__all__ = ["PostgresStore", "migrate", "migration_sql"]
