"""How trials are asked for: a nursery that forks them, broken copies of the engine, requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pgjobs.guard import ENVIRONMENT_MARK
from tests.ablations.ablation import PACKAGE, ROOT, Ablation, copied

Request = dict[str, Any]
Answer = dict[str, Any]

ENDLESS = 10.0
"""Seconds after which a test that may hang is taken for one that does."""
SPARE = 10.0
"""Seconds that a child has beyond those of its trial, before it is killed."""


class Nursery:
    """The process that forks trials, and the server on which they may have databases."""

    def __init__(self, new_database: Callable[[str], str], server: str) -> None:
        self._new_database, self.server = new_database, server
        self._numbers = count(1)
        mine = {name: value for name, value in os.environ.items() if name != ENVIRONMENT_MARK}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ablations.nursery"],
            cwd=ROOT,
            env=mine | {"PYTHONPATH": str(ROOT)},  # its databases are those of the tests' server
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._heard() == {"ready": True}

    def database(self) -> str:
        """The DSN of an empty database."""
        return self._new_database(f"ablation{os.getpid()}_{next(self._numbers)}")

    def ask(self, request: Request) -> Answer:
        """What a child says of a trial, after its ``seconds`` at the latest."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the nursery has ended"
        answer: Answer = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def broken(ablation: Ablation | None) -> Iterator[Path]:
    """A folder with a copy of the engine that has this fault; None: that has none."""
    with tempfile.TemporaryDirectory(prefix="pgjobs-ablation-") as place:
        copied(Path(place), {} if ablation is None else ablation.sources(ROOT / PACKAGE))
        yield Path(place)


def seeds(
    place: Path,
    nursery: Nursery,
    store: str,
    played: Sequence[int],
    invariants: Sequence[str],
    seconds: float,
) -> Answer:
    """Seeds on the copy at ``place``, until one breaks one of ``invariants`` or time is over."""
    given = {
        "store": store,
        "dsn": nursery.database() if store == "postgres" else None,
        "seeds": [*played],
        "alarms": [*invariants],
        "seconds": seconds,
    }
    return nursery.ask(_request("simulation", given, place, seconds))


def tests(
    place: Path,
    nursery: Nursery,
    chosen: Sequence[str],
    alarms: Sequence[str] | None,
    seconds: float,
    hangs: bool,
) -> Answer:
    """Tests on the copy at ``place``, until one named in ``alarms`` fails; None: all of them, to the end.

    ``hangs``: one that does not end has failed as well.
    """
    patience = ENDLESS if hangs else seconds
    given = {
        "arguments": [*chosen, "--pgjobs-postgres", nursery.server, f"--timeout={patience:g}"],
        "alarms": None if alarms is None else [*alarms],
        "hangs": hangs,
    }
    return nursery.ask(_request("tests", given, place, seconds))


def _request(kind: str, given: dict[str, Any], place: Path, seconds: float) -> Request:
    return {
        "kind": kind,
        "place": str(place),
        "log": str(place / "log.txt"),
        "seconds": seconds + SPARE,
        "with": given,
    }


def unexpected(answer: Answer) -> list[str]:
    """Alarms that were not expected, and what kept a trial from its end."""
    found: list[str] = [*answer.get("others", ())]
    kept = [what for what in ("hung", "died", "crashed") if what in answer]
    return found + [f"{what}: {str(answer[what]).strip().splitlines()[-1]}" for what in kept]
