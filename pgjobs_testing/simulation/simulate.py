"""``pgjobs-testing simulate``: plays simulated worlds by the thousand, and says which raised an alarm."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from pgjobs_testing.simulation.interrupts import Interrupts
from pgjobs_testing.simulation.verdict import FAULTS

if TYPE_CHECKING:
    from pgjobs.ports import Clock
    from pgjobs_testing.simulation.playing import Setup
    from pgjobs_testing.simulation.processes import Crew

HELD, ALARM, WRONG = 0, 1, 2
ENDED = 128 + signal.SIGTERM
"""Exit status where SIGTERM ended it without an alarm, as shells have it."""

INTERRUPTED = "interrupted; the digest is of the seeds below, all from the first on"
BROKEN_OFF = "interrupted before a seed was told"


@click.command()
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Play this seed alone.")
@click.option(
    "--seeds",
    metavar="N..M",
    help="Play these seeds, both included; N.. goes upward till --time is over. [default: 0..99]",
)
@click.option(
    "--time",
    "lasting",
    metavar="DURATION",
    help="Play seeds upward for so long in real time, such as 10m.",
)
@click.option(
    "--hours", type=float, default=1, show_default=True, help="The virtual hours of each seed."
)
@click.option("--nodes", type=int, default=3, show_default=True, help="The nodes of each seed.")
@click.option("--jobs", type=int, default=200, show_default=True, help="The jobs of each seed.")
@click.option(
    "--faults",
    default="all",
    show_default=True,
    metavar="all|none|LIST",
    help=f"What may go wrong: names separated by commas, out of {', '.join(FAULTS)}.",
)
@click.option(
    "--store",
    type=click.Choice(["memory", "postgres", "both"]),
    default="memory",
    show_default=True,
    help="Where to play; both are compared, seed by seed.",
)
@click.option(
    "--postgres",
    default="embedded",
    show_default=True,
    metavar="auto|embedded|testcontainers|DSN",
    help="The PostgreSQL to play on, as the plugin's --pgjobs-postgres. Each process has a database "
    "of its own on it, which is dropped.",
)
@click.option("--image", metavar="IMAGE", help="The image for testcontainers.")
@click.option(
    "-j",
    "--processes",
    type=click.IntRange(0, 1024),
    metavar="N",
    help="How many processes play; 0: this one does, for a debugger. [default: one for each core]",
)
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Play on the Dask cluster of this scheduler, such as tcp://10.0.0.1:8786.",
)
@click.option(
    "--world",
    metavar="MODULE:FUNCTION",
    help="Play a world of yours, from the working directory or the path. This runs its code.",
)
@click.option(
    "--write",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where alarm-SEED.scenario.yaml of each alarm goes. [default: the working directory]",
)
@click.option(
    "--twice",
    is_flag=True,
    help="Play each seed twice, and stop at the first draw that differs; of a world of yours the "
    "digests are compared.",
)
@click.option(
    "--shrink/--no-shrink",
    default=True,
    show_default=True,
    help="Write the smallest scenario that fails alike, not the one that was drawn.",
)
@click.option(
    "--max-alarms",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="End after so many alarms.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say how far it is only at the end.")
def simulate(
    seed: int | None,
    seeds: str | None,
    lasting: str | None,
    hours: float,
    nodes: int,
    jobs: int,
    faults: str,
    store: str,
    postgres: str,
    image: str | None,
    processes: int | None,
    dask: str | None,
    world: str | None,
    write: Path,
    twice: bool,
    shrink: bool,
    max_alarms: int,
    quiet: bool,
) -> None:
    """Play simulated worlds: nodes, jobs and faults, drawn by a seed, on virtual time.

    After every step the invariants of the engine are checked; one that is broken is an alarm. The last
    line is the digest of all traces: equal seeds and options have equal digests, on every machine, with
    any number of processes and on both stores. Ctrl-C or SIGTERM ends with the sum of what was played;
    a second one ends at once.

    Exit status: 0 no alarm, 1 an alarm, or a mark that must fire in so large a campaign and did not,
    2 it cannot be played as asked, 143 no alarm until SIGTERM came, 130 a second Ctrl-C or SIGTERM came.
    """
    interrupts = Interrupts()
    with interrupts.heard():
        from pgjobs.rules.errors import ConfigurationError
        from pgjobs_testing.closed import databases_closed
        from pgjobs_testing.servers import ServerError
        from pgjobs_testing.simulation.asked import options_of
        from pgjobs_testing.simulation.playing import STANDARD, CampaignError, Setup

        if dask is not None and processes is not None:
            raise click.UsageError(
                "give --processes or --dask, not both: a cluster has its own workers"
            )
        refuse_idle_server(store)
        if world is not None:
            sys.path.insert(0, os.getcwd())
        try:
            chosen = _seeds(seed, seeds, lasting)
            options = options_of(nodes, jobs, hours, faults, store, shrink=shrink, twice=twice)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        setup = Setup(options, world or STANDARD, postgres, image, prefix="--")
        try:
            with databases_closed():
                status = _conduct(
                    interrupts, chosen, setup, lasting, processes, dask, write, max_alarms, quiet
                )
        except (CampaignError, ServerError) as error:
            click.echo(f"Error: {error}", err=True)
            status = WRONG
        terminated = interrupts.first == signal.SIGTERM
        sys.exit(ENDED if terminated and status == HELD else status)


def _conduct(
    interrupts: Interrupts,
    seeds: range | count[int],
    setup: Setup,
    lasting: str | None,
    processes: int | None,
    dask: str | None,
    directory: Path,
    most: int,
    quiet: bool,
) -> int:
    """Play them, telling of each alarm as it comes; return the exit status."""
    from pgjobs.adapters.system import SystemClock
    from pgjobs_testing.simulation.campaign import Summary
    from pgjobs_testing.simulation.playing import imported
    from pgjobs_testing.simulation.showing import Pace, tell_sum

    clock = SystemClock()
    total = len(seeds) if isinstance(seeds, range) else None
    until = None if lasting is None else _span(lasting).total_seconds()
    try:
        interrupts.break_off()
        imported(setup.world)
        with _crew(setup, clock, total, processes, dask) as crew:
            return _play(interrupts, seeds, crew, setup, clock, until, directory, most, quiet)
    except KeyboardInterrupt:
        if interrupts.again:
            raise
        tell_sum(Summary(), setup, Pace(clock, clock.monotonic()), BROKEN_OFF)
        return HELD


def _play(
    interrupts: Interrupts,
    seeds: range | count[int],
    crew: Crew,
    setup: Setup,
    clock: Clock,
    lasting_s: float | None,
    directory: Path,
    most: int,
    quiet: bool,
) -> int:
    """The same, with who plays; ``KeyboardInterrupt`` where one came before the first seed was handed out."""
    from pgjobs_testing.simulation.campaign import Campaign, expected_marks
    from pgjobs_testing.simulation.playing import CampaignError
    from pgjobs_testing.simulation.showing import Pace, alarm_of, showing, tell_sum

    total = len(seeds) if isinstance(seeds, range) else None
    pace = Pace(clock, clock.monotonic())
    campaign = Campaign(
        seeds, crew, lambda: lasting_s is not None and pace.seconds() >= lasting_s, most
    )
    summary, note, ahead, refused = campaign.summary, None, [], None
    with showing(total, pace, quiet=quiet) as show:
        try:
            for verdicts in campaign.told():
                for verdict in verdicts:
                    if not verdict.held:
                        show.say(alarm_of(verdict, setup, directory))
                    elif total == 1 and verdict.drawn:
                        show.say(f"seed {verdict.seed}, drawn: {verdict.drawn}")
                show.at(summary)
            interrupts.note()
        except KeyboardInterrupt:
            if interrupts.again:
                raise
            note = INTERRUPTED if summary.played else BROKEN_OFF
            ahead = [verdict for verdict in campaign.ahead if not verdict.held]
        except CampaignError as error:
            refused = error
        for verdict in ahead:
            show.say(alarm_of(verdict, setup, directory))
    if refused is None or summary.played:
        summary.judge_marks(setup.options, expected_marks(setup.world))
        if note is None and campaign.full:
            note = f"ended early, at {most} alarms (--max-alarms)"
        tell_sum(summary, setup, pace, note)
    if refused is not None:
        raise refused
    return HELD if summary.held and not ahead else ALARM


@contextmanager
def _crew(
    setup: Setup, clock: Clock, total: int | None, processes: int | None, dask: str | None
) -> Iterator[Crew]:
    """Who plays; one server serves all of this machine, and is stopped at the end."""
    from dataclasses import replace

    from pgjobs_testing.simulation.playing import Player, hush
    from pgjobs_testing.simulation.processes import Alone, Processes

    crew: Crew
    if dask is None and processes == 0:
        hush()
        crew = Alone(Player(setup, "s0"))
        try:
            yield crew
        finally:
            crew.close()
        return
    with _desk(setup) as desk:
        told = replace(setup, desk=desk)
        if dask is not None:
            from pgjobs_testing.simulation.machines import Machines

            crew = Machines(told, dask, clock)
        else:
            size = cores() if processes is None else processes
            crew = Processes(told, size if total is None else min(size, total), clock)
        try:
            yield crew
        finally:
            crew.close()


@contextmanager
def _desk(setup: Setup) -> Iterator[str | None]:
    """Where the processes of this machine ask for databases; None where they play in memory."""
    if setup.options.store == "memory":
        yield None
        return
    from pgjobs_testing.servers import choose
    from pgjobs_testing.servers.supply import Desk, OwnServer

    chosen = choose(setup.postgres, setup.image, os.environ, setup.prefix)
    server = OwnServer(lambda: chosen)
    desk = Desk(server)
    try:
        yield desk.address
    finally:
        desk.close()
        server.close()


def refuse_idle_server(store: str) -> None:
    """A usage error where the command line names a server, and plays in memory alone."""
    context = click.get_current_context()
    for name in ("postgres", "image") if store == "memory" else ():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name} names a server, and --store memory plays on none: give --store postgres or both"
            )


def cores() -> int:
    """How many processes this one may run at the same time."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _seeds(seed: int | None, seeds: str | None, lasting: str | None) -> range | count[int]:
    """The seeds that are asked for; ``ConfigurationError`` where they cannot be."""
    from pgjobs.rules.errors import ConfigurationError
    from pgjobs_testing.simulation.asked import DEFAULT_SEEDS, seed_of, seeds_of

    if lasting is not None:
        _span(lasting)
    if seed is not None:
        if seeds is not None or lasting is not None:
            raise ConfigurationError(
                f"--seed {seed} is one seed alone: leave --seeds and --time out, or give --seeds {seed}.."
            )
        return range(seed_of(seed), seed + 1)
    if seeds is None:
        return DEFAULT_SEEDS if lasting is None else count()
    found = seeds_of(seeds)
    if isinstance(found, count) and lasting is None:
        raise ConfigurationError(
            f"--seeds {seeds} never ends: give its last, as in {seeds}999, or --time"
        )
    return found


def _span(text: str) -> timedelta:
    from pgjobs.rules.errors import ConfigurationError
    from pgjobs_testing.scenarios.times import A_DURATION, span

    found = span(text)
    if not found:
        raise ConfigurationError(f"found --time {text!r}; expected {A_DURATION}")
    return found
