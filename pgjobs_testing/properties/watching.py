"""How a machine learns what happens: its stores and its workers tell their facts to one list.

A store is watched where it carries effects out, and so knows their order. A worker is
replaced in the registry by a copy that tells when its code is entered, and what it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pgjobs import telemetry
from pgjobs.adapters.local import LocalStore
from pgjobs.effects import Effect
from pgjobs.rules.errors import LivelockError
from pgjobs.rules.job import Job
from pgjobs.worker import REGISTRY, Worker
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.executor import StuckWorkerError
from pgjobs_testing.properties.facts import Answered, Began, Fact, facts_of


class Watching:
    """The facts since they were last taken, in order."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._facts: list[Fact] = []
        self._release: list[Callable[[], object]] = []

    def tell(self, fact: Fact) -> None:
        self._facts.append(fact)

    def taken(self) -> list[Fact]:
        """The facts that were not taken yet."""
        found, self._facts = self._facts, []
        return found

    def store(self, store: LocalStore) -> None:
        """Watch a store until ``close``."""
        carry_out, run_within = store.carry_out, store.run_within

        def told(effect: Effect[Any]) -> Any:
            answer = carry_out(effect)
            self._facts += facts_of(effect, answer, self._clock.now())
            return answer

        def told_within(effect: Effect[Any], connection: object) -> Any:
            before = len(self._facts)
            answer = run_within(effect, connection)
            if len(self._facts) == before:  # a caller's transaction passes carry_out by
                self._facts += facts_of(effect, answer, self._clock.now())
            return answer

        vars(store).update(carry_out=told, run_within=told_within)
        self._release.append(
            lambda: [vars(store).pop(name) for name in ("carry_out", "run_within")]
        )

    def workers(self, own: Mapping[str, Worker[..., Any]]) -> None:
        """Watch ``own`` workers and all that are registered, until ``close``."""
        before = dict(REGISTRY.by_name)

        def release() -> None:
            REGISTRY.by_name.clear()
            REGISTRY.by_name.update(before)

        self._release.append(release)
        for name, worker in {**before, **own}.items():
            REGISTRY.by_name[name] = Watched(worker, self)

    def close(self) -> None:
        """Give back what was taken, last things first."""
        while self._release:
            self._release.pop()()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Every run of a drain comes to an end; else the block raises what says which did not, and where.

        A drain with safety only stores it, and the model has no rule for it: it is a worker's mistake.
        """
        endless: list[Exception] = []

        def heard(_event: str, _measured: object, metadata: Mapping[str, Any]) -> None:
            if isinstance(error := metadata.get("exception"), StuckWorkerError | LivelockError):
                endless.append(error)

        telemetry.attach(_ENDING, "pgjobs.job.exception", heard)
        try:
            yield
        finally:
            telemetry.detach(_ENDING)
        if endless:
            raise endless[0]

    def began(self, job: Job) -> None:
        self.tell(Began(self._clock.now(), job))

    def answered(self, job: Job, value: Any, *, raised: bool) -> None:
        self.tell(Answered(self._clock.now(), job, value, raised))


_ENDING = "pgjobs_testing.JobsMachine"


class Watched(Worker[..., Any]):
    """A worker as it is, that tells of its runs."""

    def __init__(self, worker: Worker[..., Any], watching: Watching) -> None:
        vars(self).update(vars(worker))
        self._watching = watching

    def bound(self) -> Callable[[Job], Any]:
        perform = super().bound()
        watching = self._watching

        def told(job: Job) -> Any:
            watching.began(job)
            try:
                value = perform(job)
            except BaseException as error:
                watching.answered(job, error, raised=True)
                raise
            watching.answered(job, value, raised=False)
            return value

        async def told_async(job: Job) -> Any:
            watching.began(job)
            try:
                value = await perform(job)
            except BaseException as error:
                watching.answered(job, error, raised=True)
                raise
            watching.answered(job, value, raised=False)
            return value

        return told_async if self.is_async else told
