"""How the server's results become rows: in binary, with instants in UTC.

This module imports psycopg, as do all that are needed only where there is a connection.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import DataError, pq
from psycopg.adapt import AdaptersMap, Loader, Transformer

from pgjobs.adapters.postgres.rows import FIRST_INSTANT, Row
from pgjobs.rules.schedule import LAST_INSTANT

_BINARY_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def rows_of(result: pq.abc.PGresult) -> list[Row]:
    """The rows of a result in binary format, with instants in UTC."""
    if not result.ntuples:
        return []
    transformer = _reader.plain
    try:
        return _loaded(transformer, result)
    except DataError:  # an instant that Python does not have, in a row made elsewhere
        return _loaded(Transformer(_CLIPPING), result)


def _loaded(transformer: Any, result: pq.abc.PGresult) -> list[Row]:
    transformer.set_pgresult(result)
    try:
        found: list[Row] = transformer.load_rows(0, result.ntuples, tuple)
        return found
    finally:
        transformer.set_pgresult(None)  # it is kept, and the result is not


class _Clipping(Loader):
    """Instants beyond what Python has, infinity among them, become the first or the last one."""

    format = pq.Format.BINARY

    def load(self, data: Any) -> datetime:
        micros = int.from_bytes(bytes(data), "big", signed=True)
        try:
            return _BINARY_EPOCH + timedelta(microseconds=micros)
        except OverflowError:
            return LAST_INSTANT if micros > 0 else FIRST_INSTANT


class _Context:
    """psycopg's loaders, with ``timestamp`` read as ``timestamptz``: in binary they are the same
    number, and a context without a connection reads it in UTC."""

    connection = None

    def __init__(self, *, clipping: bool) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)
        own = self.adapters.get_loader(self.adapters.types["timestamptz"].oid, pq.Format.BINARY)
        loader = _Clipping if clipping or own is None else own
        self.adapters.register_loader("timestamp", loader)
        if clipping:
            self.adapters.register_loader("timestamptz", loader)


_PLAIN, _CLIPPING = _Context(clipping=False), _Context(clipping=True)


class _Reader(threading.local):
    """Reads the rows of one thread: to find a loader for each column takes as long as to read a few rows."""

    def __init__(self) -> None:
        self.plain = Transformer(_PLAIN)


_reader = _Reader()
