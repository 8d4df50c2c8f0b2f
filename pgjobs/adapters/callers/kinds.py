"""What a caller gave as ``connection``: of which library it is, and whether it belongs to an event loop.

A library that was never imported cannot have made the object, so it is looked for among the modules
that are loaded, and nothing is imported here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum

from pgjobs.rules.errors import ConfigurationError


class Library(Enum):
    """Who made a connection, and so how it is spoken to."""

    PSYCOPG = "psycopg"
    SQLALCHEMY = "SQLAlchemy"
    DJANGO = "Django"


@dataclass(frozen=True, slots=True)
class Kind:
    """A class that is accepted. ``awaits``: its methods are coroutines."""

    library: Library
    module: str
    name: str
    awaits: bool

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    def made(self, given: object) -> bool:
        """Whether ``given`` is one of these."""
        found = getattr(sys.modules.get(self.module), self.name, None)
        return isinstance(found, type) and isinstance(given, found)


KINDS = (
    Kind(Library.PSYCOPG, "psycopg", "Connection", awaits=False),
    Kind(Library.PSYCOPG, "psycopg", "AsyncConnection", awaits=True),
    Kind(Library.SQLALCHEMY, "sqlalchemy.engine", "Connection", awaits=False),
    Kind(Library.SQLALCHEMY, "sqlalchemy.orm", "Session", awaits=False),
    Kind(Library.SQLALCHEMY, "sqlalchemy.orm", "scoped_session", awaits=False),
    Kind(Library.SQLALCHEMY, "sqlalchemy.ext.asyncio", "AsyncConnection", awaits=True),
    Kind(Library.SQLALCHEMY, "sqlalchemy.ext.asyncio", "AsyncSession", awaits=True),
    Kind(Library.SQLALCHEMY, "sqlalchemy.ext.asyncio", "async_scoped_session", awaits=True),
    Kind(Library.DJANGO, "django.db.backends.base.base", "BaseDatabaseWrapper", awaits=False),
    Kind(Library.DJANGO, "django.utils.connection", "ConnectionProxy", awaits=False),
)

ACCEPTED = (
    "a Connection of psycopg 3, a Connection or Session of SQLAlchemy 2, or django.db.connection; "
    "for an _async call an AsyncConnection or AsyncSession"
)


class OtherServerError(ConfigurationError):
    """A connection to a database that is no PostgreSQL, or over a driver that is not known."""


def kind_of(given: object) -> Kind | None:
    """The kind of ``given``; None for what is none of ours."""
    return next((kind for kind in KINDS if kind.made(given)), None)


def checked(given: object, *, awaits: bool) -> Kind:
    """The kind of ``given``; ``ConfigurationError`` where this call cannot use it."""
    kind = kind_of(given)
    if kind is None:
        found = type(given)
        raise ConfigurationError(
            f"connection takes {ACCEPTED}; not a {found.__module__}.{found.__qualname__}"
        )
    if kind.awaits and not awaits:
        raise ConfigurationError(
            f"this call is synchronous and cannot await a {kind}: await its _async twin, or give a "
            "synchronous connection"
        )
    if awaits and not kind.awaits:
        raise ConfigurationError(
            f"an _async call takes an asynchronous connection, and a {kind} would block the event "
            "loop: call the synchronous twin where that connection is used"
        )
    return kind


def closed(kind: Kind) -> ConfigurationError:
    """The refusal of a connection that is not open."""
    return ConfigurationError(
        f"the {kind} given as connection is not open: give the open connection whose transaction "
        "the job is to be part of"
    )
