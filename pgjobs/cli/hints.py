"""What is said of a name that no job has: it is likely misspelt, so the nearest known one comes with it.

A hint is a line on standard error, and changes neither what the command does nor how it exits. The table is
read for names only where one has no job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import click

from pgjobs.app import PgJobs
from pgjobs.rules.errors import closest

SAID = {"queue": "no job is in the queue {!r}", "worker": "no job is of the worker {!r}"}


def hint(
    client: PgJobs, column: str, names: Iterable[str], *, also: Collection[str] = (), tail: str = ""
) -> None:
    """Say which of ``names`` no job has in ``column`` ("queue" or "worker").

    ``also`` are names that are known otherwise; ``tail`` follows what is said of the jobs.
    """
    asked: list[dict[str, Any]] = [{column: name} for name in dict.fromkeys(names)]
    unheard = [each[column] for each in asked if not client.all_jobs(limit=1, **each)]
    if not unheard:
        return
    known = {*client.count_jobs(by=column), *also}
    for name in unheard:
        near = closest(name, known - {name})
        meant = f": did you mean {near!r}?" if near else ""
        click.echo(f"{SAID[column].format(name)}{tail}{meant}", err=True)
