"""``pgjobs queues``: what is in each queue, and what an operator sets by hand for it.

A command line knows no node's configuration. With ``--app`` it does: then limits are known, what was set
by hand counts until that value of the configuration changes, and a queue that is not served is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

import click

from pgjobs import effects
from pgjobs.app import PgJobs
from pgjobs.cli.common import (
    Refused,
    echo_json,
    opened,
    shown_instant,
    table,
    takes_app,
    takes_database,
    takes_json,
)
from pgjobs.cli.hints import hint
from pgjobs.client import window_status
from pgjobs.rules.control import EVERY_QUEUE, Control, effective
from pgjobs.rules.errors import nearest
from pgjobs.rules.job import JobState
from pgjobs.rules.options import MAX_CONCURRENCY, Queue, RateLimit
from pgjobs.rules.ratelimit import Window
from pgjobs.telemetry_log import printable

F = TypeVar("F", bound=Callable[..., Any])

COUNTED = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.RETRYABLE, JobState.EXECUTING)
LIMITS = ("global_concurrency", "rate_limit")


def takes_queues(command: F) -> F:
    """The names of queues, and where they are."""
    for take in (
        takes_json,
        takes_database,
        takes_app,
        click.argument("names", nargs=-1, metavar="[QUEUE]..."),
    ):
        command = take(command)
    return command


_every = click.option("--all", "every", is_flag=True, help="Every queue.")


@click.group()
def queues() -> None:
    """See what is in queues; pause, resume, scale or reset them, on every node."""


@queues.command("list")
@takes_app
@takes_database
@takes_json
def list_queues(app: str | None, dsn: str | None, schema: str | None, as_json: bool) -> None:
    """Queues that hold unfinished jobs, were set by hand, or are configured.

    CONCURRENCY is that of each node: as set by hand or, with --app, as configured. With --app and
    limits also: GLOBAL, the limit over all nodes; STARTS that count now; OPENS, when the rate
    lets a job start next, if it lets none now.
    """
    with opened(dsn, schema, app) as client:
        found = statuses(client)
    if as_json:
        echo_json(found)
    elif not found:
        click.echo("no queue holds an unfinished job")
    else:
        click.echo(_listed(found))


@queues.command()
@_every
@takes_queues
def pause(names: tuple[str, ...], every: bool, as_json: bool, **where: str | None) -> None:
    """Start nothing more from these queues; running jobs go on."""
    _set("paused", names, every, as_json, where, PgJobs.pause_queue, PgJobs.pause_all_queues)


@queues.command()
@_every
@takes_queues
def resume(names: tuple[str, ...], every: bool, as_json: bool, **where: str | None) -> None:
    """Start jobs from these queues again."""
    _set(
        "resumed",
        names,
        every,
        as_json,
        where,
        PgJobs.resume_queue,
        PgJobs.resume_all_queues,
        undoes=True,
    )


@queues.command()
@takes_queues
def reset(names: tuple[str, ...], as_json: bool, **where: str | None) -> None:
    """Forget what was set by hand: the configuration counts again."""
    _set("reset", names, False, as_json, where, PgJobs.reset_queue, None, undoes=True)


class _Scale(click.Command):
    """A command with one number, which would be taken for an option where it is negative."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = [*args]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            for text in given:
                if text.startswith("-") and text[1:].isdecimal():
                    (number,) = (each for each in self.params if each.name == "concurrency")
                    number.type.convert(text, number, ctx)  # tells what is wrong with it
            raise


@queues.command(cls=_Scale)
@click.argument("name", metavar="QUEUE")
@click.argument("concurrency", type=click.IntRange(1, MAX_CONCURRENCY))
@takes_app
@takes_database
@takes_json
def scale(name: str, concurrency: int, as_json: bool, **where: str | None) -> None:
    """Run up to CONCURRENCY jobs of QUEUE at a time, on each node."""
    done = f"concurrency {concurrency}"
    _set(
        done, (name,), False, as_json, where, lambda jobs, name: jobs.scale_queue(name, concurrency)
    )


