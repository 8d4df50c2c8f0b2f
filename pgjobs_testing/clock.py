"""The clock and the chance of a test: both stand still until the test moves or draws them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from random import Random  # noqa: TID251 - seeded streams are this file's purpose

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class VirtualClock:
    """A clock that only ``set`` moves, and never backwards."""

    def __init__(self, start: datetime) -> None:
        self._now = start if start.tzinfo is UTC else start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self.now() - EPOCH).total_seconds()

    @property
    def seconds(self) -> float:
        """Seconds since 1970, in whole microseconds."""
        return self.monotonic()

    def set(self, instant: datetime) -> None:
        """Move to a later instant."""
        assert instant >= self._now, f"the clock cannot go back from {self._now} to {instant}"
        self._now = instant

    def still(self) -> AbstractContextManager[None]:
        """Let only ``set`` move the clock inside the block; nothing else ever moves this one."""
        return nullcontext()


class SeededRng:
    """Chance from one seed, in streams by label: a draw in one does not disturb another.

    A stream is seeded by ``blake2b(seed:label)``, and the token ``n`` of one is a digest of its own, so
    they are the same on every Python and under every ``PYTHONHASHSEED``.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Random] = {}
        self._tokens: dict[str, count[int]] = {}

    def random(self, label: str) -> float:
        stream = self._streams.get(label)
        if stream is None:
            made = Random(int.from_bytes(self._digest(label), "big"))
            stream = self._streams.setdefault(label, made)  # threads must not make it twice
        return stream.random()

    def token(self, label: str) -> str:
        if label not in self._tokens:
            self._tokens.setdefault(label, count(1))  # as above
        numbers = self._tokens[label]
        return _token(self.seed, label, next(numbers))

    def _digest(self, label: str) -> bytes:
        return blake2b(f"{self.seed}:{label}".encode(), digest_size=16).digest()


@lru_cache(maxsize=64)
def _token(seed: int, label: str, number: int) -> str:
    """The token of that number: the first ones of a seed are drawn by every test that has it."""
    drawn = blake2b(f"{seed}:{label}:{number}".encode(), digest_size=16).hexdigest()
    variant = _VARIANTS[drawn[16]]  # a UUID of version 4, as RFC 9562 has it
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-{variant}{drawn[17:20]}-{drawn[20:]}"
