"""The accounts: a table in SQLite, so that the web process and the workers see the same rows."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

TABLE = """
CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL,
    tz TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'new',
    avatar INTEGER NOT NULL DEFAULT 0
)
"""


@dataclass(frozen=True)
class Account:
    """``status`` is ``new``, ``confirmed`` or ``closed``; ``avatar`` is its size in bytes."""

    id: int
    email: str
    tz: str
    status: str
    avatar: int


def create(email: str, tz: str) -> int:
    with _connection() as db:
        row = db.execute("INSERT INTO accounts (email, tz) VALUES (?, ?)", (email, tz))
        assert row.lastrowid is not None
        return row.lastrowid


def get(account_id: int) -> Account:
    with _connection() as db:
        found = db.execute(
            "SELECT id, email, tz, status, avatar FROM accounts WHERE id = ?", (account_id,)
        ).fetchone()
    if found is None:
        raise LookupError(f"no account {account_id}")
    return Account(*found)


def set_status(account_id: int, status: str) -> None:
    with _connection() as db:
        db.execute("UPDATE accounts SET status = ? WHERE id = ?", (status, account_id))


def set_avatar(account_id: int, size: int) -> None:
    with _connection() as db:
        db.execute("UPDATE accounts SET avatar = ? WHERE id = ?", (size, account_id))


@contextmanager
def _connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(os.environ.get("SIGNUP_ACCOUNTS", "signup.sqlite"))) as db, db:
        db.execute(TABLE)
        yield db
