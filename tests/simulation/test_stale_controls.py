"""What a node knows of pauses is old when it stood still, or when its store was away."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pgjobs.client import drive
from pgjobs_testing.nodes import cluster
from pgjobs_testing.nodes.line import Line
from tests.simulation.test_cluster import START, Place


class Slow(Line):
    """A line whose answers come one by one, as those of a connection do."""

    def collect(self):
        found = super().collect()
        self.inbox.extend(found[1:])
        return found[:1]


@pytest.mark.parametrize("line", [Line, Slow])
@pytest.mark.parametrize("away_s", [15, 60])
@pytest.mark.parametrize("how", ["suspended", "cut off"])
def test_a_node_that_was_away_starts_nothing_from_a_queue_that_was_paused_unheard_meanwhile(
    line, away_s, how, monkeypatch
):
    monkeypatch.setattr(cluster, "Line", line)
    place = Place("a")
    jobs = [place.insert(takes=5) for _ in range(30)]
    place.advance(1)
    place.cluster.drop_notifications(True)
    if how == "suspended":
        place.cluster.suspend("a", timedelta(seconds=away_s))
    else:
        place.cluster.partition("a")
    drive(place.cluster.store, place.client.pause("default"))
    place.advance(away_s)
    if how == "cut off":
        place.cluster.heal("a")
    place.advance(60)
    starts = [place.job(job).attempted_at for job in jobs]
    assert [START] * 10 + [None] * 20 == starts
    drive(place.cluster.store, place.client.resume("default"))
    place.advance(60)
    assert {"completed"} == {place.job(job).state for job in jobs}
