"""What must fit together in a scenario: names that are referred to, the order of steps, "one of".

The checks read the file's data as it is, also where a model refused a part of it, so that one run
finds every mistake. They take for granted nothing but that the data is a mapping.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

from pgjobs.rules.schedule import LAST_INSTANT
from pgjobs.worker import Worker
from pgjobs_testing.scenarios import faults
from pgjobs_testing.scenarios.duties import NOT_IN_A_CRONTAB
from pgjobs_testing.scenarios.expectations import EXPECTED_OF_A_JOB, SUBJECTS
from pgjobs_testing.scenarios.mistakes import at_path, did_you_mean, found, listed
from pgjobs_testing.scenarios.model import resolved
from pgjobs_testing.scenarios.source import Source, TreePath
from pgjobs_testing.scenarios.steps import ACTIONS
from pgjobs_testing.scenarios.times import END, START, moment
from pgjobs_testing.scenarios.work import OUTCOMES, WorkerSpec

Found = Iterator[tuple[TreePath, dict[str, Any]]]

_OF_SUBJECT = {"count": ("is",), "jobs": ("order",)}
_OF_THE_CODE = ("runs", "backoff", "timeout")
_OF_A_RUN = frozenset({"ignores", "insert", "insert_all", *OUTCOMES})
_BACKOFFS = ("constant", "linear", "exponential")


def check(source: Source) -> None:
    """Note every mistake of a source that no single value shows."""
    _Checks(source).all()


class _Checks:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._data: dict[str, Any] = source.data
        start = moment(self._data.get("start"))
        self._start = start if isinstance(start, datetime) else START
        self._inserts = dict(self._all_inserts())
        self._jobs = {
            insert["as"]: path
            for path, insert in reversed(self._inserts.items())
            if isinstance(insert.get("as"), str)
        }
        self._workers = dict.fromkeys(_keys(self._data.get("workers")))
        self._nodes = _names(self._data.get("nodes")) or ["a"]
        self._queues = self._known_queues()
        self._rows = None if self._queues is None else self._workers | source.imports.workers

    def all(self) -> None:
        self._check_nodes()
        self._check_queues()
        for path, worker in self._mappings("workers"):
            self._check_use(path, worker)
            self._check_backoff((*path, "backoff"), worker.get("backoff"))
            for n, run in enumerate(_items(worker.get("runs"))):
                if isinstance(run, dict):
                    self._check_run((*path, "runs", n), run)
        for path, insert in self._inserts.items():
            self._check_insert(path, insert)
        self._check_names()
        self._check_plugins()
        self._check_steps()
        faults.check(self._source, self._nodes, self._queues, self._at, self._reference)
        for path, expectation in self._mappings("expect"):
            self._check_expectation(path, expectation)

    # What the file holds

    def _mappings(self, key: str) -> Found:
        """The mappings within a key of the top: in a mapping of ``workers``, else in a list."""
        held = self._data.get(key)
        pairs: Iterable[tuple[str | int, Any]]
        if key == "workers":
            pairs = held.items() if isinstance(held, dict) else ()
        else:
            pairs = enumerate(_items(held))
        for step, item in pairs:
            if isinstance(item, dict):
                yield (key, step), item

    def _all_inserts(self) -> Found:
        """Every job that the file inserts: those of steps in order, then those of runs."""
        for path, step in self._mappings("steps"):
            yield from self._inserts_of(path, step)
        for path, worker in self._mappings("workers"):
            for n, run in enumerate(_items(worker.get("runs"))):
                if isinstance(run, dict):
                    yield from self._inserts_of((*path, "runs", n), run)

    @staticmethod
    def _inserts_of(path: TreePath, part: dict[str, Any]) -> Found:
        """The jobs that a step or a run inserts."""
        if isinstance(part.get("insert"), dict):
            yield (*path, "insert"), part["insert"]
        for n, insert in enumerate(_items(part.get("insert_all"))):
            if isinstance(insert, dict):
                yield (*path, "insert_all", n), insert

    def _known_queues(self) -> dict[str, None] | None:
        """Queues that a file may name; None where the real workers that have some are not known."""
        workers = [worker for _, worker in self._mappings("workers")]
        if any("use" in worker and self._real(worker) is None for worker in workers):
            return None
        used = [each.get("queue", "default") for each in workers if "use" not in each]
        used += [insert.get("queue") for insert in self._inserts.values()]
        used += [*self._cron_queues(), *self._source.imports.queues]
        found_names = [*_keys(self._data.get("queues")), *used]
        return dict.fromkeys(name for name in found_names if isinstance(name, str))

    def _cron_queues(self) -> list[Any]:
        lines = self._source.value(("plugins", "cron", "crontab"))
        jobs = [line[1] for line in _items(lines) if isinstance(line, list) and len(line) == 2]
        return [job.get("queue") for job in jobs if isinstance(job, dict)]

    # Checks

    def _check_nodes(self) -> None:
        seen: set[str] = set()
        for n, name in enumerate(_items(self._data.get("nodes"))):
            if isinstance(name, str) and name in seen:
                said = f"found the name {found(name)} again; accepted: each name once"
                self._source.report(("nodes", n), f"{at_path(('nodes', n))}: {said}")
            elif isinstance(name, str):
                seen.add(name)

    def _check_queues(self) -> None:
        for queue, served in _mapping(self._data.get("queues")).items():
            for n, name in enumerate(_items(_mapping(served).get("nodes"))):
                self._reference(("queues", queue, "nodes", n), name, self._nodes, "node")

    def _check_plugins(self) -> None:
        if "steps" not in self._data and "plugins" not in self._data:
            self._source.report((), "the key 'steps' is missing")
            return
        plugins = self._data.get("plugins")
        cron = plugins.get("cron") if isinstance(plugins, dict) else None
        lines = _items(cron.get("crontab")) if isinstance(cron, dict) else []
        for n, line in enumerate(lines):
            if isinstance(line, list) and len(line) == 2:
                self._check_cron_job(("plugins", "cron", "crontab", n, 1), line[1])
        tasks = self._check_tasks(plugins)
        if "until" not in self._data and (lines or tasks):
            said = "entries of a crontab have no end: the key 'until' is needed"
            self._source.report(("plugins",), said, key=True)

    def _check_tasks(self, plugins: Any) -> list[Any]:
        """The entries of the leader's tasks, each of a name of its own."""
        path: TreePath = ("plugins", "leader_tasks", "crontab")
        seen: set[str] = set()
        lines = _items(_mapping(_mapping(plugins).get("leader_tasks")).get("crontab"))
        for n, line in enumerate(lines):
            task = line[1] if isinstance(line, list) and len(line) == 2 else None
            name = task.get("task") if isinstance(task, dict) else task
            where = (*path, n, 1, "task") if isinstance(task, dict) else (*path, n, 1)
            if isinstance(name, str) and name in seen:
                said = f"found the name {found(name)} again; accepted: each name once"
                self._source.report(where, f"{at_path(where)}: {said}")
            elif isinstance(name, str):
                seen.add(name)
            for m, run in enumerate(_items(_mapping(task).get("runs"))):
                if isinstance(run, dict):
                    self._check_run((*path, n, 1, "runs", m), run)
        return lines

    def _check_cron_job(self, path: TreePath, what: Any) -> None:
        if not isinstance(what, dict):
            self._reference(path, what, self._workers, "worker")
            return
        self._reference((*path, "worker"), what.get("worker"), self._workers, "worker")
        for key in NOT_IN_A_CRONTAB:
            if key in what:
                said = f"{at_path(path)}: found {key!r}, which would mean one job of them all"
                self._source.report((*path, key), said, key=True)

    def _check_use(self, path: TreePath, worker: dict[str, Any]) -> None:
        """A real worker brings everything along, and shares its name with no scripted one."""
        if "use" not in worker:
            return
        for key in worker:
            if key != "use" and key in WorkerSpec.model_fields:
                said = (
                    f"{at_path(path)}: found {key} beside use; a real worker has its own: "
                    f"{'leave it out' if key in _OF_THE_CODE else 'give it where a job is inserted'}"
                )
                self._source.report((*path, key), said, key=True)
        real = self._real(worker)
        if real is not None and "use" not in _mapping(
            _mapping(self._data["workers"]).get(real.name, worker)
        ):
            said = f"{at_path(path)}.use: found the worker {real.name!r}, which the file scripts"
            self._source.report((*path, "use"), f"{said}; accepted: one of the two")

    def _real(self, worker: dict[str, Any]) -> Worker[Any, Any] | None:
        """The worker that ``use`` has been found to mean."""
        written = worker.get("use")
        return self._source.imports.found.get(written) if isinstance(written, str) else None

    def _check_backoff(self, path: TreePath, backoff: Any) -> None:
        if isinstance(backoff, dict):
            self._exactly_one(path, backoff, _BACKOFFS, "a backoff is one of", ("jitter", "max"))

    def _check_run(self, path: TreePath, run: dict[str, Any]) -> None:
        given = [key for key in run if key in OUTCOMES]
        if len(given) > 1:
            self._source.report(
                (*path, given[1]),
                f"{at_path(path)}: found {given[0]} and {given[1]}; accepted: one end of a run",
                key=True,
            )
        for key in ("for", "insert", "insert_all"):
            if "hang" in run and key in run:
                said = f"{at_path(path)}: found {key} beside hang; a run that hangs has no end"
                self._source.report((*path, key), said, key=True)
        if "ignores" in run and "for" not in run and not run.keys() - _OF_A_RUN:
            said = f"{at_path(path)}: found ignores without for; accepted: with how long it goes on"
            self._source.report((*path, "ignores"), said, key=True)

    def _check_insert(self, path: TreePath, insert: dict[str, Any]) -> None:
        self._reference((*path, "worker"), insert.get("worker"), self._workers, "worker")
        if insert.get("schedule_in") is not None and insert.get("scheduled_at") is not None:
            said = f"{at_path(path)}: found schedule_in and scheduled_at; accepted: one of them"
            self._source.report((*path, "scheduled_at"), said, key=True)
        self._bound((*path, "scheduled_at"), insert.get("scheduled_at"))

    def _check_names(self) -> None:
        for path, insert in self._inserts.items():
            name = insert.get("as")
            if isinstance(name, str) and self._jobs[name] != path:
                line = self._source.place((*self._jobs[name], "as")).line
                said = f"{at_path(path)}: found the name {found(name)} again, given in line {line}"
                self._source.report((*path, "as"), f"{said}; accepted: each name once")

    def _check_steps(self) -> None:
        last: datetime | None = None
        until = self._at(self._data.get("until"))
        self._bound(("until",), self._data.get("until"))
        for path, step in self._mappings("steps"):
            self._exactly_one(path, step, ACTIONS, "a step does one of", ("at",))
            for action in ("cancel", "retry", "delete"):
                self._check_order((*path, action), step.get(action))
            for action in ("pause", "resume", "reset"):
                self._reference((*path, action), step.get(action), self._queues, "queue")
            for action in ("scale", "drain"):
                if isinstance(step.get(action), dict):
                    named = step[action].get("queue")
                    self._reference((*path, action, "queue"), named, self._queues, "queue")
            at = self._at(step.get("at"))
            if at is None:
                continue
            place = (*path, "at")
            self._bound(place, step["at"])
            if at < self._start:
                self._source.report(place, f"{at_path(place)}: found an instant before the start")
            if last is not None and at < last:
                said = f"found {found(step['at'])} after a later step; accepted: steps in order"
                self._source.report(place, f"{at_path(place)}: {said}")
            elif until is not None and at > until:
                self._after_until(place, step["at"])
            last = at if last is None else max(last, at)

    def _check_order(self, path: TreePath, meant: Any) -> None:
        if not isinstance(meant, dict):
            self._check_target(path, meant)
            return
        self._check_filter(path, meant)
        names = meant.get("jobs")
        if not isinstance(names, list):
            self._check_target((*path, "jobs"), names)
            return
        for n, name in enumerate(names):
            self._check_target((*path, "jobs", n), name)

    def _check_target(self, path: TreePath, name: Any) -> None:
        """A job that a step names is inserted by an earlier step, or by a run."""
        step = path[1]
        assert isinstance(step, int)
        self._reference(path, name, self._jobs, "job")
        where = self._jobs.get(name) if isinstance(name, str) else None
        if where is not None and where[0] == "steps" and int(where[1]) > step:
            line = self._source.place(where).line
            said = f"found {found(name)}, which is inserted later, in line {line}"
            self._source.report(path, f"{at_path(path)}: {said}")

    def _check_expectation(self, path: TreePath, given: dict[str, Any]) -> None:
        others = ("at", "is", "order", *EXPECTED_OF_A_JOB)
        subject = self._exactly_one(path, given, SUBJECTS, "an expectation is about one of", others)
        self._check_instants(path, given)
        for key in SUBJECTS:
            if isinstance(given.get(key), dict):
                self._check_filter((*path, key), given[key])
        self._reference((*path, "job"), given.get("job"), self._jobs, "job")
        self._reference((*path, "conflict"), given.get("conflict"), self._jobs, "job")
        for n, name in enumerate(_items(given.get("order"))):
            self._reference((*path, "order", n), name, self._jobs, "job")
        self._reference((*path, "queue"), given.get("queue"), self._queues, "queue")
        self._reference((*path, "worker"), given.get("worker"), self._rows, "worker")
        self._reference((*path, "node"), given.get("node"), self._nodes, "node")
        if subject is None:
            return
        of_job = [key for key in EXPECTED_OF_A_JOB if key in given]
        mine = of_job if subject == "job" else _OF_SUBJECT[subject]
        if subject == "job":
            if not of_job:
                said = f"{at_path(path)}: says nothing of the job; accepted: state, attempt, ..."
                self._source.report(path, said)
        elif mine[0] not in given:
            self._source.report(
                path, f"{at_path(path)}: {subject} needs the key {mine[0]!r} as well"
            )
        for key in (*of_job, "is", "order"):
            if key in given and key not in mine:
                said = f"{at_path(path)}: {key!r} does not go with {subject!r}"
                self._source.report((*path, key), said, key=True)

    def _check_instants(self, path: TreePath, given: dict[str, Any]) -> None:
        for key, value in given.items():
            if key == "at" or key.endswith("_at"):
                self._bound((*path, key), value)
        at = self._at(given.get("at"))
        until = self._at(self._data.get("until"))
        if at is not None and at < self._start:
            place = (*path, "at")
            self._source.report(place, f"{at_path(place)}: found an instant before the start")
        if at is not None and until is not None and at > until:
            self._after_until((*path, "at"), given["at"])

    def _check_filter(self, path: TreePath, given: dict[str, Any]) -> None:
        for key, known in (("queue", self._queues), ("worker", self._rows)):
            for name in _items(given.get(key)) or [given.get(key)]:
                self._reference((*path, key), name, known, key)

    # Their means

    def _at(self, written: Any) -> datetime | None:
        meant = moment(written)
        return None if meant is None else resolved(self._start, meant)

    def _bound(self, path: TreePath, written: Any) -> None:
        meant = self._at(written)
        if meant is not None and meant >= LAST_INSTANT:
            said = (
                f"{at_path(path)}: found {found(written)}; accepted: instants before the year 10000"
            )
            self._source.report(path, said)

    def _after_until(self, path: TreePath, written: Any) -> None:
        end = f", or {END!r}" if path[0] == "expect" else ""
        until = self._data.get("until")
        said = f"found {found(written)}; accepted: instants up to until, {until}{end}"
        self._source.report(path, f"{at_path(path)}: {said}")

    def _exactly_one(
        self,
        path: TreePath,
        given: dict[str, Any],
        known: Iterable[str],
        what: str,
        others: Iterable[str],
    ) -> str | None:
        """The one of ``known`` that is given; another number of them is a mistake.

        None of them is no mistake of its own where a key is unknown: it may be the one, misspelt.
        """
        names = tuple(known)
        present = [name for name in given if name in names]
        if len(present) == 1:
            return present[0]
        accepted = ", ".join(names)
        if not present and not given.keys() - set(others):
            self._source.report(path, f"{at_path(path)}: {what}: {accepted}")
        elif present:
            said = f"{at_path(path)}: found {present[0]} and {present[1]}; {what}: {accepted}"
            self._source.report((*path, present[1]), said, key=True)
        return None

    def _reference(
        self, path: TreePath, name: Any, known: Collection[str] | None, what: str
    ) -> None:
        if not isinstance(name, str):
            return  # a model says what is wrong with it
        if known is None or name in known:
            return
        near = did_you_mean(name, known) or f"; known are {listed(known)}"
        self._source.report(path, f"{at_path(path)}: no {what} is named {found(name)}{near}")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []


def _names(value: Any) -> list[str]:
    return [name for name in _items(value) if isinstance(name, str)]
