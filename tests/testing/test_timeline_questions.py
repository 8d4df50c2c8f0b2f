"""What a timeline is asked for is checked, as everything is that a test gives."""

from __future__ import annotations

import pytest

from pgjobs import ConfigurationError, worker
from pgjobs_testing import harness


@worker(max_attempts=2)
def note(job):
    if job.attempt == 1:
        raise ValueError("not yet")


@pytest.mark.parametrize("made", ["to_svg", "to_html", "to_scenario"])
@pytest.mark.parametrize("given", [None, 5, b"a title"])
def test_a_title_is_a_text(made, given):
    option = "name" if made == "to_scenario" else "title"
    with harness() as jobs:
        jobs.insert(note.new())
        with pytest.raises(ConfigurationError) as refused:
            getattr(jobs.timeline, made)(given)
    assert f"{option} takes a text, not {given!r}" == str(refused.value)
