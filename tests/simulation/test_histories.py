"""Right histories are accepted; each wrong one is refused under its name."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pgjobs_testing.simulation.histories import check
from tests.simulation.broken_histories import DEEDS, SETTING
from tests.simulation.made_histories import STEP, WIDTH, made

EACH = [(name, deed) for name, deeds in DEEDS.items() for deed in deeds]


@settings(max_examples=300)
@given(st.lists(STEP, max_size=60))
def test_a_history_that_can_have_been_has_no_anomaly(steps):
    assert [] == check(made(steps))


@pytest.mark.parametrize("name, deed", EACH, ids=[deed.__name__ for _, deed in EACH])
@settings(max_examples=15)
@given(WIDTH, WIDTH, st.lists(STEP, max_size=10))
def test_a_history_that_cannot_have_been_is_refused_by_name(name, deed, early, late, steps):
    setting = [(verb, pick, early, late) for verb, pick in SETTING]
    right = made([*setting, *steps])
    assert [] == check(right)
    wrong = deed(right)
    assume(wrong is not None)
    assert name in {anomaly.name for anomaly in check(wrong)}


def test_the_setting_gives_each_deed_something_to_do():
    right = made([(verb, pick, 3, 3) for verb, pick in SETTING])
    idle = [deed.__name__ for _, deed in EACH if deed(right) is None]
    assert [] == idle


def test_every_anomaly_that_is_listed_is_made_by_a_deed():
    table = sys.modules["pgjobs_testing.simulation.histories.check"].__doc__ or ""
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ``")]
    assert [*DEEDS] == [name for row in rows for name in re.findall(r"``([a-z-]+)``", row)]