def statuses(client: PgJobs, also: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Each queue with its counts by state, and as far as it is known how it is served.

    Those in ``also`` are listed whatever is in them. ``rate_limit`` holds its use, by this client's
    clock; limits that no configuration names are None.
    """
    counts = {state.value: client.count_jobs(by="queue", state=state) for state in COUNTED}
    controls = client.store.run(effects.Controls())
    names = {name for by_queue in counts.values() for name in by_queue}
    names |= {*controls} - {EVERY_QUEUE} | {*client.queues, *also}
    rates = any(queue.rate_limit is not None for queue in client.queues.values())
    windows = client.store.run(effects.Windows()) if rates else {}
    now = client.runtime().clock.now()
    return [
        {"queue": name}
        | {state: by_queue.get(name, 0) for state, by_queue in counts.items()}
        | _served(name, client.queues.get(name), controls)
        | _limits(client.queues.get(name, Queue()), windows.get(name, ()), now)
        for name in sorted(names)
    ]


def _served(name: str, configured: Queue | None, controls: dict[str, Control]) -> dict[str, Any]:
    served = effective(name, configured or Queue(), controls)
    by_hand = controls.get(name, Control()).concurrency
    known = by_hand if configured is None else served.concurrency
    return {"paused": served.paused, "concurrency": known}


def _limits(configured: Queue, window: Window, now: datetime) -> dict[str, Any]:
    limit = configured.rate_limit
    rate = None if limit is None else _use(limit, window, now)
    return {"global_concurrency": configured.global_concurrency, "rate_limit": rate}


def _use(limit: RateLimit, window: Window, now: datetime) -> dict[str, Any]:
    status = window_status(limit, window, now)
    return {
        "allowed": status.allowed,
        "period_s": status.period.total_seconds(),
        "used": status.used,
        "opens_at": status.opens_at,
    }


def _listed(found: list[dict[str, Any]]) -> str:
    """Queues as a table; limits have columns where a queue has one."""
    limited = any(row["global_concurrency"] or row["rate_limit"] for row in found)
    rows = []
    for row in found:
        shown = {name.upper(): row[name] for name in row if name not in LIMITS}
        if limited:
            rate = row["rate_limit"]
            shown["GLOBAL"] = row["global_concurrency"]
            shown["STARTS"] = (
                rate and f"{rate['used']} of {rate['allowed']} in {rate['period_s']:.15g} s"
            )
            shown["OPENS"] = rate and shown_instant(rate["opens_at"])
        rows.append(shown)
    numbers = {*rows[0]} - {"QUEUE", "PAUSED", "STARTS", "OPENS"}
    return table([*rows[0]], [[*row.values()] for row in rows], right=numbers)


def _set(
    done: str,
    names: tuple[str, ...],
    every: bool,
    as_json: bool,
    where: dict[str, str | None],
    one: Callable[[PgJobs, str], None],
    all_: Callable[[PgJobs], None] | None = None,
    *,
    undoes: bool = False,
) -> None:
    """Set the queues, each once, and say so; as JSON, how they stand then.

    Where that ``undoes`` what was set by hand for a queue, its name is no mistake.
    """
    if bool(names) == every:
        raise click.UsageError(
            "name queues" if all_ is None else "name queues, or give --all, and not both"
        )
    with opened(**where) as client:
        if every:
            assert all_ is not None
            all_(client)
        _known(client, names, where["app"])
        by_hand = client.store.run(effects.Controls()) if names else {}
        for name in dict.fromkeys(names):
            one(client, name)
            if not as_json:
                click.echo(f"queue {printable(name)}: {done}")
        meant = {*client.queues, *by_hand} if undoes else {*client.queues}
        hint(
            client,
            "queue",
            [name for name in names if name not in meant],
            also={*client.queues, *by_hand} - {EVERY_QUEUE},
            tail=", and no node is known here to serve it",
        )
        if as_json:
            echo_json([row for row in statuses(client, names) if every or row["queue"] in names])
        elif every:
            click.echo(f"every queue: {done}")


def _known(client: PgJobs, names: tuple[str, ...], app: str | None) -> None:
    for name in names:
        if app is not None and name not in client.queues:
            raise Refused(f"{app} serves no queue {name!r}{nearest(name, client.queues)}")
