"""Jobs that wait to run: what asks for them, and how a failure speaks of them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from pgjobs.rules.job import WAITING, Job
from pgjobs_testing.asserting import verdict
from pgjobs_testing.asserting.clues import clues
from pgjobs_testing.asserting.counting import Noun, asked
from pgjobs_testing.asserting.describing import overview, standing, title
from pgjobs_testing.asserting.expectation import Compared, Expectation
from pgjobs_testing.asserting.fields import OF_JOBS, Wanted, wanted
from pgjobs_testing.asserting.kinds import OneOf
from pgjobs_testing.asserting.scene import Scene
from pgjobs_testing.asserting.verdict import Words

WAITING_JOB = Noun(
    "matching job that waits to run",
    "matching jobs that wait to run",
    "no job that waits to run matches",
)
JOB = Noun("matching job", "matching jobs", "no job matches")
WAITS = Wanted("state", OneOf(WAITING), attrgetter("state"))
"""What ``assert_enqueued`` asks for beside its filters, where they do not name a state."""


class Enqueued:
    """One question about the jobs of one database, at one moment."""

    def __init__(self, filters: Mapping[str, Any], delta: object, scene: Scene) -> None:
        self._implied = () if "state" in filters else (WAITS,)
        self._jobs, self._scene = scene.jobs(), scene
        fields = wanted(filters, OF_JOBS, delta, scene.times)
        self.expected: Expectation[Job] = Expectation(fields, self._implied)

    def some(self, count: object, at_least: object) -> Job:
        """The first that matches, where they are as many as asked for."""
        __tracebackhide__ = True
        noun = WAITING_JOB if self._implied else JOB
        number = asked(count, at_least, noun, zero="refute_enqueued")
        found = verdict.found(self.expected, self._jobs, number, self._words)
        self._scene.saw(found)
        return found[0]

    def none(self) -> None:
        """None matches."""
        __tracebackhide__ = True
        self._scene.refuse_unknown(self.expected.wanted, self._jobs)
        verdict.none(self.expected, self._jobs, self._words)

    def every(self) -> list[Job]:
        """All that match."""
        __tracebackhide__ = True
        self._scene.refuse_unknown(self.expected.wanted, self._jobs)
        found = verdict.every(self.expected, self._jobs, self._words)
        self._scene.saw(found)
        return found

    def _words(self) -> Words[Job]:
        scene = self._scene
        waits = " that waits to run" if self._implied else ""
        return Words(
            nothing=scene.nothing(),
            refused=f"no job{waits} may match",
            called=scene.called,
            line=lambda job: title(job, scene.times, scene.called) + scene.stray(job),
            overview=lambda jobs, matched: overview(jobs, matched, scene.times, scene.called),
            legend=scene.times.legend(),
            clues=lambda: clues(self.expected, self._jobs, scene),
            aside=self._already,
        )

    def _already(self, compared: Compared[Job]) -> str:
        """What became of a job that does not wait."""
        if all(each.wanted is not WAITS for each in compared.missed):
            return ""
        job = compared.subject
        already = "" if job.state in ("executing", "suspended") else "already "
        return f"{already}{standing(job, self._scene.times)}"
