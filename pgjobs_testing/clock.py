"""The clock and the chance of a test: both stand still until the test moves or draws them."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from random import Random  # noqa: TID251 - seeded streams are this file's purpose

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class VirtualClock:
    """A clock that only ``set`` moves, and never backwards."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self.seconds

    @property
    def seconds(self) -> float:
        """Seconds since 1970, in whole microseconds."""
        return (self.now() - EPOCH) // MICROSECOND / 1e6

    def set(self, instant: datetime) -> None:
        """Move to a later instant."""
        assert instant >= self._now, f"the clock cannot go back from {self._now} to {instant}"
        self._now = instant

    def still(self) -> AbstractContextManager[None]:
        """Let only ``set`` move the clock inside the block; nothing else ever moves this one."""
        return nullcontext()


class SeededRng:
    """Chance from one seed, in streams by label: a draw in one does not disturb another.

    A stream is seeded by ``blake2b(seed:label)``, so it is the same on every Python and under every
    ``PYTHONHASHSEED``.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Random] = {}

    def random(self, label: str) -> float:
        return self._stream(label).random()

    def token(self, label: str) -> str:
        return str(uuid.UUID(int=self._stream(label).getrandbits(128), version=4))

    def _stream(self, label: str) -> Random:
        stream = self._streams.get(label)
        if stream is None:
            digest = blake2b(f"{self.seed}:{label}".encode(), digest_size=16).digest()
            made = Random(int.from_bytes(digest, "big"))
            stream = self._streams.setdefault(label, made)  # threads must not make it twice
        return stream
