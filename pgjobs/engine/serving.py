"""Which queues a node serves, which of them have anything to do, and what was set for them by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from pgjobs.engine.queue import QueueDuty
from pgjobs.rules.control import Control, effective
from pgjobs.rules.options import Queue


class Serving:
    """The queues by name, of which ``make`` makes the duties.

    ``others`` is for every queue that is heard of and not listed; without it those are left alone.
    """

    def __init__(self, make: Callable[[str, Queue], QueueDuty], others: Queue | None) -> None:
        self.queues: dict[str, QueueDuty] = {}
        self.controls: Mapping[str, Control] | None = None
        """What is set by hand; None until it was read."""
        self._make, self._others = make, others
        self._places: dict[str, int] = {}
        self.awake: dict[int, QueueDuty] = {}
        """Those that may have something to do, by place: of a thousand most have not, and cost nothing."""

    def serve(self, name: str, configured: Queue) -> None:
        """Serve one queue more."""
        queue = self.queues[name] = self._make(name, configured)
        self._places.setdefault(name, len(self._places))
        self.wake(queue)
        if self.controls is not None:
            queue.obey(effective(name, configured, self.controls))

    def wake(self, queue: QueueDuty) -> None:
        """Let ``queue`` step with the others, in the order in which they were configured."""
        self.awake[self._places[queue.name]] = queue

    def step(self, now: datetime) -> None:
        """Let those that are awake do what they have to do."""
        awake = self.awake.items()
        for place, queue in sorted(awake) if len(awake) > 1 else tuple(awake):
            queue.step(now)
            if queue.asleep:
                del self.awake[place]

    def feed(self, name: str) -> None:
        """There are available jobs in a queue."""
        if name not in self.queues and self._others is not None:
            self.serve(name, self._others)
        if (queue := self.queues.get(name)) is not None:
            queue.feed()
            self.wake(queue)

    def obey(self, controls: Mapping[str, Control]) -> None:
        """What is set by hand was read."""
        if controls == self.controls:
            return
        self.controls = controls
        for name, queue in self.queues.items():
            queue.obey(effective(name, queue.configured, controls))
            queue.feed()
            self.wake(queue)

    def close(self) -> None:
        """Claim nothing more."""
        for queue in self.queues.values():
            queue.close()
