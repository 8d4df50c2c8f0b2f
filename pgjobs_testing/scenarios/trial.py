"""What only making a scenario's workers and jobs shows: options that do not fit, args that no model takes.

The engine's own checks are asked, so that a file is refused for them, where it says so, and never
played in part.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pgjobs.rules.errors import PgJobsError
from pgjobs.worker import Registry
from pgjobs_testing.scenarios import scripted
from pgjobs_testing.scenarios.mistakes import at_path
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.source import Source, TreePath
from pgjobs_testing.scenarios.work import InsertSpec, WorkerSpec


def check(source: Source, scenario: Scenario) -> None:
    """Note every worker and job of a scenario that cannot be made."""
    known = Registry()
    for name, spec in scenario.workers.items():
        _try(source, ("workers", name), partial(_add, name, spec, known))
    for path, insert in scenario.inserts():
        if scenario.stored(insert.worker) in known.by_name:
            _try(source, path, partial(_make, insert, known, scenario))


def _add(name: str, spec: WorkerSpec, known: Registry) -> None:
    known.add(scripted.worker(name, spec) if spec.use is None else spec.use)


def _make(insert: InsertSpec, known: Registry, scenario: Scenario) -> None:
    if insert.schedule_in is None or insert.scheduled_at is None:  # both are told of already
        scripted.new_job(insert, known, scenario)


def _try(source: Source, path: TreePath, make: Callable[[], None]) -> None:
    try:
        make()
    except PgJobsError as error:
        source.report(path, f"{at_path(path)}: {' '.join(str(error).split())}")
