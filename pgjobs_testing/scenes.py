"""The scene of an assertion: one engine of a capture, with what is known around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pgjobs.effects import Find
from pgjobs.rules.job import Job
from pgjobs.rules.selection import Selection
from pgjobs_testing.asserting.scene import Elsewhere, Scene
from pgjobs_testing.asserting.times import Times
from pgjobs_testing.capture import Capture, around
from pgjobs_testing.engine import Engine


def scene_of(capture: Capture, engine: Engine) -> Scene:
    """What assertions about the jobs of ``engine`` may look at."""
    return Scene(
        Times(engine.recorder.start, capture.clock.now()),
        engine.recorder,
        _jobs(engine),
        engine.saw,
        engine.served,
        _others(capture, engine) if capture.several else (),
        partial(_inserted_around, capture),
    )


def _others(capture: Capture, engine: Engine) -> tuple[Elsewhere, ...]:
    return tuple(
        Elsewhere(name, other.recorder, _jobs(other))
        for name, other in capture.named_engines()
        if name is not None and other is not engine
    )


def _jobs(engine: Engine) -> Callable[[], list[Job]]:
    return lambda: engine.store.run(_EVERY)


_EVERY = Find(Selection())


def _inserted_around(capture: Capture) -> int:
    """How many jobs were inserted outside of a capture, where its test does not look."""
    return sum(
        event.name == "pgjobs.job.insert"
        for outer in around(capture)
        for engine in outer.engines()
        for event in engine.recorder.events()
    )
