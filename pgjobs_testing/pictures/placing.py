"""How high everything of a picture stands: from the axis down to the last lane."""

from __future__ import annotations

from dataclasses import dataclass

from pgjobs_testing.pictures.layout import Group, Lane, Picture
from pgjobs_testing.pictures.strips import Strip

ROW, TIGHT_ROW = 22.0, 11.0
CHART = 64.0
BAND = 16.0
LINE = 15.0
_SPACE = 8.0


@dataclass(frozen=True, slots=True)
class PlacedStrip:
    """A strip whose band stands at ``top``, its signs below."""

    strip: Strip
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class PlacedLane:
    """A lane from ``top`` on."""

    lane: Lane
    top: float
    height: float

    def middle(self, row: int) -> float:
        """The middle of a row."""
        return self.top + (row + 0.5) * (ROW if self.lane.roomy else TIGHT_ROW)


@dataclass(frozen=True, slots=True)
class PlacedGroup:
    """A queue: its head, and its lanes below."""

    group: Group
    head: PlacedStrip
    lanes: tuple[PlacedLane, ...]

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return (
            self.lanes[-1].top + self.lanes[-1].height
            if self.lanes
            else (self.head.top + self.head.height)
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """The whole picture, ``bottom`` is the lower end of the plot."""

    strips: tuple[PlacedStrip, ...]
    groups: tuple[PlacedGroup, ...]
    bottom: float


def placed(picture: Picture, top: float) -> Placed:
    """Everything below ``top``, in order."""
    y = top + _SPACE
    strips = []
    world = [picture.world] if picture.world.stretches or picture.world.signs else []
    for each in (*world, *picture.nodes):
        height = _height(each)
        strips.append(PlacedStrip(each, y, height))
        y += height
    groups = []
    for group in picture.groups:
        y += _SPACE
        head = PlacedStrip(group.strip, y, _height(group.strip))
        y += head.height
        lanes = []
        for lane in group.lanes:
            height = CHART if lane.chart else lane.rows * (ROW if lane.roomy else TIGHT_ROW)
            lanes.append(PlacedLane(lane, y, max(height, ROW)))
            y += max(height, ROW) + _SPACE
        groups.append(PlacedGroup(group, head, tuple(lanes)))
    return Placed(tuple(strips), tuple(groups), y)


def _height(strip: Strip) -> float:
    return strip.tiers * BAND + strip.lines * LINE + _SPACE
