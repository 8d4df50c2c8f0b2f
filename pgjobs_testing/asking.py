"""The client's programs as a test asks them: a name that nothing has is refused, where nothing was found.

A misspelt worker or queue would make ``assert jobs.count_jobs(worker=...) == 0`` pass unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pgjobs.client import Client, Program
from pgjobs.rules.job import Job


@dataclass(eq=False, slots=True)
class Asking(Client):
    """A client of a test; ``refuse`` is given the filters that nothing matched."""

    refuse: Callable[[Mapping[str, Any]], None]

    def find(
        self, limit: int | None, order_by: str, after: object, filters: Mapping[str, Any]
    ) -> Program[list[Job]]:
        found = yield from Client.find(self, limit, order_by, after, filters)
        if not found:
            self.refuse(filters)
        return found

    def count(self, by: str | None, filters: Mapping[str, Any]) -> Program[Any]:
        found = yield from Client.count(self, by, filters)
        if not (found if by is None else any(found.values())):
            self.refuse(filters)
        return found

    def cancel_all(self, filters: Mapping[str, Any]) -> Program[int]:
        return self._told((yield from Client.cancel_all(self, filters)), filters)

    def retry_all(self, filters: Mapping[str, Any]) -> Program[int]:
        return self._told((yield from Client.retry_all(self, filters)), filters)

    def delete_all(self, filters: Mapping[str, Any]) -> Program[int]:
        return self._told((yield from Client.delete_all(self, filters)), filters)

    def _told(self, count: int, filters: Mapping[str, Any]) -> int:
        if not count:
            self.refuse(filters)
        return count
