"""The connection of SQLAlchemy that a caller's session, scoped session or asynchronous wrapper stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs.adapters.callers.kinds import Kind, closed
from pgjobs.rules.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session


def async_connection(kind: Kind, given: Any) -> Any:
    """An asynchronous connection or session whose ``run_sync`` gives the one below."""
    from sqlalchemy.ext.asyncio import AsyncConnection, async_scoped_session

    if isinstance(given, async_scoped_session):
        given = given()
    if isinstance(given, AsyncConnection) and (given.sync_connection is None or given.closed):
        raise closed(kind)
    return given


def connection_of(kind: Kind, given: Connection | Session) -> Connection:
    """The connection that is given, or that a session has, of whatever database."""
    from sqlalchemy.engine import Connection
    from sqlalchemy.exc import UnboundExecutionError

    if isinstance(given, Connection):
        if given.closed:
            raise closed(kind)
        return given
    try:
        return given.connection()
    except UnboundExecutionError as error:
        raise ConfigurationError(
            "the session has several engines, or none, and does not say which the job goes to: "
            'give session.connection(bind_arguments={"bind": engine})'
        ) from error
