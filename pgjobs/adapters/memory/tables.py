"""What a memory store holds: the tables that the Postgres store has, as Python values."""

from __future__ import annotations

from datetime import datetime

from pgjobs.adapters.memory.held import Held
from pgjobs.adapters.memory.rows import Rows
from pgjobs.leading import Heartbeat, Lease
from pgjobs.rules.control import Control
from pgjobs.rules.ratelimit import Window


class Tables:
    """Jobs, what was set by hand for a queue and what its rate limit remembers, heartbeats, leases, and
    the watermarks of cron entries; and which places of unique jobs open transactions hold."""

    def __init__(self, first_id: int) -> None:
        self.jobs = Rows(first_id)
        self.held = Held()
        self.controls: dict[str, Control] = {}
        self.windows: dict[str, Window] = {}
        self.nodes: dict[str, Heartbeat] = {}
        self.leases: dict[str, Lease] = {}
        self.ticks: dict[str, datetime] = {}
