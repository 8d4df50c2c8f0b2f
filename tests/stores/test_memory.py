"""The memory store passes the suite of every store."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs.rules.job import Job
from pgjobs_testing.conformance import StoreConformance
from pgjobs_testing.conformance.given import BEYOND_INT4


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self):
        return MemoryStore(first_id=BEYOND_INT4)

    @pytest.fixture
    def plant(self, store):
        def plant(jobs: Sequence[Job]) -> list[Job]:
            planted = []
            for job in jobs:
                kept = replace(job, id=store.tables.jobs.next_id)
                store.tables.jobs.next_id += 1
                store.tables.jobs.put(kept)
                planted.append(store.tables.jobs.read(kept))
            return planted

        return plant
