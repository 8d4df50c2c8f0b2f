"""How one process plays seeds: its world and its stores are had once, and each seed becomes a verdict.

A world is a function of a seed, the options and an empty store. What it raises is an alarm of its seed:
one broken seed must not end a campaign of thousands. A world or a server that cannot be had is no
alarm, and refuses the campaign.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from pgjobs.adapters.local import LocalStore
from pgjobs.rules.errors import PgJobsError, nearest, shown
from pgjobs_testing.simulation.verdict import Options, Verdict
from pgjobs_testing.stores import MemorySource, PostgresSource, StoreSource

World = Callable[[int, Options, LocalStore], Verdict]

STANDARD = "pgjobs_testing.simulation.seeds:play_seed"
"""The world of our own campaigns, as it is named across processes."""

A_WORLD = (
    "a function of a module, as in shop.worlds:play, that takes a seed, the options and a store"
)

TOLD_CALLS = 4
"""Of the traceback of what a world raised: the innermost ones say most."""


class CampaignError(PgJobsError):
    """A campaign cannot be played as it was asked for; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What each process of a campaign is told. It crosses processes and machines, so it is plain.

    ``options.store`` may be ``both``. ``desk`` is where processes of the controller's machine ask for
    databases; without it, or on another machine, a process has a server of its own, that ``postgres``
    and ``image`` mean as for the plugin's options, which begin with ``prefix``; a command's with ``--``.
    """

    options: Options
    world: str = STANDARD
    postgres: str = "embedded"
    image: str | None = None
    desk: str | None = None
    prefix: str = "--pgjobs-"


class Player:
    """Plays seeds in this process, one at a time. ``name`` (of a-z and 0-9) tells its database apart."""

    def __init__(
        self,
        setup: Setup,
        name: str,
        *,
        world: World | None = None,
        postgres: StoreSource | None = None,
    ) -> None:
        """``world`` and ``postgres`` stand in for those that ``setup`` names; the latter is not closed."""
        store = setup.options.store
        self._options = setup.options
        self._again = setup.options.twice and setup.world != STANDARD  # which plays itself twice
        self._world = imported(setup.world) if world is None else world
        self._memory = None if store == "postgres" else MemorySource()
        self._postgres, self._own = None if store == "memory" else postgres, None
        if store != "memory" and postgres is None:
            self._postgres = self._own = _postgres(setup, name)
            self._own.store(0)  # a server that cannot be had is told before any seed is played

    def play(self, seed: int) -> Verdict:
        """What becomes of the seed; of ``both`` stores what became of it on memory, unless they differ."""
        on_memory = None if self._memory is None else self._played(seed, "memory", self._memory)
        if self._postgres is None:
            assert on_memory is not None
            return on_memory
        on_postgres = self._played(seed, "postgres", self._postgres)
        if on_memory is None:
            return on_postgres
        if self._memory is not None and differ(on_memory, on_postgres):
            on_memory = self._played(seed, "memory", self._memory, traced=True)
            on_postgres = self._played(seed, "postgres", self._postgres, traced=True)
        return compared(on_memory, on_postgres)

    def close(self) -> None:
        """Close the connections, and stop a server that this process owns."""
        if self._own is not None:
            self._own.close()

    def _played(
        self, seed: int, name: str, source: StoreSource, *, traced: bool = False
    ) -> Verdict:
        twice = self._options.twice and not self._again
        options = replace(self._options, store=name, traced=traced, twice=twice)
        first = self._once(seed, options, source)
        if not self._again or not first.held:
            return first
        return repeated(first, self._once(seed, options, source))

    def _once(self, seed: int, options: Options, source: StoreSource) -> Verdict:
        try:
            verdict: object = self._world(seed, options, source.store(0))
        except (Exception, SystemExit) as error:  # one that exits would end the campaign unheard
            return unplayed(seed, raised(error))
        if isinstance(verdict, Verdict) and verdict.seed == seed:
            return verdict
        return unplayed(seed, f"the world returned {shown(verdict)}, not the Verdict on this seed")


def repeated(first: Verdict, second: Verdict) -> Verdict:
    """One verdict on a seed that held and was played again: an alarm where that went another way."""
    if second.alarm is not None:
        return replace(second, alarm=f"it held, and played again it did not: {second.alarm}")
    if first.digest == second.digest:
        return first
    told = f"its digest is {first.digest}, and {second.digest} when it is played again"
    return replace(first, alarm=f"something besides the seed decides: {told}")


def differ(memory: Verdict, postgres: Verdict) -> bool:
    """Whether two stores have different traces of a seed, and no other alarm says why."""
    return memory.held and postgres.held and memory.digest != postgres.digest


def compared(memory: Verdict, postgres: Verdict) -> Verdict:
    """One verdict of two stores: an alarm where either has one, or where their traces differ."""
    if memory.digest == postgres.digest and memory.alarm == postgres.alarm:
        return memory
    if memory.alarm is not None:
        where = "alone" if postgres.held else f"(on PostgreSQL: {postgres.alarm})"
        return replace(memory, alarm=f"in memory {where}: {memory.alarm}")
    if postgres.alarm is not None:
        return replace(postgres, alarm=f"on PostgreSQL alone: {postgres.alarm}")
    told = " and ".join(
        f"{name} {verdict.digest} of {verdict.events} events in {verdict.virtual_s:g} s"
        for name, verdict in (("memory", memory), ("postgres", postgres))
    )
    where = _first_difference(memory.trace, postgres.trace)
    return replace(memory, alarm=f"the stores differ: {told}{where}", trace=None)


def _first_difference(memory: str | None, postgres: str | None) -> str:
    """The first line of two traces that is not the same, on lines of its own; empty without traces."""
    if memory is None or postgres is None:
        return ""
    lines = zip_longest(memory.splitlines(), postgres.splitlines(), fillvalue="(nothing more)")
    for n, (here, there) in enumerate(lines, 1):
        if here != there:
            return f"\n  line {n}\n    in memory:     {here}\n    on PostgreSQL: {there}"
    return ""


def unplayed(seed: int, alarm: str) -> Verdict:
    """The verdict on a seed that has no trace."""
    return Verdict(seed, digest="", events=0, virtual_s=0.0, drawn="", alarm=alarm)


def raised(error: BaseException) -> str:
    """What a world raised, and where."""
    inside = error.__traceback__ and error.__traceback__.tb_next  # the first call is ours
    calls = "".join(traceback.format_tb(inside)[-TOLD_CALLS:]).rstrip()
    return f"the world raised {type(error).__name__}: {error}\n{calls}"


def imported(world: str) -> World:
    """The world that is named ``module:function``; ``CampaignError`` where there is none."""
    name, _, attribute = world.partition(":")
    if not name or not attribute:
        raise CampaignError(f"found the world {world!r}; expected {A_WORLD}")
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a module may raise anything
        raise CampaignError(
            f"the world {world!r} cannot be had: importing {name} raised "
            f"{type(error).__name__}: {error}. It must be importable from here, as by PYTHONPATH"
        ) from error
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        functions = (each for each in vars(module).values() if inspect.isfunction(each))
        known = [each.__name__ for each in functions if each.__module__ == name]
        what = "no function" if value is None else f"{value!r}, not a function,"
        raise CampaignError(f"{name} has {what} named {attribute!r}{nearest(attribute, known)}")
    found: World = value
    check_world(found, world)
    return found


def check_world(world: World, name: str) -> None:
    """``CampaignError`` for what cannot be called with a seed, options and a store, or then plays nothing."""
    awaits = inspect.iscoroutinefunction(world) or inspect.isasyncgenfunction(world)
    if awaits or inspect.isgeneratorfunction(world):
        what = "async" if awaits else "a generator"
        raise CampaignError(
            f"the world {name} is {what}; expected {A_WORLD}, and returns the Verdict on it"
        )
    try:
        signature = inspect.signature(world)
    except ValueError:
        return  # some that are written in C do not say what they take
    try:
        signature.bind(0, Options(), None)
    except TypeError as error:
        raise CampaignError(
            f"the world {name}({', '.join(signature.parameters)}) cannot be called with a seed, the options "
            f"and a store ({error}); expected {A_WORLD}, as in def play(seed, options, store)"
        ) from None


def named(world: World | str) -> str:
    """The world's name across processes; ``CampaignError`` for a function that has none."""
    if isinstance(world, str):
        return world
    module, name = getattr(world, "__module__", None), getattr(world, "__qualname__", "<unnamed>")
    if module is None or "<" in name:
        raise CampaignError(
            f"found the world {name!r}, which other processes cannot import; expected {A_WORLD}"
        )
    return f"{module}:{name}"


def hush() -> None:
    """Let the engine log nothing of simulated failures to standard error, unless somebody listens."""
    logging.getLogger("pgjobs").addHandler(logging.NullHandler())


def _postgres(setup: Setup, name: str) -> PostgresSource:
    from pgjobs_testing.servers import choose
    from pgjobs_testing.servers.supply import OwnServer, SharedServer, Supply

    own: Supply = OwnServer(lambda: choose(setup.postgres, setup.image, os.environ, setup.prefix))
    supply = own if setup.desk is None else SharedServer(setup.desk, own)
    return PostgresSource(supply, f"{name}_", near=True)
