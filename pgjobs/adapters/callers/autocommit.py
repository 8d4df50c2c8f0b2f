"""A transaction for several statements on a connection that has none, begun and ended in SQL.

SQLAlchemy and Django offer no block for it: in autocommit the one has only savepoints, which need a
transaction, and the other looks its connection up by an alias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


def in_transaction(driver: Any) -> bool:
    """Whether the server has a transaction open, by what the driver's connection knows of it."""
    asked = getattr(driver, "is_in_transaction", None)  # asyncpg
    return bool(driver.info.transaction_status if asked is None else asked())


@contextmanager
def begun(execute: Callable[[str], object]) -> Iterator[None]:
    """Commit what the block does; roll it back when it raises."""
    execute("BEGIN")
    try:
        yield
    except BaseException:
        with suppress(Exception):  # a connection that was lost has rolled back already
            execute("ROLLBACK")
        raise
    execute("COMMIT")
