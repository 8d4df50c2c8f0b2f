"""A trace in the hand of a test: what ``jobs.timeline`` and ``advance`` give, to be drawn and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.job import Job
from pgjobs_testing.trace import Moment, Trace


def _nobody(jobs: Iterable[Job]) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Timeline(Trace):
    """A trace that can be drawn, and written as a scenario.

    ``saw`` hears of which jobs moments were picked.
    """

    saw: Callable[[Iterable[Job]], None] = field(default=_nobody, compare=False, repr=False)

    @classmethod
    def showing(cls, trace: Trace, saw: Callable[[Iterable[Job]], None] = _nobody) -> Timeline:
        """``trace``, to look at."""
        return cls(trace.start, trace.moments, trace.calls, trace.setting, saw)

    def to_svg(self, title: str = "Timeline") -> str:
        """The trace as a picture: one SVG file without scripts; equal traces give equal bytes."""
        from pgjobs_testing.pictures import svg

        return svg(self, _text(title, "title"))

    def to_html(self, title: str = "Timeline") -> str:
        """The trace as a page to zoom and search: one HTML file that loads nothing."""
        from pgjobs_testing.pictures import html

        return html(self, _text(title, "title"))

    def to_scenario(self, name: str = "what happened") -> str:
        """A scenario file (YAML) that replays it, job by job the same.

        Its first lines say what could not be told, if anything. ``ScenarioWritingError`` where the format
        cannot hold what happened, or for a part of a trace.
        """
        from pgjobs_testing.scenarios.writing import scenario_text

        return scenario_text(self, _text(name, "name"))

    def of(self, event: str) -> list[Moment]:
        """The moments of one event, such as ``start``, ``completed``, ``retryable``.

        ``start`` picks the starts of jobs. Those of others are named in full: ``task.start``, ``node.start``;
        so may every event of telemetry be. ``ConfigurationError`` for what names no event.
        """
        found = Trace.of(self, event)
        self.saw(moment.job for moment in found if moment.job is not None)
        return found

    def __iter__(self) -> Iterator[Moment]:
        self.saw(moment.job for moment in self.moments if moment.job is not None)
        return Trace.__iter__(self)


def _text(given: object, option: str) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(f"{option} takes a text, not {shown(given)}")
    return given
