"""What happens in a child: the suite is let loose on the broken engine, until the first expected alarm.

A test counts as an alarm where it fails in its own call, for a reason that a fault of the engine can
have: not where it cannot be set up, and not for an error that a mistake in the ablation itself makes
(a name that is not there, SQL that cannot be read).
"""

from __future__ import annotations

import re
import time  # noqa: TID251 - trials end after so many real seconds
from typing import Any

import pytest

MISTAKES = (
    "AttributeError",
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "SyntaxError",
    "UnboundLocalError",
    "psycopg.errors.SyntaxError",
    "psycopg.errors.Undefined",
)
"""How errors begin that come of an ablation which does not fit the source."""

OPTIONS = (
    "-q",
    "--tb=short",
    "-pno:cacheprovider",
    "-Wignore:Module already imported so cannot be rewritten",  # the nursery did, on purpose
)


def tried(request: dict[str, Any]) -> dict[str, Any]:
    """The first expected alarm of this trial, if there is one, and all that was seen before it."""
    if request["kind"] == "simulation":
        return simulated(**request["with"])
    return tested(**request["with"])


def simulated(
    store: str, dsn: str | None, seeds: list[int], alarms: list[str], seconds: float
) -> dict[str, Any]:
    """Seeds played until one raises an expected alarm, or until ``seconds`` have passed."""
    from tests.ablations.simulating import Player

    begun = time.monotonic()
    others: dict[str, list[str]] = {}
    found: dict[str, Any] = {"killer": None, "tried": 0}
    with Player(store, dsn) as player:
        for seed in seeds:
            alarm = player.alarm(seed)
            found["tried"] += 1
            if alarm is not None:
                told = _ALARM.fullmatch(alarm)
                invariant = told["invariant"] if told else "a crash"
                if invariant in alarms:
                    assert told is not None
                    found |= {"killer": seed, "alarm": told["said"].partition("\n")[0]}
                    break
                others.setdefault(invariant, []).append(f"seed {seed}: {alarm}")
            if time.monotonic() - begun > seconds:
                break
    shown = [f"{len(seen)} times {name}, first by {seen[0]}" for name, seen in others.items()]
    return found | {"others": shown}


_ALARM = re.compile(r"(?:stopped at [^:]+: )?(?P<said>(?P<invariant>\w+): .*)", re.DOTALL)


def tested(arguments: list[str], alarms: list[str] | None, hangs: bool) -> dict[str, Any]:
    """The tests of ``arguments``: those named in ``alarms`` alone, or all of them where it is None."""
    watcher = Watcher(alarms, hangs)
    code = pytest.main([*arguments, *OPTIONS], [watcher])
    found: dict[str, Any] = {
        "killer": watcher.killer,
        "alarm": watcher.alarm,
        "tried": watcher.ran,
        "examples": watcher.examples,
        "others": watcher.others,
        "code": int(code),
    }
    return found


class Watcher:
    """Keeps the tests that may raise the alarm, and hears the first that does.

    A test that does not end raises it only if ``hangs``: else the machine may have been busy.
    """

    def __init__(self, alarms: list[str] | None, hangs: bool) -> None:
        self._alarms, self._hangs = alarms, hangs
        self.killer: str | None = None
        self.alarm = ""
        self.ran = 0
        self.examples: int | None = None
        self.others: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        import hypothesis

        hypothesis.settings.register_profile(
            "ablations",
            derandomize=True,
            database=None,
            deadline=None,
            phases=(
                hypothesis.Phase.explicit,
                hypothesis.Phase.generate,
            ),  # a kill needs no shrinking
        )
        hypothesis.settings.load_profile("ablations")

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        if self._alarms is None:
            return
        kept = [item for item in items if _names(item.nodeid) & {*self._alarms}]
        gone = [item for item in items if item not in kept]
        items[:] = kept
        config.hook.pytest_deselected(items=gone)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report = yield
        if report.when == "call":
            self.ran += 1
        if report.failed:
            self._failed(item, report, call)
        return report

    def _failed(
        self, item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None]
    ) -> None:
        assert call.excinfo is not None
        error = call.excinfo.value
        kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        seen = f"{kind}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:200]
        no_alarm = (
            report.when != "call"
            or kind.startswith(MISTAKES)
            or _MISTAKEN_SQL.search(str(error)) is not None
            or (not self._hangs and "Timeout" in seen)
        )
        if no_alarm or self._alarms is None:
            self.others.append(f"{item.nodeid} ({report.when}): {seen}")
        elif self.killer is None:
            self.killer, self.alarm = item.nodeid, seen
            self.examples = _examples(item)
            item.session.shouldstop = "killed"


_MISTAKEN_SQL = re.compile(
    r"syntax error at or near|column .* does not exist|operator does not exist"
)


def _names(node_id: str) -> set[str]:
    """What a test is called in the list of alarms: its function, its class, or its scenario file."""
    path, _, name = node_id.partition("::")
    return {path.rpartition("/")[2], *name.partition("[")[0].split("::")}


def _examples(item: pytest.Item) -> int | None:
    """How many examples hypothesis took; None for a test that has none."""
    told = getattr(item, "hypothesis_statistics", None)
    if told is None:
        return None
    counts = re.findall(r"(\d+) (?:passing|failing|invalid)\b", told)
    return sum(map(int, counts)) or None
