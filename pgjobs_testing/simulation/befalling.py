"""What a test may do to the nodes of a world, and to what they share: each is a step of a scenario."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.job import is_number
from pgjobs_testing.nodes.cluster import SimulationError
from pgjobs_testing.nodes.traps import FAILURES, LATE
from pgjobs_testing.scenarios.facts import Most
from pgjobs_testing.simulation.given import flag_given, names_given, span_given
from pgjobs_testing.trace import elapsed

Span = float | timedelta
"""Seconds, or a timedelta."""

LATE_BY_S = 5


class Befalling(ABC):
    """Nodes to which something may happen, by their names. ``_do`` does a step, and what follows from it."""

    _nodes: Sequence[str]
    _queues: Sequence[str]
    _most: Most

    @abstractmethod
    def _do(self, step: dict[str, Any]) -> None: ...

    # Processes

    def crash(self, node: str, *, before: str | None = None, after: str | None = None) -> None:
        """The process is gone: at once, or right ``before`` or ``after`` its next effect of a kind.

        Effects: claim, settle, poll, find, beat, leave, lead, resign, rescue, prune, watermarks, tick, any.
        One that is not reached by the node's ``restart`` takes place then.
        """
        point = {"before": before, "after": after}
        given = {key: each for key, each in point.items() if each is not None}
        if len(given) == 2:
            raise ConfigurationError(
                f"a crash is before {shown(before)} or after {shown(after)}: one of them at a time"
            )
        self._check_node(node)
        self._do({"crash": {"node": node, **given} if given else node})

    def restart(self, node: str, *, queues: Iterable[str] | None = None) -> None:
        """A new process in the place of one that has crashed or stopped.

        With ``queues`` it serves these from now on, and no others: names of ``World(queues=)`` or of its
        scripted workers.
        """
        self._check_node(node)
        if queues is None:
            self._do({"restart": node})
            return
        served = names_given(queues, self._queues)
        self._do({"restart": {"node": node, "queues": served}})

    def stop(self, node: str, grace: Span = 15) -> None:
        """Ask the process to stop, as a SIGTERM does; its runs may go on for ``grace``."""
        self._check_node(node)
        self._do({"stop": {"node": node, "grace": elapsed(span_given(grace, "grace"))}})

    def pause(self, node: str, span: Span) -> None:
        """The process does nothing for ``span``, and then goes on where it was."""
        self._check_node(node)
        length = span_given(span, "span")
        if not length:
            raise ConfigurationError(f"span is {shown(span)}; expected more than 0 s")
        self._do({"suspend": {"node": node, "for": elapsed(length)}})

    # Their lines and clocks

    def partition(self, node: str) -> None:
        """The node reaches the store no more, until ``heal``."""
        self._check_node(node)
        self._do({"partition": node})

    def heal(self, node: str) -> None:
        """The node reaches the store again."""
        self._check_node(node)
        self._do({"heal": node})

    def skew(self, node: str, by: Span) -> None:
        """The node's clock is ahead by so much, or behind where that is negative."""
        self._check_node(node)
        behind = by < timedelta(0) if isinstance(by, timedelta) else is_number(by) and by < 0
        off = -span_given(-by, "by") if behind else span_given(by, "by")
        self._check_bound("skew", abs(off), self._most.skew)
        self._do({"skew": {"node": node, "by": elapsed(off)}})

    def slow(self, node: str, by: Span) -> None:
        """Every answer of the store takes so long to reach the node."""
        self._check_node(node)
        wait = span_given(by, "by")
        self._check_bound("delay", wait, self._most.delay)
        self._do({"slow": {"node": node, "by": elapsed(wait)}})

    def fail(
        self, node: str, effect: str, how: str, times: int = 1, by: Span | None = None
    ) -> None:
        """What befalls the node's next effects: before, after, late, conflict, deadlock, refused.

        ``by`` is how much later one commits whose ``how`` is ``late``, 5 s unless given; no other has it.
        """
        self._check_node(node)
        fail: dict[str, Any] = {"node": node, "effect": effect, "how": how, "times": times}
        if how == LATE:
            late = span_given(LATE_BY_S if by is None else by, "by")
            self._check_bound("delay", late, self._most.delay)
            fail["by"] = elapsed(late)
        elif by is not None and how in FAILURES:
            raise ConfigurationError(
                f"found by={shown(by)}, and it fails {how}; expected by where how is {LATE}: nothing else "
                "takes place later"
            )
        self._do({"fail": fail})

    # What they share

    def drop_notifications(self, dropped: bool = True) -> None:
        """Whether every signal to every node is lost."""
        self._do({"drop_notifications": flag_given(dropped, "dropped")})

    def delay_notifications(self, by: Span) -> None:
        """Every signal is late by so much."""
        self._do({"delay_notifications": elapsed(span_given(by, "by"))})

    def double_notifications(self, doubled: bool = True) -> None:
        """Whether every signal comes twice."""
        self._do({"double_notifications": flag_given(doubled, "doubled")})

    def database(self, *, up: bool) -> None:
        """Whether the store is there."""
        self._do({"database": "up" if flag_given(up, "up") else "down"})

    # What is refused

    def _check_node(self, node: str) -> None:
        if isinstance(node, str) and node in self._nodes:
            return
        known = ", ".join(self._nodes)
        if isinstance(node, str):
            raise SimulationError(f"no node is named {node!r}; known are {known}")
        raise ConfigurationError(f"found the node {shown(node)}; expected its name: one of {known}")

    def _check_bound(self, what: str, asked: timedelta, most: timedelta) -> None:
        if asked > most:
            raise ConfigurationError(
                f"{what} of {elapsed(asked)}, and this world was made for {elapsed(most)} at most, by "
                f"which its invariants go: give World({what}=) more"
            )
