"""Worlds for campaigns: small, on the real store, and some that go wrong as processes do."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from pgjobs.adapters.local import LocalStore
from pgjobs.client import Client, drive
from pgjobs.rules.job import NewJob
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.simulation.verdict import Options, Verdict

EXPECTED_MARKS = ("cancelled", "never")
START = datetime(2025, 1, 1, tzinfo=UTC)

FOLDER = "WORLDS_FOLDER"
"""The environment's name for where a world keeps what outlives its process."""


def shop(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Inserts jobs and cancels some, as the seed says; the trace is that of the engine."""
    clock, rng = VirtualClock(START), SeededRng(seed)
    recorder = Recorder(clock, passing_on=None)
    client = Client(clock, recorder, {})
    marks = 0
    for n in range(options.jobs):
        clock.set(clock.now() + timedelta(seconds=1))
        job = drive(store, client.insert(NewJob("buy", {"n": n})))
        if rng.random("cancel") < 0.5:
            marks += 1
            drive(store, client.cancel(job.id))
    trace = recorder.trace()
    return Verdict(
        seed,
        trace.digest(),
        len(trace.moments),
        float(options.jobs),
        f"{options.jobs} jobs",
        (("cancelled", marks),) if marks else (),
    )


def quick(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Nothing happens in it."""
    return Verdict(seed, "0123456789abcdef", 1, 1.0, "nothing", (("cancelled", 1),))


def alarming(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Every third seed has an alarm, with a scenario."""
    verdict = shop(seed, options, store)
    if seed % 3:
        return verdict
    return _with(verdict, alarm="permits: 3 of 2 are out", scenario=f"name: seed {seed}\n")


def exits(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Ends the process that plays it, were it let."""
    raise SystemExit(5)


def differing(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Seed 2 has another trace on PostgreSQL."""
    verdict = shop(seed, options, store)
    if seed == 2 and options.store == "postgres":
        return _with(verdict, digest="0123456789abcdef")
    return verdict


_plays = count(1)


def counting(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Seed 2 is decided by how often this process has played, too."""
    verdict = shop(seed, options, store)
    return _with(verdict, digest=f"play {next(_plays)}") if seed == 2 else verdict


def tiring(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Each play but the first of this process has an alarm."""
    verdict = shop(seed, options, store)
    return verdict if next(_plays) == 1 else _with(verdict, alarm="permits: 3 of 2 are out")


def raising(seed: int, options: Options, store: LocalStore) -> Verdict:
    if seed == 1:
        raise LookupError("no such job")
    return shop(seed, options, store)


def wordless(seed: int, options: Options, store: LocalStore) -> object:
    return None


def killed_once(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Every fourth seed kills its process, the first time that it is played."""
    played = Path(os.environ[FOLDER]) / str(seed)
    if seed % 4 == 0 and not played.exists():
        played.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return shop(seed, options, store)


def killing(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Seed 3 kills its process whenever it is played."""
    if seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return shop(seed, options, store)


def endless(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Seed 1 never ends."""
    while seed == 1:
        pass
    return shop(seed, options, store)


def held_up(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Says that it is there, and from seed 2 on waits till the process ends."""
    (Path(os.environ[FOLDER]) / f"{seed}.{os.getpid()}").touch()
    while seed >= 2:
        signal.pause()
    return shop(seed, options, store)


def _with(verdict: Verdict, **changes: object) -> Verdict:
    from dataclasses import replace

    return replace(verdict, **changes)  # type: ignore[arg-type]  # the tests' own


def prying(seed: int, options: Options, store: LocalStore) -> Verdict:
    """Opens a database that no test made."""
    from pgjobs.adapters.postgres.store import PostgresStore

    PostgresStore("postgresql://db.example.invalid/production").migrate()
    return shop(seed, options, store)


def storeless(seed, options):
    """Takes no store."""


def mere() -> None:
    """Takes nothing at all."""


def with_more(seed, options, store, speed, *, loud):
    """Takes more than there is."""


async def awaited(seed, options, store):
    """Is over before it has begun."""


def yielding(seed, options, store):
    """Would be, too."""
    yield seed
