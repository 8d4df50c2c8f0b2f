"""The search for who kills each ablation, from a shell: ``python -m tests.ablations``."""

from __future__ import annotations

import os
import sys

import click

from pgjobs_testing.servers import choose
from tests.ablations import records, table
from tests.ablations.ablation import Ablation
from tests.ablations.asking import Nursery, broken
from tests.ablations.catalogue import ABLATIONS
from tests.ablations.layers import LAYERS
from tests.ablations.search import Control, Found, search

NAMES = tuple(dict.fromkeys(layer.name for layer in LAYERS))


@click.command()
@click.argument("parts", nargs=-1)
@click.option("--seeds", default=200, show_default=True, help="Seeds of the simulation, at most.")
@click.option("--layer", "layers", multiple=True, type=click.Choice(NAMES), help="These alone.")
@click.option("--postgres", default="auto", show_default=True, help="The server, as for pytest.")
@click.option("--missing", is_flag=True, help="Leave out those whose killer is recorded.")
@click.option("--table", "writes", is_flag=True, help="Write the records, and the page of docs.")
def main(
    parts: tuple[str, ...],
    seeds: int,
    layers: tuple[str, ...],
    postgres: str,
    missing: bool,
    writes: bool,
) -> None:
    """Find who kills each ablation, or those whose names contain one of PARTS.

    Ends with 1 where one survives.
    """
    kills = records.read()
    chosen = [
        each
        for each in ABLATIONS
        if (not parts or any(part in each.name for part in parts))
        and not (missing and each.name in kills)
    ]
    killed = 0
    server = choose(postgres, None, os.environ).server()
    with server, Nursery(server.create_database, server.dsn) as nursery, broken(None) as place:
        control = Control(nursery, place)
        for n, ablation in enumerate(chosen, 1):
            found = search(ablation, nursery, control, seeds, layers or NAMES)
            click.echo(f"{n:3}/{len(chosen)} {_told(ablation, found)}")
            kills.pop(ablation.name, None)
            if found.kill is not None:
                killed += 1
                kills[ablation.name] = found.kill
            if writes:
                records.write(kills)
    if writes:
        table.write(kills)
    click.echo(f"{killed} of {len(chosen)} killed")
    sys.exit(killed < len(chosen))


def _told(ablation: Ablation, found: Found) -> str:
    kill = found.kill
    if kill is None:
        shown = "SURVIVES"
    elif isinstance(kill.killer, int):
        shown = f"{kill.layer}/{kill.store}, seed {kill.killer} of {kill.tried}: {kill.alarm}"
    else:
        shown = f"{kill.layer}/{kill.store}, {kill.killer.rpartition('::')[2]}: {kill.alarm}"
    lines = [f"{found.seconds:6.1f} s  {ablation.name}: {shown}"]
    lines += [f"        not expected: {other}" for other in found.others]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
