"""What a block of a test enqueues: ``with jobs.expect_enqueued(...) as expected:``.

Only what was inserted inside the block counts, in whichever thread and through whichever instance on
the database that is looked at; each job as it was inserted, even if it has run or changed since.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import Job
from pgjobs_testing.asserting import verdict
from pgjobs_testing.asserting.clues import MOST, duplicates, lost
from pgjobs_testing.asserting.counting import Noun, asked
from pgjobs_testing.asserting.describing import listed, overview, title
from pgjobs_testing.asserting.expectation import Expectation
from pgjobs_testing.asserting.fields import OF_JOBS, Wanted, wanted
from pgjobs_testing.asserting.scene import Scene
from pgjobs_testing.asserting.verdict import Words
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.telling import counted
from pgjobs_testing.trace import Event

INSERTED = Noun(
    "matching job from the block",
    "matching jobs from the block",
    "no job that the block inserted matches",
)


class Expected:
    """What a block was expected to enqueue; ``job`` and ``jobs`` are there once it has ended well."""

    def __init__(
        self,
        look: Callable[[], Scene],
        filters: Mapping[str, Any],
        delta: object,
        count: object,
        at_least: object,
    ) -> None:
        self._look = look
        self._asked = asked(count, at_least, INSERTED)
        scene = look()
        fields = wanted(filters, OF_JOBS, delta, scene.times)
        self._expected: Expectation[Job] = Expectation(
            _from_the_insert(each, scene) for each in fields
        )
        self._marks: dict[int, int] = {}
        self._found: list[Job] | None = None

    @property
    def jobs(self) -> list[Job]:
        """The jobs that match, as they were inserted, in that order."""
        if self._found is None:
            raise ConfigurationError(
                "what a block enqueued is known once the block has ended as expected: ask after it"
            )
        return list(self._found)

    @property
    def job(self) -> Job:
        """The first job that matches."""
        if self._found == []:
            raise ConfigurationError("count=0 was expected of the block, so there is no job")
        return self.jobs[0]

    def _begin(self) -> Expected:
        scene = self._look()
        recorders = [scene.recorder, *(other.recorder for other in scene.others)]
        self._marks = {id(recorder): len(recorder) for recorder in recorders}
        return self

    def _end(self, scene: Scene) -> None:
        __tracebackhide__ = True
        stored = scene.jobs()
        if self._asked.most == 0:
            scene.refuse_unknown(self._expected.wanted, stored)
        events = self._since(scene.recorder)
        here = {job.id for job in stored}
        here |= {e.job.id for e in events if e.name == "pgjobs.job.start" and e.job is not None}
        jobs = [job for job in _inserted(events) if job.id in here]

        def words() -> Words[Job]:
            return _words(scene, lambda: self._clues(jobs, stored, events, scene))

        found = verdict.found(self._expected, jobs, self._asked, words)
        scene.saw(found)
        self._found = found

    def _since(self, recorder: Recorder) -> list[Event]:
        return recorder.events(self._marks.get(id(recorder), 0))

    def _clues(
        self, jobs: Sequence[Job], stored: Sequence[Job], events: Sequence[Event], scene: Scene
    ) -> Iterator[str]:
        """Why a job that should have come from the block did not."""
        if said := scene.unknown(self._expected.wanted, stored):
            yield said
        yield from duplicates(
            [each for each in events if each.name in ("pgjobs.job.conflict", "pgjobs.job.replace")],
            scene,
        )
        yield from lost(self._expected, _inserted(events), [*stored, *jobs], scene)
        own = {job.id for job in _inserted(events)}
        before = [job for job in stored if job.id not in own and self._expected.judge(job)]
        if before:
            names = listed([scene.called(job) for job in before], MOST)
            does = "matches" if len(before) == 1 else "match"
            yield f"{names} {does}, and {'was' if len(before) == 1 else 'were'} there before the block"
        for other in scene.others:
            there = sum(
                self._expected.judge(job) is True for job in _inserted(self._since(other.recorder))
            )
            if there:
                yield (
                    f"the block inserted {counted(there, 'matching job')} into the database of the "
                    f"instance {other.name!r}: jobs[{other.name!r}].expect_enqueued looks there"
                )


class ExpectedHere(Expected):
    """``with jobs.expect_enqueued(...)``."""

    def __enter__(self) -> Expected:
        return self._begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        if kind is None:
            self._end(self._look())


class ExpectedAsync(Expected):
    """``async with jobs.expect_enqueued_async(...)``."""

    def __init__(
        self,
        look: Callable[[], Scene],
        filters: Mapping[str, Any],
        delta: object,
        count: object,
        at_least: object,
        look_async: Callable[[], Awaitable[Scene]],
    ) -> None:
        super().__init__(look, filters, delta, count, at_least)
        self._look_async = look_async

    async def __aenter__(self) -> Expected:
        return self._begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        if kind is None:
            self._end(await self._look_async())


def _inserted(events: Iterable[Event]) -> list[Job]:
    return [e.job for e in events if e.name == "pgjobs.job.insert" and e.job is not None]


def _from_the_insert(each: Wanted, scene: Scene) -> Wanted:
    """``scheduled_in`` of a block counts from the insert, whenever in the block that was."""
    if each.name != "scheduled_in":
        return each
    now = scene.times.now
    return replace(each, of=lambda job: now + (job.scheduled_at - job.inserted_at))


def _words(scene: Scene, clues: Any) -> Words[Job]:
    def whole(jobs: Sequence[Job], matched: Sequence[Job]) -> list[tuple[str, list[str]]]:
        shown = overview(jobs, matched, scene.times, scene.called)
        return [(f"{heading} that the block inserted", lines) for heading, lines in shown]

    return Words(
        nothing="it inserted nothing",
        refused="the block may insert no job that matches",
        called=scene.called,
        line=lambda job: title(job, scene.times, scene.called) + scene.stray(job),
        overview=whole,
        legend=scene.times.legend(),
        clues=lambda: list(clues()),
    )
