"""What an operator set by hand, and what holds: the hand, until reset or until the configuration changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgjobs.rules.control import EVERY_QUEUE, Control, effective, merged
from pgjobs.rules.options import Queue, RateLimit


def test_without_a_hand_the_configuration_holds():
    assert Queue(3) == effective("a", Queue(3), {})
    assert Queue(3, True) == effective("a", Queue(3, True), {"b": Control(paused=False)})


@pytest.mark.parametrize("hand", [True, False])
@pytest.mark.parametrize("configured", [True, False])
def test_a_pause_by_hand_holds_while_the_configuration_says_what_it_said(
    hand: bool, configured: bool
):
    controls = {"a": Control(paused=hand, paused_over=configured)}
    assert hand == effective("a", Queue(3, configured), controls).paused
    assert (not configured) == effective("a", Queue(3, not configured), controls).paused


def test_a_scale_by_hand_holds_while_the_configuration_says_what_it_said():
    controls = {"a": Control(concurrency=7, concurrency_over=3)}
    assert 7 == effective("a", Queue(3), controls).concurrency
    assert 4 == effective("a", Queue(4), controls).concurrency


def test_one_changed_value_of_the_configuration_leaves_the_hand_on_the_other():
    controls = {"a": Control(paused=True, paused_over=False, concurrency=7, concurrency_over=3)}
    assert Queue(4, True) == effective("a", Queue(4, False), controls)
    assert Queue(7, True) == effective("a", Queue(3, True), controls)


def test_a_hand_that_does_not_know_the_configuration_holds_over_any():
    controls = {"a": Control(paused=True, concurrency=7)}
    assert Queue(7, True) == effective("a", Queue(3), controls)
    assert Queue(7, True) == effective("a", Queue(4), controls)


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_pause_of_every_queue_holds_where_a_queue_has_none_of_its_own(everywhere: bool):
    controls = {EVERY_QUEUE: Control(paused=everywhere), "b": Control(paused=not everywhere)}
    assert everywhere == effective("a", Queue(3, not everywhere), controls).paused
    assert (not everywhere) == effective("b", Queue(3), controls).paused


def test_a_pause_of_every_queue_leaves_the_concurrency_alone():
    controls = {EVERY_QUEUE: Control(paused=True), "a": Control(concurrency=7)}
    assert Queue(7, True) == effective("a", Queue(3), controls)


def test_a_new_value_replaces_the_old_together_with_what_it_was_set_over():
    old = Control(paused=True, paused_over=False, concurrency=7, concurrency_over=3)
    assert Control(False, None, 7, 3) == merged(old, Control(paused=False))
    assert Control(True, False, 9, 4) == merged(old, Control(concurrency=9, concurrency_over=4))
    assert Control(paused=False) == merged(None, Control(paused=False))


def test_what_a_value_was_set_over_is_nothing_without_the_value():
    assert Control() == merged(None, Control(paused_over=True, concurrency_over=3))


def test_the_hand_leaves_the_limits_over_all_nodes_alone():
    limited = Queue(3, global_concurrency=5, rate_limit=RateLimit(1, 60))
    controls = {"a": Control(concurrency=7)}
    assert replace(limited, concurrency=7) == effective("a", limited, controls)
