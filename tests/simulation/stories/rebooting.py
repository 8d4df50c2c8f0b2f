"""Reboots that fire twice, for another start than that of their node, or never."""

from __future__ import annotations

from datetime import datetime

from pgjobs.leading import Lead, Tick, Watermarks
from pgjobs.plugins import Cron
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.job import NewJob
from pgjobs.rules.schedule import EPOCH
from tests.simulation.stories.told import breaks
from tests.simulation.story import SECOND, Story

BOOT = Cron([("@reboot", NewJob("task", {}))])


def leading(story: Story | None = None, node: str = "a", *, late_s: float = 0) -> Story:
    """A node starts, leads ``late_s`` later, and knows of the reboots before it."""
    story = story or Story(plugins=(BOOT,))
    story.seen.joined(node, story.now, None)
    story.wait(late_s)
    lease = story.do(node, Lead("default", node, story.now, 30 * SECOND))
    fence = story.fence(node, lease.token)
    story.do(node, Watermarks(fence, tuple((key, EPOCH) for key in story.facts.entries)))
    return story


def rebooting(story: Story, node: str = "a", at: datetime | None = None) -> None:
    """The node fires its reboot: by default it started now."""
    (key,) = story.facts.entries
    fence = story.fence(node, story.seen.ledger.leases["default"].token)
    started = story.now if at is None else at
    story.do(node, Tick(fence, key, started, (NewJob("task", {}),)))


@breaks("reboots")
def a_reboot_fires_again_for_a_node_that_started_a_little_later() -> None:
    story = leading()
    rebooting(story)
    story.wait(29.9)
    started = story.now
    leading(story, "b", late_s=0.2)
    rebooting(story, "b", started)


@breaks("reboots")
def a_reboot_fires_for_another_instant_than_the_start() -> None:
    story = leading()
    story.wait(1)
    rebooting(story)


@breaks("reboots")
def a_leader_never_fires_the_reboot_that_it_owes() -> None:
    story = leading(late_s=50)
    story.wait(10)
    story.lead()


def sound_reboot_that_another_node_fired() -> None:
    story = leading()
    rebooting(story)
    story.wait(30)
    leading(story, "b")
    story.wait(10)
    story.lead("b")


def sound_reboot_that_is_too_long_ago() -> None:
    story = leading(late_s=61)
    story.wait(10)
    story.lead()


def sound_reboot_that_failed() -> None:
    story = leading()
    (key,) = story.facts.entries
    effect = Tick(story.fence(), key, story.now, ())
    story.seen.failed("a", effect, StoreUnavailableError("the line is dead"), story.now)
    story.wait(10)
    story.lead()


def sound_reboot_of_a_node_that_lost_its_lease() -> None:
    story = leading()
    story.wait(30)
    story.lead("b")
    story.do("a", Lead("default", "a", story.now, 30 * SECOND))
