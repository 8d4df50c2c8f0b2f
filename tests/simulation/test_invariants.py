"""Each invariant sees the history that breaks it, and no other; and the engine as it is breaks none.

A history that breaks one invariant ends with the effect, or the answer, that no correct engine or store
gives. ``test_every_invariant_has_a_history_that_breaks_it`` keeps the list whole.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from pgjobs.plugins import Cron
from pgjobs.rules.job import NewJob
from pgjobs_testing import invariants
from pgjobs_testing.nodes.watching import AlarmError
from pgjobs_testing.simulation.world import World
from tests.simulation.stories import (
    asking,
    calling,
    ending,
    inserting,
    leading,
    limits,
    near,
    rebooting,
    resting,
    rows,
    starting,
    telling,
)
from tests.simulation.stories.told import BROKEN, running
from tests.simulation.story import Story

STORIES = (
    asking,
    calling,
    ending,
    inserting,
    leading,
    limits,
    near,
    rebooting,
    resting,
    rows,
    starting,
    telling,
)
SOUND = [
    told
    for each in STORIES
    for name, told in sorted(vars(each).items())
    if name.startswith("sound_")
]


@pytest.mark.parametrize(
    "name, history", [pytest.param(name, told, id=told.__name__) for name, told in BROKEN]
)
def test_a_history_that_breaks_an_invariant_raises_its_alarm_and_no_other(
    name: str, history: Callable[[], None]
) -> None:
    with pytest.raises(AlarmError) as raised:
        history()
    assert name == raised.value.alarm.invariant, str(raised.value)


@pytest.mark.parametrize("history", SOUND, ids=lambda told: told.__name__.removeprefix("sound_"))
def test_a_history_that_is_near_to_an_alarm_and_right_raises_none(
    history: Callable[[], None],
) -> None:
    history()


def test_the_first_alarm_is_kept_for_whoever_did_not_see_the_error() -> None:
    story = Story()
    job = running(story)
    for _ in range(2):
        with pytest.raises(AlarmError):
            story.settle(job, lie=lambda _: [False], take=False)
    assert story.seen.alarm is not None
    assert ("not_refused", (job.id,)) == (story.seen.alarm.invariant, story.seen.alarm.jobs)


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    folder = Path(invariants.__file__).parent
    named = {
        call.args[0].value
        for file in sorted(folder.glob("*.py"))
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("alarm", "_alarm")
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    assert named == {name for name, _ in BROKEN}


def test_the_entries_of_a_crontab_are_known_as_nodes_name_them() -> None:
    crontab = Cron([("* * * * *", NewJob("task", {}))])
    with World(nodes=1, plugins=[crontab], workers={"task": {"runs": [{"for": "1s"}]}}) as world:
        world.advance(1)
        assert world._play.overseer is not None
        invariants = world._play.overseer.invariants
        assert [*invariants.ledger.ticks] == [*invariants.facts.entries]
