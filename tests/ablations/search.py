"""Who kills an ablation: the layers are tried in turn, until an expected alarm goes off."""

from __future__ import annotations

import time  # noqa: TID251 - how long a kill takes is measured
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ablations import asking
from tests.ablations.ablation import Ablation
from tests.ablations.asking import Answer, Nursery, broken, unexpected
from tests.ablations.layers import Layer, layers_of

SECONDS = {
    "simulation": 60.0,
    "properties": 120.0,
    "conformance": 60.0,
    "scenarios": 30.0,
    "tests": 120.0,
}
"""How long one trial of a layer may take."""
OTHERWISE = 50
"""Seeds that are played where the recorded one kills no more."""
RACES = 5
"""Trials of a fault that shows when threads or processes meet, which they need not."""


@dataclass(frozen=True, slots=True)
class Kill:
    """How an ablation was killed: by which seed or test of which layer, and what that said.

    ``tried`` are the seeds played until then, or the tests run; ``examples`` those of a property.
    """

    layer: str
    store: str
    killer: int | str
    alarm: str
    tried: int
    examples: int | None
    seconds: float

    @property
    def needed(self) -> int:
        """Seeds, examples or tests until the alarm."""
        return self.tried if self.examples is None else self.examples


@dataclass(frozen=True, slots=True)
class Found:
    """What became of an ablation; ``others`` are alarms on the way that nobody had expected."""

    kill: Kill | None
    others: tuple[str, ...]
    seconds: float


class Control:
    """The engine as it is: an alarm that goes off there as well has killed nothing."""

    def __init__(self, nursery: Nursery, place: Path) -> None:
        self._nursery, self._place = nursery, place
        self._silent: dict[tuple[str, int | str], bool] = {}

    def silent(self, layer: Layer, killer: int | str) -> bool:
        """Whether a seed or a test has nothing to say against it."""
        known = layer.store, killer
        if known not in self._silent:
            self._silent[known] = self._asked(layer, killer)
        return self._silent[known]

    def _asked(self, layer: Layer, killer: int | str) -> bool:
        nursery, place, seconds = self._nursery, self._place, SECONDS[layer.name]
        if isinstance(killer, int):
            answer = asking.seeds(place, nursery, layer.store, [killer], (), seconds)
            return answer.get("tried") == 1 and not unexpected(answer)
        answer = asking.tests(place, nursery, [killer], None, seconds, hangs=False)
        return answer.get("code") == 0 and not unexpected(answer)


def search(
    ablation: Ablation, nursery: Nursery, control: Control, most: int, names: Sequence[str]
) -> Found:
    """The first kill, layer by layer; ``most`` seeds are played by each layer that plays seeds."""
    others: list[str] = []
    begun = time.monotonic()
    with broken(ablation) as place:
        for layer in layers_of(ablation, names):
            for at, answer in _trials(layer, ablation, nursery, place, most):
                seconds = time.monotonic() - at
                others += [f"{layer.name}/{layer.store}: {what}" for what in unexpected(answer)]
                killer = answer.get("killer")
                if killer is None:
                    continue
                if control.silent(layer, killer):
                    kill = _kill(layer, answer, seconds)
                    return Found(kill, tuple(others), time.monotonic() - begun)
                others.append(f"{layer.name}/{layer.store}: {killer} says so of any engine")
                break
    return Found(None, tuple(others), time.monotonic() - begun)


def _trials(
    layer: Layer, ablation: Ablation, nursery: Nursery, place: Path, most: int
) -> Iterator[tuple[float, Answer]]:
    """What a layer says of an ablation, and when it was asked: once, or for each of its tests and races."""
    seconds = SECONDS[layer.name]
    if layer.simulates:
        if ablation.invariants:
            played = range(1, most + 1)
            at = time.monotonic()
            yield (
                at,
                asking.seeds(place, nursery, layer.store, played, ablation.invariants, seconds),
            )
        return
    for files, tests in layer.tests(ablation):
        for _ in range(RACES if ablation.races else 1):
            at = time.monotonic()
            yield at, asking.tests(place, nursery, files, tests, seconds, ablation.hangs)


def replay(ablation: Ablation, kill: Kill, nursery: Nursery) -> Answer:
    """What the recorded killer says of the ablation now.

    Where a seed's world is drawn otherwise by now, it may be another seed that kills.
    """
    seconds = SECONDS[kill.layer]
    answer: Answer = {}
    with broken(ablation) as place:
        for _ in range(RACES if ablation.races else 1):
            if isinstance(kill.killer, int):
                played = [kill.killer, *range(1, OTHERWISE + 1)]
                answer = asking.seeds(
                    place, nursery, kill.store, played, ablation.invariants, seconds
                )
            else:
                chosen = [kill.killer]
                answer = asking.tests(
                    place, nursery, chosen, ablation.tests, seconds, ablation.hangs
                )
            if answer.get("killer") is not None:
                break
    return answer


def _kill(layer: Layer, answer: Answer, seconds: float) -> Kill:
    return Kill(
        layer.name,
        layer.store,
        answer["killer"],
        answer["alarm"],
        answer["tried"],
        answer.get("examples"),
        round(seconds, 2),
    )
