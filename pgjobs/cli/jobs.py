"""``pgjobs jobs``: look at jobs, and cancel, retry or delete them, one by one or all that match."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from pgjobs.app import PgJobs
from pgjobs.cli import showing
from pgjobs.cli.common import (
    counted,
    echo_json,
    opened,
    takes_app,
    takes_database,
    takes_json,
)
from pgjobs.cli.hints import hint
from pgjobs.cli.importing import import_workers
from pgjobs.rules.errors import JobNotFoundError
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.lifecycle import Event, sources
from pgjobs.telemetry_log import printable

F = TypeVar("F", bound=Callable[..., Any])

MOST_LISTED = 100_000
"""Jobs that one ``list`` shows at most; ``--after`` goes on."""


class JsonObject(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 alone
    """An option that takes a JSON object."""

    name = "JSON"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError) as error:
            self.fail(f"no JSON: {error}. Give an object, as in '{{\"user\": 7}}'", param, ctx)
        if not isinstance(found, dict):
            self.fail(f"an object is taken, as in '{{\"user\": 7}}', not {value}", param, ctx)
        return found


def takes_filters(command: F) -> F:
    """The options that choose jobs; each narrows the choice."""
    options = (
        click.option(
            "--state",
            multiple=True,
            type=click.Choice([state.value for state in JobState]),
            help="In this state; again for one of several.",
        ),
        click.option("--queue", multiple=True, help="In this queue; again for one of several."),
        click.option("--worker", multiple=True, help="Of this worker; again for one of several."),
        click.option("--tag", multiple=True, help="With this tag; again for all of several."),
        click.option("--args", type=JsonObject(), help="Whose args contain this JSON object."),
        click.option("--meta", type=JsonObject(), help="Whose meta contains this JSON object."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def takes_jobs(command: F) -> F:
    """The arguments of ``cancel``, ``retry`` and ``delete``: ids, or filters with consent."""
    for take in (
        takes_json,
        takes_database,
        click.option("--yes", "-y", is_flag=True, help="Do not ask."),
        click.option("--all", "every", is_flag=True, help="Every job, without a filter."),
        takes_filters,
        click.argument("ids", nargs=-1, type=int, metavar="[ID]..."),
    ):
        command = take(command)
    return command


@click.group()
def jobs() -> None:
    """Look at jobs; cancel, retry or delete them."""


@jobs.command("list")
@takes_filters
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_LISTED),
    default=20,
    show_default=True,
    help="How many at most.",
)
@click.option(
    "--order-by",
    default="-id",
    show_default=True,
    metavar="COLUMN",
    help="The column to order by; with a minus in front from last to first.",
)
@click.option("--after", type=int, metavar="ID", help="Go on behind this job.")
@takes_database
@takes_json
def list_jobs(
    limit: int,
    order_by: str,
    after: int | None,
    dsn: str | None,
    schema: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Jobs that match every filter, newest first."""
    with opened(dsn, schema) as client:
        found = client.all_jobs(limit=limit + 1, order_by=order_by, after=after, **_filters(given))
        if not found:
            _hint(client, given)
    shown = found[:limit]
    if as_json:
        echo_json([showing.values(job) for job in shown])
    else:
        click.echo(showing.listed(shown) if shown else "no job matches")
    if len(found) > limit:
        click.echo(f"more jobs match: go on with --after {shown[-1].id}", err=True)


@jobs.command()
@click.argument("id_", type=int, metavar="ID")
@takes_database
@takes_json
def show(id_: int, dsn: str | None, schema: str | None, as_json: bool) -> None:
    """One job, with all its errors."""
    with opened(dsn, schema) as client:
        job = client.get_job(id_)
    if as_json:
        echo_json(showing.values(job))
    else:
        click.echo(showing.whole(job))


@jobs.command()
@click.argument("id_", type=int, metavar="ID")
@takes_app
@takes_database
@takes_json
def explain(id_: int, app: str | None, dsn: str | None, schema: str | None, as_json: bool) -> None:
    """Why a job has not run yet, or what became of it.

    With --app the configured queues, limits and plugins are known, and the registered workers;
    without it only what the database tells.
    """
    with opened(dsn, schema, app) as client:
        import_workers(client)
        told = client.explain(id_)
    if as_json:
        echo_json(showing.told(told))
    else:
        click.echo("\n".join(printable(line) for line in str(told).splitlines()))


