"""Scenario files as tests: ``*.scenario.yaml`` anywhere, ``*.yaml`` below the ini ``pgjobs_scenarios``,
and ``.yml`` as well.

What reads and plays them is imported with the first such file, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pgjobs.adapters.local import LocalStore
    from pgjobs_testing.scenarios.model import Scenario
    from pgjobs_testing.scenarios.source import Source

INI = "pgjobs_scenarios"
SUFFIXES = (".scenario.yaml", ".scenario.yml")


def check_ini(config: pytest.Config) -> None:
    """A usage error where the ini names what is not there: its scenarios would be missed unseen."""
    for place in config.getini(INI):
        if not place.exists():
            raise pytest.UsageError(
                f"{INI}: there is no {_shown(place, config)}: name directories with scenarios"
            )


def collect_file(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The collector of a scenario file; None for any other file."""
    below = any(path.is_relative_to(root) for root in parent.config.getini(INI))
    if path.suffix not in (".yaml", ".yml") or not (below or path.name.endswith(SUFFIXES)):
        return None
    return ScenarioFile.from_parent(parent, path=path)


class ScenarioFile(pytest.File):
    """One file: one test, named as the scenario is."""

    def collect(self) -> Iterator[pytest.Item]:
        from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
        from pgjobs_testing.scenarios.read import understood
        from pgjobs_testing.scenarios.real import Imports
        from pgjobs_testing.scenarios.source import read_source

        try:
            source = read_source(self.path)
            source.file = _shown(self.path, self.config)
            imports = Imports(allowed=True, root=self.config.rootpath)
            scenario, source = understood(source, imports)
        except InvalidScenarioError as error:
            shown = InvalidScenarioError(_shown(self.path, self.config), error.mistakes)
            raise self.CollectError(str(shown)) from None
        yield ScenarioItem.from_parent(
            self, name=node_name(scenario.name), scenario=scenario, source=source
        )


class ScenarioItem(pytest.Function):
    """One scenario, played on the session's store.

    It is a test function to pytest, so that fixtures which every test uses (autouse, or the ini
    ``usefixtures``) surround it, as real workers may need.
    """

    def __init__(self, *, scenario: Scenario, source: Source, **given: Any) -> None:
        self.scenario, self.source = scenario, source
        super().__init__(callobj=self.play, **given)
        self.add_marker("pgjobs_scenario")

    def play(self) -> None:
        """Play it; ``ScenarioFailed`` says what is not as expected."""
        from pgjobs_testing.scenarios.replay import replay

        name, store = _session_store()
        played = replay(self.scenario, self.source, store, store_name=name)
        self.trace = played.trace
        if not played.held:
            texts = [failure.text(self.source) for failure in played.failures]
            raise ScenarioFailed("\n\n".join(f"{text}\n    on {name}" for text in texts))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]  # as Function's
        """The same text as that of ``pgjobs-testing replay``."""
        if isinstance(excinfo.value, ScenarioFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the scenario begins."""
        line = self.source.place(("name",)).line
        return self.path, line - 1, f"scenario: {_on_one_line(self.scenario.name)}"


class ScenarioFailed(AssertionError):
    """A scenario that did not hold; the text says all."""


def node_name(name: str) -> str:
    """A scenario's name within a node id: on one line, and with no colons that part a node id."""
    return _on_one_line(name).replace("::", ": :")


def _on_one_line(name: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name)


def _session_store() -> tuple[str, LocalStore]:
    """The store that the session's mode names, and its name."""
    from pgjobs_testing import session

    settings = session.settings()
    if settings is None or settings.mode != "postgres":
        from pgjobs.adapters.memory import MemoryStore

        return "memory", MemoryStore()
    source = session.source("postgres")
    assert source is not None, "a session with settings has stores"
    return "postgres", source.store(0)


def _shown(path: Path, config: pytest.Config) -> str:
    """The path as pytest shows it: from the root directory, where it is below it."""
    try:
        return str(path.relative_to(config.rootpath))
    except ValueError:
        return str(path)
