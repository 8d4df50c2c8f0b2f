"""Functions of a leader that are called twice, by another node, after its lease, or never."""

from __future__ import annotations

from datetime import datetime

from pgjobs.leading import Tick, Watermarks
from pgjobs.plugins import LeaderTasks
from pgjobs.rules.errors import StoreUnavailableError
from tests.simulation.stories.told import MINUTE, breaks
from tests.simulation.story import Story


def clean() -> None:
    raise AssertionError("a story runs no code")


TASKS = LeaderTasks([("* * * * *", clean)])


def claiming(story: Story | None = None) -> tuple[Story, Tick]:
    """A leader, and its claim of the next tick of its function, at the tick's instant."""
    story = story or Story(plugins=(TASKS,))
    story.up()
    story.lead()
    (key,) = story.facts.entries
    story.do("a", Watermarks(story.fence(), ((key, story.now),)))
    at = story.now.replace(second=0, microsecond=0) + MINUTE
    story.wait((at - story.now).total_seconds())
    story.lead()
    return story, Tick(story.fence(token=story.seen.ledger.leases["default"].token), key, at, ())


def told(story: Story, event: str, tick: Tick, node: str = "a", at: datetime | None = None) -> None:
    metadata = {"node": node, "task": tick.key, "at": tick.at if at is None else at}
    story.seen.heard(f"pgjobs.task.{event}", metadata, story.now)


def called(story: Story | None = None) -> tuple[Story, Tick]:
    """A tick that was claimed, and its function called."""
    story, tick = claiming(story)
    story.do("a", tick)
    told(story, "start", tick)
    return story, tick


def sound_function_that_takes_a_while() -> None:
    story, tick = called()
    story.wait(20)
    told(story, "stop", tick)
    story.seen.look(story.now)


def sound_claim_whose_answer_is_lost() -> None:
    story, tick = claiming()
    story.do("a", tick)
    story.seen.failed("a", tick, StoreUnavailableError("the line is dead"), story.now)
    story.wait(20)
    story.seen.look(story.now)


def sound_claim_of_a_node_that_stands_still() -> None:
    story, tick = claiming()
    story.do("a", tick)
    story.seen.suspended("a", story.now)
    story.wait(100)
    story.seen.look(story.now)
    story.lead("b")
    told(story, "skip", tick)


def sound_claim_of_a_node_that_is_gone() -> None:
    story, tick = claiming()
    story.do("a", tick)
    story.seen.gone("a")
    story.wait(20)
    story.seen.look(story.now)


@breaks("called")
def a_function_is_called_twice_for_a_tick() -> None:
    story, tick = called()
    told(story, "stop", tick)
    told(story, "start", tick)


@breaks("called")
def a_function_is_called_again_for_a_tick_whose_caller_has_crashed() -> None:
    story, tick = called()
    story.seen.gone("a")
    story.wait(30)
    story.lead("b")
    told(story, "start", tick, "b")


@breaks("called")
def a_function_is_called_for_a_tick_that_another_node_claimed() -> None:
    story, tick = claiming()
    story.do("a", tick)
    told(story, "start", tick, "b")


@breaks("called")
def a_function_is_called_for_a_tick_that_nobody_claimed() -> None:
    story, tick = called()
    told(story, "stop", tick)
    told(story, "start", tick, at=tick.at + MINUTE)


@breaks("called")
def a_function_is_called_though_the_answer_to_its_claim_was_lost() -> None:
    story, tick = claiming()
    story.do("a", tick)
    story.seen.failed("a", tick, StoreUnavailableError("the line is dead"), story.now)
    told(story, "start", tick)


@breaks("called")
def a_function_is_called_when_its_node_leads_no_more() -> None:
    story, tick = claiming()
    story.do("a", tick)
    story.seen.suspended("a", story.now)
    story.wait(30)
    story.lead("b")
    told(story, "start", tick)


@breaks("called")
def a_function_is_called_while_its_last_call_runs() -> None:
    story, tick = called()
    for _ in range(3):
        story.wait(20)
        story.lead()
    (key,) = story.facts.entries
    later = Tick(story.fence(), key, tick.at + MINUTE, ())
    story.do("a", later)
    told(story, "start", later)


@breaks("called")
def a_tick_is_skipped_while_nothing_runs() -> None:
    story, tick = claiming()
    story.do("a", tick)
    told(story, "skip", tick)


@breaks("called")
def a_function_ends_that_did_not_run() -> None:
    story, tick = claiming()
    story.do("a", tick)
    told(story, "stop", tick)


@breaks("called")
def a_tick_is_claimed_and_its_function_never_called() -> None:
    story, tick = claiming()
    story.do("a", tick)
    story.wait(20)
    story.seen.look(story.now)
