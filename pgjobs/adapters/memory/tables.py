"""What a memory store holds: the tables that the Postgres store has, as Python values."""

from __future__ import annotations

from pgjobs.adapters.memory.rows import Rows
from pgjobs.rules.control import Control


class Tables:
    """The jobs, and what was set by hand for a queue."""

    def __init__(self, first_id: int) -> None:
        self.jobs = Rows(first_id)
        self.controls: dict[str, Control] = {}
