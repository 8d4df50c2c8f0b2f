"""What a failing test's report shows of its jobs: their timeline in virtual time, and what repeats it."""

from __future__ import annotations

from pgjobs_testing.capture import Capture

TITLE = "pgjobs timeline"


def sections(capture: Capture) -> list[tuple[str, str]]:
    """Title and text of each section; none where nothing happened to jobs."""
    return [
        (TITLE, f"{engine.recorder.trace().text()}\n{capture.repeated_by}")
        for engine in capture.engines()
        if len(engine.recorder)
    ]
