"""What a Ctrl-C or SIGTERM does to a campaign: the first ends it with its sum, a second ends it at once.

The first one breaks off only what may take long: playing, and having the world and who plays it. While the
command begins or ends it is noted, so that no import of ours is cut in half, and the sum is told whole.
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

HEARD: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""The signals, and how Python itself takes them where nobody ignores or handles them."""


class Interrupts:
    """How many came, and whether the first breaks off what is done now."""

    def __init__(self) -> None:
        self.came = 0
        self.first: int | None = None
        """The number of the first signal."""
        self._breaks = False

    @property
    def again(self) -> bool:
        """Whether somebody does not want to wait for the end either."""
        return self.came > 1

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear them in the block, where Python itself would: not if they are ignored, as behind ``nohup``."""
        here = threading.current_thread() is threading.main_thread()
        heard = [number for number, usual in HEARD.items() if signal.getsignal(number) is usual]
        if not here:
            yield
            return
        for number in heard:
            signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number in heard:
                signal.signal(number, HEARD[number])

    def break_off(self) -> None:
        """From here on the first one raises ``KeyboardInterrupt``, and here where it has come."""
        self._breaks = True
        if self.came:
            raise KeyboardInterrupt

    def note(self) -> None:
        """From here on the first one is noted; what is done now comes to its end soon."""
        self._breaks = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.first is None:  # the interpreter's own end is not to be told as a traceback
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
            self.first = number
        self.came += 1
        if self._breaks or self.again:
            raise KeyboardInterrupt
