"""A process that has imported all but the engine, and forks a child for each trial of an ablation.

Importing pytest, hypothesis and a driver takes ten times as long as most trials. Each child imports the
engine anew, from the copy that its request names; nothing is left of it for the next.

Requests are lines of JSON on standard input, answers lines on standard output.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

PRELOADED = (
    "_pytest.pytester",
    "click",
    "freezegun",
    "hypothesis.stateful",
    "psycopg",
    "pydantic",
    "pytest",
    "rich.console",
    "ruamel.yaml",
)


def main() -> None:
    for module in PRELOADED:
        __import__(module)
    loaded = [name for name in sys.modules if name.split(".")[0] in ("pgjobs", "pgjobs_testing")]
    assert not loaded, f"the nursery must not have imported {loaded}"
    _say({"ready": True})
    for line in sys.stdin:
        _say(_answer(json.loads(line)))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """What a child says; ``{"hung": seconds}`` or ``{"died": status}`` where it says nothing."""
    theirs, ours = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(theirs)
        _child(request, ours)
    os.close(ours)
    try:
        return _heard(theirs, child, request["seconds"])
    finally:
        os.close(theirs)


def _heard(pipe: int, child: int, seconds: float) -> dict[str, Any]:
    found = bytearray()
    while select.select([pipe], [], [], seconds)[0]:
        part = os.read(pipe, 65536)
        if not part:
            _, status = os.waitpid(child, 0)
            answer: dict[str, Any] = json.loads(found) if found else {"died": status}
            return answer
        found += part
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return {"hung": seconds}


def _child(request: dict[str, Any], pipe: int) -> None:
    """Never returns."""
    try:
        os.setsid()
        out = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for standard in (1, 2):
            os.dup2(out, standard)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        place = request["place"]
        sys.path[:0] = [place, str(Path(__file__).parents[2])]
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
        os.environ["CI"] = "1"  # hypothesis then takes no chances: its examples are the same again

        import pgjobs

        assert Path(pgjobs.__file__).is_relative_to(place), f"imported {pgjobs.__file__}"

        from tests.ablations.trial import tried

        os.write(pipe, json.dumps(tried(request)).encode())
    except BaseException:
        import traceback

        os.write(pipe, json.dumps({"crashed": traceback.format_exc()}).encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
