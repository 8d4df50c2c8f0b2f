"""Who killed what, as it is kept: the file that the suite replays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from tests.ablations.catalogue import ABLATIONS
from tests.ablations.search import Kill

KILLERS = Path(__file__).with_name("killers.json")


def read() -> dict[str, Kill]:
    """The kill of each ablation that has one, by its name."""
    if not KILLERS.exists():
        return {}
    return {name: Kill(**kept) for name, kept in json.loads(KILLERS.read_text("utf-8")).items()}


def write(kills: Mapping[str, Kill]) -> None:
    """Keep them, in the order of the catalogue; what is not in it is forgotten."""
    kept = {each.name: asdict(kills[each.name]) for each in ABLATIONS if each.name in kills}
    KILLERS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
