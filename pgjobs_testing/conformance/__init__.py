"""The suite that every store of pgjobs passes, to be run by whoever writes another.

Subclass ``StoreConformance`` in a test module, and override two fixtures::

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self) -> Store: ...        # empty; ids begin above 2**31
        @pytest.fixture
        def plant(self, store) -> Plant: ...  # writes rows as they are, whatever their state

The reference is the memory store: what a store answers, and what its rows are afterwards, equals what
``rules`` and the memory store make of the same effects.
"""

from __future__ import annotations

import pytest

from pgjobs.ports import Store
from pgjobs_testing.conformance.claiming import Claiming
from pgjobs_testing.conformance.controlling import Controlling
from pgjobs_testing.conformance.given import Plant
from pgjobs_testing.conformance.inserting import Inserting
from pgjobs_testing.conformance.leading import Leading
from pgjobs_testing.conformance.limits import Limited
from pgjobs_testing.conformance.moving import Moving
from pgjobs_testing.conformance.polling import Polling
from pgjobs_testing.conformance.programs import Programs
from pgjobs_testing.conformance.selecting import Selecting
from pgjobs_testing.conformance.sessions import Sessions
from pgjobs_testing.conformance.settling import Settling
from pgjobs_testing.conformance.uniqueness import Uniqueness

__all__ = ["Plant", "StoreConformance"]


class StoreConformance(
    Inserting,
    Uniqueness,
    Claiming,
    Limited,
    Settling,
    Moving,
    Selecting,
    Controlling,
    Polling,
    Leading,
    Sessions,
    Programs,
):
    """Every test of every effect."""

    @pytest.fixture
    def store(self) -> Store:
        """An empty store, whose ids begin above 2**31."""
        raise TypeError("override the fixture `store`: an empty store")

    @pytest.fixture
    def plant(self, store: Store) -> Plant:
        """A function that writes jobs into the store as they are, and returns them with their ids."""
        raise TypeError("override the fixture `plant`: rows as they are, in any state")
