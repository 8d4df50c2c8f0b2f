"""Tells what a DSN says: whether it is one, where it leads, and the same for another database."""

import re
from urllib.parse import quote

URL = re.compile(r"postgres(?:ql)?://")
SHOWN = re.compile(r"\b(host|hostaddr|port|dbname|service)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)")


def is_dsn(text: str) -> bool:
    """Whether it has a DSN's shape: a URL that libpq takes, or `key=value` pairs."""
    if "://" in text.partition("?")[0]:
        return URL.match(text) is not None
    return re.match(r"\s*[a-z_]+\s*=", text) is not None


def with_database(dsn: str, database: str) -> str:
    """The same server, user and options, another database. A URL stays a URL."""
    if not URL.match(dsn):
        from psycopg.conninfo import make_conninfo

        return make_conninfo(dsn, dbname=database)
    head, _, query = dsn.partition("?")
    scheme, _, rest = head.partition("://")
    authority = rest.partition("/")[0]
    kept = [pair for pair in query.split("&") if pair and not pair.startswith("dbname=")]
    changed = f"{scheme}://{authority}/{quote(database, safe='')}"
    return f"{changed}?{'&'.join(kept)}" if kept else changed


def place(dsn: str) -> str:
    """Where it leads, for people to read: host, port and database, never user or password."""
    head, _, query = dsn.partition("?")
    if not URL.match(dsn):
        return " ".join(f"{key}={value}" for key, value in SHOWN.findall(dsn)) or "libpq's default"
    address = head.partition("://")[2].rpartition("@")[2]
    options = "&".join(f"{key}={value}" for key, value in SHOWN.findall(query))
    return f"{address}?{options}" if options else address or "libpq's default"
