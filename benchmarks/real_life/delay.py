"""When bytes that were sent arrive, on a line of a given length: all later by the same time, none held up.

It is a distance, not a bandwidth: a second chunk does not wait for the first to arrive.
"""

from __future__ import annotations

from collections import deque

IN_FLIGHT_BYTES = 64 << 20
"""On the way at once; beyond that the sender waits, as on any line."""


class Delay:
    """One direction of a line that is ``seconds`` long. Moments are seconds of any one clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def put(self, chunk: bytes, now: float) -> None:
        """``chunk`` is sent at ``now``."""
        self._chunks.append((now + self._seconds, chunk))
        self._bytes += len(chunk)

    @property
    def full(self) -> bool:
        """Whether nothing more may be sent until something arrives."""
        return self._bytes >= IN_FLIGHT_BYTES

    @property
    def next_due(self) -> float | None:
        """When the next chunk arrives; None where nothing is on the way."""
        return self._chunks[0][0] if self._chunks else None

    def take(self, now: float) -> bytes:
        """What has arrived by ``now``, in the order in which it was sent."""
        arrived = bytearray()
        while self._chunks and self._chunks[0][0] <= now:
            arrived += self._chunks.popleft()[1]
        self._bytes -= len(arrived)
        return bytes(arrived)
