"""The store that keeps jobs in this process: the reference, and what tests use."""

from pgjobs.adapters.memory.store import MemoryStore

__all__ = ["MemoryStore"]
