"""How long a node bears that a lane is silent, and what it does then: ask the server, and go by its word.

A lane is looked at every few seconds. Where a statement is under way, and nothing has moved since
``asked_after_s``, a short-lived thread asks (``asking``). While the server works at it the node waits, for
ever, and says so once a minute. Where the server has nothing to do for it, twice in a row, and still
nothing has come, the connection is given up: its effects end as with one that was lost. Where nobody can
say, that happens after ``unknown_after_s``. Where the question has no answer either it is an outage:
told, and asked again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pgjobs.rules.errors import StoreError

if TYPE_CHECKING:
    import psycopg

    from pgjobs.adapters.postgres.asking import Word

    Connection = psycopg.Connection[Any]

log = logging.getLogger("pgjobs")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of silence. ``again_s`` lie between two looks, and between the two times that the server has
    nothing to do: an answer that was on its way has come by then."""

    asked_after_s: float = 30.0
    again_s: float = 5.0
    unknown_after_s: float = 300.0
    told_every_s: float = 60.0


PATIENCE = Patience()


class Watched(Protocol):
    """A lane, as far as its silence is concerned."""

    @property
    def stirred(self) -> int:
        """Grows whenever anything begins, is sent or is received."""
        ...

    @property
    def doing(self) -> str:
        """What waits for an answer; empty where nothing does."""
        ...

    @property
    def process(self) -> int:
        """The server's process, by the greeting."""
        ...

    def give_up(self, why: str) -> None:
        """Drop the connection; what waits for an answer ends as unavailable."""
        ...

    def drop(self) -> None:
        """Drop a connection on which nothing waits; the next effect opens another."""
        ...


class Asking(Protocol):
    """A connection that asks for signs of life itself."""

    def look(self, now: float, every_s: float) -> None:
        """It is ``now``, by the monotonic clock: ask, where that was done ``every_s`` ago."""
        ...


class Silence:
    """That of one statement: whether it is to be asked about, and what the server's words amount to."""

    def __init__(self, patience: Patience, stirred: int, now: float) -> None:
        self._patience = patience
        self.stirred, self.since = stirred, now
        self.ask_at = now + patience.asked_after_s
        self.doubted = False

    def lost(self, word: Word, now: float) -> bool:
        """Whether the statement's answer will never come."""
        from pgjobs.adapters.postgres.asking import Verdict

        twice = self.doubted and word.verdict is Verdict.DEAD
        self.doubted = word.verdict is Verdict.DEAD
        pause = self._patience.again_s if self.doubted else self._patience.asked_after_s
        self.ask_at = now + pause
        late = now - self.since >= self._patience.unknown_after_s
        return twice or (word.verdict is Verdict.UNKNOWN and late)


@dataclass(frozen=True, slots=True)
class _Asked:
    lane: int
    stirred: int
    process: int


_Answer = tuple[Sequence[_Asked], "dict[int, Word] | Exception"]


