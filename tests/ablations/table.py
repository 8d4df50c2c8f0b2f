"""The page of the documentation that tells which faults were put in, and who noticed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from statistics import median

from tests.ablations.ablation import ROOT, Ablation
from tests.ablations.catalogue import ROOMS
from tests.ablations.catalogue.bugs import SHIPPED
from tests.ablations.search import Kill

PAGE = ROOT / "docs" / "reference" / "ablations.md"

INTRODUCTION = """\
# Ablations

Does the suite find bugs? Each line is a fault that is put into a copy of the engine on purpose:
most recreate a bug that another job queue shipped (*as in*), the others are inventions. A fault
counts as killed when an alarm goes off that was named beforehand, and that stays silent on the
engine as it is: an invariant of the simulation, or a test. The layers are tried in the order of
their cost, simulation and properties first, since projects under test have these as well; the first
that kills is told. *Needed* are the seeds that were played until then, from seed 1 on, or the
examples of a property; a test that has neither is one. Times (*s*) are those of a search on a machine
with two cores that had other work to do.

This page is written by `python -m tests.ablations --table`. The faults are in
`tests/ablations/catalogue`; `make ablations` replays every kill, and sees that none of these alarms
goes off on the engine as it is.
"""


def write(kills: Mapping[str, Kill]) -> None:
    """Write the page."""
    PAGE.write_text(page(kills), "utf-8")


def page(kills: Mapping[str, Kill]) -> str:
    """The page: a summary, and a table for each room of the engine."""
    parts = [INTRODUCTION, _summary(kills)]
    for title, ablations in ROOMS.items():
        rows = [_row(each, kills.get(each.name)) for each in ablations]
        head = "| fault | as in | layer | killed by | needed | s |\n| --- | --- | --- | --- | --: | --: |"
        parts.append("\n".join([f"## {title}\n", head, *rows]) + "\n")
    return "\n".join(parts)


def _summary(kills: Mapping[str, Kill]) -> str:
    faults = [each for ablations in ROOMS.values() for each in ablations]
    shipped = [each for each in faults if each.bug is not None]
    found = [kills[each.name] for each in faults if each.name in kills]
    by_layer = Counter(kill.layer for kill in found)
    layers = ", ".join(f"{layer} {n}" for layer, n in by_layer.most_common())
    lines = [
        f"{len(found)} of {len(faults)} faults are killed; {len(shipped)} recreate what others shipped.",
        f"By layer: {layers}.",
    ]
    if seeds := [kill.tried for kill in found if kill.layer == "simulation"]:
        half = f"Half of the simulation's kills needed no more than {median(seeds):g}"
        lines.append(f"{half} of its seeds, and the longest {max(seeds)}.")
    return " ".join(lines) + "\n"


def _row(ablation: Ablation, kill: Kill | None) -> str:
    theirs = "" if ablation.bug is None else SHIPPED[ablation.bug]
    fault = f"**{ablation.name}**. {ablation.breaks}"
    if kill is None:
        return f"| {fault} | {theirs} | none | it survives | | |"
    shown = f"{kill.layer}, {kill.store}"
    return (
        f"| {fault} | {theirs} | {shown} | `{_killer(kill)}` | {kill.needed} | {kill.seconds:.1f} |"
    )


def _killer(kill: Kill) -> str:
    """The invariant, the test or the scenario, without its parameters."""
    if isinstance(kill.killer, int):
        return kill.alarm.partition(":")[0]
    file, _, name = kill.killer.partition("::")
    return file if file.endswith(".yaml") else re.sub(r"\[.*", "", name.rpartition("::")[2] or name)
