"""What an assertion may look at beside the stored jobs: what happened, and where else jobs went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pgjobs.rules.errors import ConfigurationError, closest, nearest
from pgjobs.rules.job import Job
from pgjobs.rules.options import Queue
from pgjobs.worker import DEFAULT_QUEUE, REGISTRY
from pgjobs_testing.asserting.fields import Wanted
from pgjobs_testing.asserting.kinds import Named
from pgjobs_testing.asserting.times import Times
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.trace import Event

NO_QUEUE = "no queue named {!r} is served, no worker is of it, and no job is in it{}"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another database of the test: the name of its instance, what happened there, and its jobs."""

    name: str
    recorder: Recorder
    jobs: Callable[[], list[Job]]


@dataclass(eq=False, slots=True)
class Scene:
    """One database of a test at the moment of an assertion.

    ``jobs`` reads what it stores now; ``saw`` is told which the test matched, and so has looked at.
    ``served`` tells the queues that the application serves, None
    for every one; ``others`` are its other databases; ``outside`` counts the jobs that were inserted
    around the test, where it does not look.
    """

    times: Times
    recorder: Recorder
    jobs: Callable[[], list[Job]]
    saw: Callable[[Iterable[Job]], None]
    served: Callable[[], Mapping[str, Queue] | None]
    others: tuple[Elsewhere, ...] = ()
    outside: Callable[[], int] = lambda: 0

    def events(self, *names: str) -> list[Event]:
        """What happened under these names, in order."""
        return [each for each in self.recorder.events() if each.name in names]

    def nothing(self) -> str:
        """How it is said that no job is stored."""
        if len(self.recorder):
            return "nothing is stored"
        elsewhere = any(len(other.recorder) for other in self.others)
        return f"nothing was enqueued {'in this database' if elsewhere else 'at all'}"

    def called(self, job: Job) -> str:
        """How a failure names a job: as the timeline does, by its place in the order of inserts."""
        ordinal = self.recorder.ordinal(job.id)
        return f"#{ordinal}" if ordinal else f"id {job.id}"

    def stray(self, job: Job) -> str:
        """Says of a job that a thread inserted which an earlier test began; "" of any other."""
        whose = self.recorder.strays.get(job.id)
        return "" if whose is None else f"; {whose}"

    def unknown(self, wanted: Iterable[Wanted], jobs: Iterable[Job]) -> str:
        """Says of a worker or a queue that is asked for by a name which nothing has; "" otherwise."""
        for each in wanted:
            if isinstance(each.pattern, Named) and (said := self._unknown(each, jobs)):
                return said
        return ""

    def refuse_unknown(self, wanted: Iterable[Wanted], jobs: Iterable[Job]) -> None:
        """``ConfigurationError`` for a name that nothing has, which no job would match unseen."""
        if said := self.unknown(wanted, jobs):
            raise ConfigurationError(
                f"{said}{'' if said.endswith('?') else '.'} If it is meant, as for jobs of another "
                "system, give a function: lambda name: name == ..."
            )

    def refuse_misspelt(self, queue: str) -> None:
        """``ConfigurationError`` for a queue that is not served and holds nothing, beside one named alike.

        Where every queue is served, and where no other has such a name, it may be meant.
        """
        known = self._queues()
        if self.served() is None or queue in known or not closest(queue, known):
            return
        if all(job.queue != queue for job in self.jobs()):
            raise ConfigurationError(NO_QUEUE.format(queue, nearest(queue, known)))

    def _queues(self) -> set[str]:
        """The queues that are served, and those of the workers."""
        of_workers = {
            str(each.defaults.get("queue", DEFAULT_QUEUE)) for each in REGISTRY.by_name.values()
        }
        return of_workers | set(self.served() or ())

    def _unknown(self, wanted: Wanted, jobs: Iterable[Job]) -> str:
        assert isinstance(wanted.pattern, Named)
        name = wanted.pattern.name
        if any(getattr(job, wanted.name) == name for job in jobs):
            return ""
        if wanted.name == "worker":
            known = set(REGISTRY.by_name)
            what = "no worker named {!r} is registered, and no job names it{}"
        else:
            known = self._queues()
            what = NO_QUEUE
        if not known or name in known:
            return ""
        near = nearest(name, known)
        return what.format(name, near if len(near) <= 200 else "")
