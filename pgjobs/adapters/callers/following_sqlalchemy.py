"""How SQLAlchemy tells of the end of a transaction: the events of the connection below a session.

So a session that joins an outer transaction is followed too. There, as in many a test's fixture, its
commit ends a savepoint alone: the work then counts as committed, and the outer rollback undoes it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from pgjobs.adapters.callers.kinds import Kind
from pgjobs.adapters.callers.sqlalchemy_connections import async_connection, connection_of
from pgjobs.adapters.callers.transaction import Transaction

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

_followed: weakref.WeakKeyDictionary[Connection, _Followed] = weakref.WeakKeyDictionary()
_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


class _Followed(Transaction):
    """``through_session``: the end is told when the session is ready for use again."""

    through_session = False


def follow(kind: Kind, given: Any) -> Transaction | None:
    from sqlalchemy.orm import Session, scoped_session

    connection = connection_of(kind, given)
    if _in_autocommit(connection):
        return None
    if not connection.in_transaction():
        connection.begin()  # as the first statement would
    found = _followed.get(connection)
    if found is None:
        found = _followed[connection] = _Followed()
        _listen(connection, found)
    session = given() if isinstance(given, scoped_session) else given
    if isinstance(session, Session):
        found.through_session = True
        if session not in _sessions:
            _sessions.add(session)
            _listen_to_session(session)
    return found


async def follow_async(kind: Kind, given: Any) -> Transaction | None:
    opened = async_connection(kind, given)
    found: Transaction | None = await opened.run_sync(lambda inner: follow(kind, inner))
    return found


def _listen(connection: Connection, transaction: _Followed) -> None:
    from sqlalchemy import event

    event.listen(connection, "rollback", lambda _: transaction.rollback())
    event.listen(connection, "rollback_twophase", lambda *_: transaction.rollback())
    event.listen(connection, "rollback_savepoint", lambda _, name, __: transaction.back_to(name))
    event.listen(connection, "release_savepoint", lambda _, name, __: transaction.release(name))
    # The event of a commit comes before it, and a commit may fail; that of a savepoint has no name.
    ref = weakref.ref(connection)
    for name in ("_commit_impl", "_commit_twophase_impl"):
        vars(connection)[name] = _committing(ref, name, transaction)
    vars(connection)["_savepoint_impl"] = _beginning_savepoint(ref, transaction)


def _committing(ref: Any, name: str, transaction: _Followed) -> Any:
    def commit(*given: Any) -> None:
        connection = ref()
        try:
            getattr(type(connection), name)(connection, *given)
        except BaseException:
            transaction.rollback()
            raise
        transaction.commit()
        if not transaction.through_session:
            transaction.tell()

    return commit


def _beginning_savepoint(ref: Any, transaction: _Followed) -> Any:
    def begin(*given: Any) -> Any:
        connection = ref()
        name = type(connection)._savepoint_impl(connection, *given)
        transaction.savepoint(name)
        return name

    return begin


def _listen_to_session(session: Session) -> None:
    from sqlalchemy import event

    committed: list[_Followed] = []

    def after_commit(session: Session) -> None:
        if session.in_nested_transaction():
            return
        transaction = session.get_transaction()
        connections = [] if transaction is None else [each[0] for each in _below(transaction)]
        committed.extend(_followed[each] for each in connections if each in _followed)

    def after_transaction_end(_: Session, transaction: Any) -> None:
        if transaction.parent is None:
            ended = committed[:]
            committed.clear()
            for each in ended:
                each.tell(with_open=True)
                each.through_session = False

    event.listen(session, "after_commit", after_commit)
    event.listen(session, "after_transaction_end", after_transaction_end)


def _below(transaction: Any) -> list[Any]:
    """The connections of a session's transaction, which it has twice: by engine and by itself."""
    return list({id(each[0]): each for each in transaction._connections.values()}.values())


def _in_autocommit(connection: Connection) -> bool:
    chosen = connection.get_execution_options().get("isolation_level")
    if chosen is None:
        chosen = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return str(chosen).upper() == "AUTOCOMMIT"
