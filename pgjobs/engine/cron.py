"""How cron entries insert their jobs, each tagged with the tick that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from pgjobs.engine.led import LedPorts
from pgjobs.engine.ticker import Entry, Ticker
from pgjobs.plugins import Cron, CronEntry
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.jsonb import merged
from pgjobs.rules.lifecycle import iso

REMEDY = (
    "Cron(catch_up=...) of more than the longest outage or deployment lets it reach further back"
)


def cron(ports: LedPorts, name: str, plugins: Sequence[Cron]) -> Ticker:
    """The duty that inserts; ``meta`` of its jobs has ``cron``, ``cron_expr``, ``cron_tz``, ``cron_at``."""

    def inserting(line: CronEntry) -> Entry:
        def jobs(at: datetime) -> tuple[NewJob, ...]:
            mine = {
                "cron": True,
                "cron_expr": str(line.crontab),
                "cron_tz": str(line.zone),
                "cron_at": iso(at),
            }
            return (replace(line.what, meta=merged(line.what.meta, mine)),)

        def fired(_at: datetime, inserted: list[Job], _now: datetime) -> None:
            for job in inserted:
                ports.report.inserted(job)

        return Entry(
            f"{name}:{line.key}",
            f"the cron entry {str(line.crontab)!r} ({line.zone}) of {line.what.worker}",
            REMEDY,
            line.crontab,
            line.zone,
            jobs,
            fired,
            catch_up=line.catch_up,
        )

    return Ticker(ports, [inserting(line) for plugin in plugins for line in plugin.entries])
