"""Which parts of the suite an ablation meets, in the order of what they cost, and where each looks.

What projects under test have as well comes first (the simulation, the properties), then the suite of every
store, the scenarios, and at last the engine's own tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ablations.ablation import ROOT, Ablation


@dataclass(frozen=True, slots=True)
class Layer:
    """One part. ``paths`` are where its tests are; without any it plays seeds.

    ``defined`` are where the tests' functions stand, if that is elsewhere.
    """

    name: str
    store: str
    paths: tuple[str, ...] = ()
    defined: tuple[str, ...] = ()

    @property
    def simulates(self) -> bool:
        """Whether it plays seeds."""
        return not self.paths

    def tests(self, ablation: Ablation) -> Iterator[tuple[list[str], list[str]]]:
        """Where each of its tests that may raise an alarm of this ablation is, and what it is called."""
        for name in ablation.tests:
            if name.endswith(".yaml"):
                if self.name == "scenarios":
                    yield [f"{self.paths[0]}/{name}"], [name]
                continue
            sources = [source for path in self.defined or self.paths for source in _python(path)]
            found = [source for source in sources if there(name, source.read_text("utf-8"))]
            if found and self.defined:
                yield [*self.paths], [name]
            elif found:
                yield [str(source.relative_to(ROOT)) for source in found], [name]


LAYERS: tuple[Layer, ...] = (
    Layer("simulation", "memory"),
    Layer("simulation", "postgres"),
    Layer("properties", "memory", ("tests/properties",)),
    Layer("properties", "postgres", ("tests/properties",)),
    Layer(
        "conformance", "memory", ("tests/stores/test_memory.py",), ("pgjobs_testing/conformance",)
    ),
    Layer(
        "conformance",
        "postgres",
        ("tests/stores/test_postgres.py::TestOnTheTableOfObanForPython",),
        ("pgjobs_testing/conformance",),
    ),
    Layer("scenarios", "memory", ("scenarios",)),
    Layer("tests", "memory", ("tests/rules", "tests/engine", "tests/app")),
    Layer("tests", "postgres", ("tests/stores", "tests/live")),
)


_ON_EITHER = ("simulation", "properties")


def layers_of(ablation: Ablation, names: Sequence[str]) -> list[Layer]:
    """The layers named that can see this fault.

    Seeds are played in memory where it shows there: traces on PostgreSQL are the same. Properties run on
    both stores in one go.
    """
    return [
        layer
        for layer in LAYERS
        if layer.name in names
        and layer.store in ablation.stores
        and not (layer.name in _ON_EITHER and layer.store != ablation.stores[0])
    ]


def there(name: str, source: str) -> bool:
    """Whether a test, or a case that hypothesis makes of a machine, is in this source."""
    return f"def {name}(" in source or f"\n{name} = " in source


def _python(path: str) -> list[Path]:
    place = ROOT / path
    return [place] if place.is_file() else sorted(place.rglob("*.py"))