@jobs.command()
@takes_jobs
def cancel(**given: Any) -> None:
    """Cancel unfinished jobs: those with these ids, or all that match the filters.

    A running job is told to stop, on whichever node it runs. A finished one stays as it is.
    """
    _change("cancel", Event.CANCEL, PgJobs.cancel_job, PgJobs.cancel_all_jobs, given)


@jobs.command()
@takes_jobs
def retry(**given: Any) -> None:
    """Make jobs available again: those with these ids, or all that match the filters.

    Completed jobs run again too. An available or executing job stays as it is.
    """
    _change("retry", Event.RETRY, PgJobs.retry_job, PgJobs.retry_all_jobs, given)


@jobs.command()
@takes_jobs
def delete(**given: Any) -> None:
    """Delete jobs in any state: those with these ids, or all that match the filters.

    A running job is told to stop.
    """
    _change("delete", Event.DELETE, PgJobs.delete_job, PgJobs.delete_all_jobs, given)


def _change(
    verb: str,
    event: Event,
    one: Callable[[PgJobs, int], Job],
    every: Callable[..., int],
    given: dict[str, Any],
) -> None:
    ids, all_, yes, as_json = (given.pop(name) for name in ("ids", "every", "yes", "as_json"))
    dsn, schema = given.pop("dsn"), given.pop("schema")
    filters = _filters(given)
    if bool(ids) + bool(filters) + all_ != 1:
        raise click.UsageError(
            f"name the jobs to {verb} in one way: by id, by filters such as --queue mail, or --all"
        )
    with opened(dsn, schema) as client:
        if ids:
            _change_each(verb, client, one, ids, as_json)
            return
        narrowed = _narrowed(filters, event)
        counts = client.count_jobs(by="state", **narrowed)
        if counts and not yes:
            states = ", ".join(f"{count} {state}" for state, count in counts.items())
            number = counted(sum(counts.values()), "job")
            _ask(f"{verb} {number} ({states})?")
        number_done = every(client, **narrowed) if counts else 0
        if not number_done:
            _hint(client, filters)
    if as_json:
        echo_json({_PAST[verb]: number_done})
    else:
        click.echo(f"{_PAST[verb]} {counted(number_done, 'job')}")


def _hint(client: PgJobs, filters: Mapping[str, Any]) -> None:
    """Nothing matched: perhaps a name is misspelt."""
    for column in ("queue", "worker"):
        hint(client, column, filters.get(column, ()))


def _ask(question: str) -> None:
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C, or nobody is there to answer
        agreed = False
        click.echo(err=True)
    if not agreed:
        raise click.ClickException("nothing was changed: answer y, or give --yes")


def _change_each(
    verb: str,
    client: PgJobs,
    one: Callable[[PgJobs, int], Job],
    ids: tuple[int, ...],
    as_json: bool,
) -> None:
    """Change job by job; an id that is not there fails the command after the others."""
    changed, missing = [], []
    for job_id in dict.fromkeys(ids):
        try:
            changed.append(one(client, job_id))
        except JobNotFoundError as error:
            missing.append(str(error))
            continue
        if not as_json:
            state = changed[-1].state
            was = f"deleted, it was {state}" if verb == "delete" else state
            click.echo(f"job {job_id}: {was}{_unchanged(verb, state)}")
    if as_json:
        echo_json([showing.values(job) for job in changed])
    if missing:
        raise click.ClickException("; ".join(missing))


_PAST = {"cancel": "cancelled", "retry": "retried", "delete": "deleted"}


def _unchanged(verb: str, state: JobState) -> str:
    reached = {"cancel": JobState.CANCELLED, "retry": JobState.AVAILABLE, "delete": state}[verb]
    return "" if state is reached else ", left as it was"


def _narrowed(filters: dict[str, Any], event: Event) -> dict[str, Any]:
    """The filters with just those states that ``event`` may leave: what is counted is what changes."""
    chosen = filters.get("state")
    return filters | {
        "state": [state for state in sources(event) if chosen is None or state in chosen]
    }


def _filters(given: dict[str, Any]) -> dict[str, Any]:
    """Those that were given; an empty object, which every job contains, is no filter."""
    names = {"state": "state", "queue": "queue", "worker": "worker", "tag": "tags"}
    found = {name: list(given[option]) for option, name in names.items() if given[option]}
    return found | {name: given[name] for name in ("args", "meta") if given[name]}