class Vigil:
    """Watches the lanes of the node ``name``. ``ring`` ends the wait of the node's thread."""

    def __init__(
        self,
        name: str,
        lanes: Sequence[Watched],
        listener: Asking,
        connect: Callable[[], Connection],
        ring: Callable[[], None],
        monotonic: Callable[[], float],
        patience: Patience,
    ) -> None:
        self._name, self._lanes, self._listener = name, lanes, listener
        self._connect, self._ring = connect, ring
        self._monotonic, self._patience = monotonic, patience
        now = monotonic()
        self._silences = [Silence(patience, lane.stirred, now) for lane in lanes]
        self._told = [float("-inf")] * len(lanes)
        self._due = now
        self._asking = False
        self.answers: deque[_Answer] = deque()

    def left_s(self) -> float:
        """Look at the lanes if it is time; how long until it is again."""
        now = self._monotonic()
        if now >= self._due:
            self._due = now + self._patience.again_s
            self._look(now)
        return self._due - now

    def heed(self) -> None:
        """Do what the server's words amount to."""
        while self.answers:
            asked, answer = self.answers.popleft()
            self._asking = False
            now = self._monotonic()
            for each in asked:
                if self._still(each):
                    self._judge(each, answer, now)

    def _look(self, now: float) -> None:
        self._listener.look(now, self._patience.asked_after_s)
        asked = []
        for n, lane in enumerate(self._lanes):
            silence = self._silences[n]
            if lane.stirred != silence.stirred or not lane.doing:
                self._silences[n] = Silence(self._patience, lane.stirred, now)
            elif now >= silence.ask_at:
                asked.append(_Asked(n, lane.stirred, lane.process))
        if asked and not self._asking:
            self._asking = True
            dead = [each.process for each in asked if self._silences[each.lane].doubted]
            begin = threading.Thread(
                target=self._ask, args=(asked, dead), name=f"pgjobs-asks-{self._name}", daemon=True
            )
            try:
                begin.start()
            except RuntimeError as error:  # no thread is to be had now
                self.answers.append((asked, error))

    def _ask(self, asked: Sequence[_Asked], dead: Sequence[int]) -> None:
        from pgjobs.adapters.postgres.asking import words

        answer: dict[int, Word] | Exception
        try:
            answer = words(self._connect, [each.process for each in asked], dead)
        except Exception as error:
            answer = error
        self.answers.append((asked, answer))
        self._ring()

    def _still(self, asked: _Asked) -> bool:
        """Whether nothing has moved since."""
        lane = self._lanes[asked.lane]
        return lane.stirred == asked.stirred and bool(lane.doing)

    def _judge(self, asked: _Asked, answer: dict[int, Word] | Exception, now: float) -> None:
        lane, silence = self._lanes[asked.lane], self._silences[asked.lane]
        waits = f"{lane.doing} has had no answer for {now - silence.since:.0f} s"
        if isinstance(answer, Exception):
            silence.ask_at = now + self._patience.asked_after_s
            reason = (
                answer if isinstance(answer, StoreError) else f"{type(answer).__name__}: {answer}"
            )
            self._tell(asked.lane, now, f"{waits}, and the server cannot be asked why: {reason}")
            return
        word = answer[asked.process]
        if silence.lost(word, now):
            why = f"{waits}; the server says: {word.text}. The connection is given up"
            log.warning("node %s: %s", self._name, why)
            lane.give_up(why)
        else:
            more = ""
            if silence.doubted:
                more = ". It is asked once more"
                self._distrust_the_idle()
            self._tell(asked.lane, now, f"{waits}; the server says: {word.text}{more}")

    def _distrust_the_idle(self) -> None:
        """Other lines may be as silent, and the next effect on each would learn of it half a minute later."""
        for lane in self._lanes:
            if not lane.doing:
                lane.drop()

    def _tell(self, lane: int, now: float, text: str) -> None:
        if now - self._told[lane] >= self._patience.told_every_s:
            self._told[lane] = now
            log.warning("node %s: %s", self._name, text)


class Doubt:
    """The same for one statement of a client, in the client's own thread.

    Called with the seconds of silence: raises where no answer will come, or says when to call again.
    """

    def __init__(self, process: int, connect: Callable[[], Connection], patience: Patience) -> None:
        self._process, self._connect, self._patience = process, connect, patience
        self._silence = Silence(patience, 0, 0.0)

    def __call__(self, silent_s: float) -> float:
        from pgjobs.adapters.postgres.asking import SilentLineError, words

        if silent_s <= self._patience.asked_after_s:
            self._silence = Silence(self._patience, 0, 0.0)
        silence = self._silence
        dead = [self._process] if silence.doubted else []
        try:
            word = words(self._connect, [self._process], dead)[self._process]
        except Exception as error:
            log.warning(
                "a statement has had no answer for %.0f s, and the server cannot be asked why: %s",
                silent_s,
                error,
            )
            return self._patience.told_every_s
        if silence.lost(word, silent_s):
            raise SilentLineError(f"no answer for {silent_s:.0f} s; the server says: {word.text}")
        if not silence.doubted:
            log.warning(
                "a statement has had no answer for %.0f s; the server says: %s", silent_s, word.text
            )
            return self._patience.told_every_s
        return self._patience.again_s
