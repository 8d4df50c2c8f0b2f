"""How Django's connection tells of the end of a transaction: its own methods, watched meanwhile.

Django has no signal for a rollback, but goes through a few public methods of the connection for
everything that it does to a transaction. They are put back at its end. A block of a ``TestCase`` (or of
pytest-django) never commits: what is done directly within one counts as committed at once.
"""

from __future__ import annotations

from typing import Any

from pgjobs.adapters.callers.transaction import Transaction

WATCHED = ("savepoint", "savepoint_commit", "savepoint_rollback", "commit", "rollback", "close")


def follow(given: Any) -> Transaction | None:
    from django.db import connections

    connection = connections[given.alias]  # what a ConnectionProxy stands for, in this thread
    if not connection.in_atomic_block and connection.get_autocommit():
        return None
    found: _Watched | None = vars(connection).get("_pgjobs_transaction")
    if found is None:
        found = _Watched(connection)
    found.expect_commit()
    return found


class _Watched(Transaction):
    """The transaction of one connection of Django's."""

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection
        vars(connection)["_pgjobs_transaction"] = self
        for name in WATCHED:
            vars(connection)[name] = getattr(self, f"_{name}")

    def add(self, part: Any) -> None:
        super().add(part)
        if self._only_of_tests():
            self.tell(with_open=True)

    def expect_commit(self) -> None:
        """Be told when the hooks of a commit run, with the connection ready for use again."""
        if self._connection.in_atomic_block:
            self._connection.on_commit(self.tell)

    def _only_of_tests(self) -> bool:
        blocks = self._connection.atomic_blocks
        return bool(blocks) and all(getattr(block, "_from_testcase", False) for block in blocks)

    def _of_django(self, name: str, *given: Any) -> Any:
        return getattr(type(self._connection), name)(self._connection, *given)

    def _savepoint(self) -> Any:
        sid = self._of_django("savepoint")
        self.savepoint(sid)
        return sid

    def _savepoint_commit(self, sid: Any) -> None:
        self._of_django("savepoint_commit", sid)
        self.release(sid)
        if self._only_of_tests():
            self.tell(with_open=True)

    def _savepoint_rollback(self, sid: Any) -> None:
        self._of_django("savepoint_rollback", sid)
        self.back_to(sid)

    def _commit(self) -> None:
        by_hand = not self._connection.run_on_commit
        self._of_django("commit")
        self._leave()
        self.commit()
        if by_hand:
            self.tell()

    def _rollback(self) -> None:
        try:
            self._of_django("rollback")
        finally:
            self._end()

    def _close(self) -> None:
        self._of_django("close")
        connection = self._connection
        if connection.closed_in_transaction or connection.connection is None:
            self._end()  # SQLite's in memory is not closed

    def _end(self) -> None:
        self._leave()
        self.rollback()

    def _leave(self) -> None:
        own = vars(self._connection)
        if own.pop("_pgjobs_transaction", None) is self:
            for name in WATCHED:
                del own[name]
