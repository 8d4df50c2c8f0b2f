"""What whoever watches a cluster is told of that no effect tells: of processes, and of orders for many."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol


class Witness(Protocol):
    """Sees what becomes of processes, by their names in the store."""

    def suspended(self, node: str, now: datetime) -> None:
        """One does nothing, until it is resumed."""
        ...

    def slowed(self, node: str) -> None:
        """Answers take a while to reach one."""
        ...

    def resumed(self, node: str, now: datetime) -> None:
        """One that was suspended goes on."""
        ...

    def stopping(self, node: str, grace: timedelta, now: datetime) -> None:
        """One is told to stop."""
        ...

    def stopped(self, node: str, now: datetime) -> None:
        """The stop of one has ended, and it goes."""
        ...

    def gone(self, node: str) -> None:
        """One has crashed or stopped."""
        ...

    def joined(
        self, node: str, now: datetime, queues: Collection[str] | None, before: str | None = None
    ) -> None:
        """One starts, in the place of ``before``. It serves these queues alone; None: all of them."""
        ...

    def ordered(self, event: str, filters: Mapping[str, Any]) -> None:
        """A client is about to cancel, retry or delete all that filters mean, and nobody acts meanwhile."""
        ...

    def carried_out(self, count: int, now: datetime) -> None:
        """It was told that so many were changed."""
        ...
