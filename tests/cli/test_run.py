"""``pgjobs run``: what it refuses before it serves anything. What it does is in ``tests/live``."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.pgjobs(mode="live")


@pytest.mark.parametrize("given", ["nan", "inf"])
def test_a_grace_that_is_no_number_is_refused(shell, given):
    refused = shell.refusal("run", "shop.queue:jobs", "--grace", given, code=2)
    assert f"Invalid value for '--grace': a number of seconds is taken, not {given}" == refused
