"""What a test asserts of its jobs: which wait, which ran, what happened, and in which order.

``assertions`` is what a test calls. ``fields`` and ``kinds`` say what can be asked for, ``expectation``
holds it against each job, ``verdict`` decides, and ``failing``, ``describing`` and ``clues`` write the
failure.
"""

from pgjobs_testing.asserting.assertions import Assertions
from pgjobs_testing.asserting.blocks import Expected

__all__ = ["Assertions", "Expected"]
