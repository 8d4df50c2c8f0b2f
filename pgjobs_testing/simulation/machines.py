"""Who plays the seeds of a campaign that outgrows one machine: the workers of a Dask cluster.

A seed is a task. Dask gives those of a worker that was lost to others, and a verdict that was lost
with it is worked out again: the same seed has the same verdict on any machine. Dask gives up a task
when more workers were lost with it than ``distributed.scheduler.allowed-failures`` (3), though another
task may have killed them. So such a seed is played once more with no other beside it, and is named only
where it is given up again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from pgjobs.ports import Clock
from pgjobs_testing.simulation.playing import CampaignError, Player, Setup, hush, unplayed
from pgjobs_testing.simulation.verdict import Verdict

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 15.0
"""How long a scheduler has to answer, and a cluster to have its first worker."""

TASKS = 2
"""Tasks for each thread of the cluster, so that none waits for the controller."""

COUNT_S = 1.0
"""How often the threads of the cluster are counted, whose workers come and go."""


class Machines:
    """The workers of the cluster whose scheduler is at ``address``; they may come and go."""

    def __init__(
        self, setup: Setup, address: str, clock: Clock, *, connect_s: float = CONNECT_S
    ) -> None:
        self._setup, self._address, self._clock = setup, address, clock
        self._client = _connected(address, connect_s)
        self._threads, self._counted = 1, -COUNT_S
        self._out: dict[Future, int] = {}
        self._suspects: deque[int] = deque()
        self._alone: int | None = None
        self._ended: SimpleQueue[Future] = SimpleQueue()
        try:
            self._client.wait_for_workers(1, timeout=connect_s)
            self._compare_versions()
        except TimeoutError:
            self._client.close()
            raise CampaignError(
                f"the Dask scheduler at {address} has no worker after {connect_s} s: start some with "
                f"`dask worker {address}`"
            ) from None
        except BaseException:
            self._client.close()
            raise

    @property
    def size(self) -> int:
        """How many seeds are with the cluster: what its workers can play now, and as many more."""
        if self._clock.monotonic() - self._counted >= COUNT_S:
            with suppress(
                OSError, TimeoutError
            ):  # a scheduler that is lost is told of by the seeds
                self._threads = sum(self._client.nthreads().values())
            self._counted = self._clock.monotonic()
        return max(1, TASKS * self._threads)

    @property
    def room(self) -> int:
        if self._suspects or self._alone is not None:
            return 0
        return self.size - len(self._out)

    def take(self, seed: int) -> None:
        self._submit(seed, f"pgjobs-{self._client.id}-{seed}")

    def ended(self, timeout_s: float) -> list[Verdict]:
        told: list[Verdict] = []
        with suppress(Empty):
            future = self._ended.get(timeout=timeout_s)
            while True:
                told += self._verdict(future, self._out.pop(future))
                future = self._ended.get_nowait()
        if self._suspects and not self._out:
            self._alone = self._suspects.popleft()
            self._submit(self._alone, f"pgjobs-{self._client.id}-{self._alone}-alone")
        return told

    def close(self) -> None:
        self._client.cancel(list(self._out), force=True)
        self._out.clear()
        self._client.close()

    def _submit(self, seed: int, key: str) -> None:
        future = self._client.submit(play, self._setup, seed, key=key, pure=False)
        self._out[future] = seed
        future.add_done_callback(self._ended.put)

    def _verdict(self, future: Future, seed: int) -> list[Verdict]:
        from distributed import KilledWorker

        alone, self._alone = self._alone == seed, None
        try:
            return [future.result()]
        except KilledWorker as error:
            if alone:
                return [
                    unplayed(seed, f"worker after worker of the cluster was lost to it: {error}")
                ]
            self._suspects.append(seed)
            return []
        except Exception as error:
            raise CampaignError(
                f"the cluster at {self._address} cannot play: {type(error).__name__}: {error}"
            ) from error

    def _compare_versions(self) -> None:
        """Equal seeds have equal traces by equal code."""
        here = version("pgjobs")
        try:
            there: dict[str, str] = self._client.run(version, "pgjobs")
        except Exception as error:
            raise CampaignError(
                f"a worker of the Dask cluster at {self._address} has no pgjobs: install "
                f"'pgjobs[cluster,testing]' {here} on each ({type(error).__name__}: {error})"
            ) from error
        other = sorted(worker for worker, found in there.items() if found != here)
        if other:
            raise CampaignError(
                f"pgjobs is {here} here and {there[other[0]]} on the Dask worker {other[0]}: install "
                "the same on each, for equal seeds to have equal traces"
            )


def _connected(address: str, connect_s: float) -> Client:
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port, parse_address
    except ModuleNotFoundError as error:
        raise CampaignError(
            f"--dask needs distributed ({error}): pip install 'pgjobs[cluster]'"
        ) from None
    try:
        if parse_address(address)[0] in ("tcp", "tls", "http", "https", "ws", "wss"):
            get_address_host_port(
                address
            )  # a client made with none waits 30 s when it is collected
        return Client(address, timeout=connect_s, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise CampaignError(
            f"no Dask scheduler answers at {address!r}: {error}. Start one with `dask scheduler`, "
            "and give its address, as in tcp://10.0.0.1:8786"
        ) from error


_playing = threading.Lock()
_held: dict[Setup, Player] = {}
"""The one player of a worker's process, for the campaign that it plays for."""


def play(setup: Setup, seed: int) -> Verdict:
    """What a task does, in a worker: one seed at a time in a process, whatever its threads."""
    from pgjobs_testing.closed import databases_closed

    with _playing, databases_closed():
        player = _held.get(setup)
        if player is None:
            hush()
            while _held:
                _held.popitem()[1].close()
            player = _held[setup] = Player(setup, f"d{os.getpid()}")
        return player.play(seed)
