"""The source of what stands in no file."""

from pgjobs_testing.scenarios.mistakes import Place
from pgjobs_testing.scenarios.source import Source

NOWHERE = Source("a world", "", places={(): Place(1, 1)})
