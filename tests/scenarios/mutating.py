"""Makes bad files of good ones, always the same for one seed and number: what a fuzz of the reader feeds.

Half of the mutations know the structure (keys dropped, doubled, renamed; values of other types, sizes,
extremes), half the text (bytes cut, flipped, doubled; anchors, tags, tabs, marks of other systems).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from typing import Any

from ruamel.yaml import YAML

Path_ = list[Any]
SCENARIOS = Path(__file__).parents[2] / "scenarios"

SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 10, 127, 2**15, 2**31, 2**63, 2**64, 10**9, 10**300),
    *(0.5, -0.0, 1e308, 1e-9, "", " ", "ok", "end", "a", "b", "default", "guide", "up", "down"),
    *("0s", "1ms", "0.000001s", "1s", "59m", "1h30m", "400d", "999999999d", "999999999999s", "-5s"),
    *("1d1d", "1s1h", "10 minutes", "5", "1e3s", "99999999999999999999s", "2025-01-01T00:00:00Z"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2025-02-30T00:00:00Z", "12:30"),
    *("2024-12-31T23:59:59+14:00", "2025-01-01T00:00:00", "no", "yes", "~", "null", ".nan", "0x1f"),
    *(
        "* * * * *",
        "0 0 30 2 *",
        "0 0 29 2 1",
        "@reboot",
        "@hourly",
        "*/0 * * * *",
        "59 23 31 12 7",
    ),
    *("0-99999999 * * * *", "Etc/UTC", "America/New_York", "Nowhere/Land", "../../etc/passwd"),
    *(
        "completed",
        "executing",
        "suspended",
        "done",
        "args",
        "worker",
        "ValueError: why",
        "ExceptionGroup",
    ),
    *("claim", "settle", "watermarks", "any", "before", "after", "late", "conflict", "refused"),
    *("stalled", "cron", 100_000, -100_000, 1_000, 1_001),
    *("KeyboardInterrupt", "SystemExit", "os:system", "tests.scenarios.shop:nightly", "é" * 200),
    *(
        "x" * 127,
        "x" * 128,
        "x" * 5_000,
        "\u202e\u0000\ud800",
        "a\nb",
        "\u2028",
        "a::b",
        "{}",
        "[",
        "*a",
    ),
)
KEYS = (
    *(
        "name",
        "start",
        "seed",
        "jitter",
        "nodes",
        "queues",
        "plugins",
        "workers",
        "steps",
        "until",
        "expect",
    ),
    *(
        "trace",
        "at",
        "insert",
        "insert_all",
        "cancel",
        "retry",
        "delete",
        "pause",
        "resume",
        "scale",
        "crash",
    ),
    *(
        "restart",
        "stop",
        "suspend",
        "partition",
        "heal",
        "skew",
        "drop_notifications",
        "database",
        "as",
    ),
    *(
        "worker",
        "args",
        "queue",
        "priority",
        "max_attempts",
        "tags",
        "meta",
        "schedule_in",
        "scheduled_at",
    ),
    *(
        "unique",
        "replace",
        "for",
        "error",
        "snooze",
        "discard",
        "raise",
        "hang",
        "use",
        "runs",
        "backoff",
    ),
    *(
        "timeout",
        "constant",
        "linear",
        "exponential",
        "max",
        "period",
        "keys",
        "fields",
        "states",
        "timestamp",
    ),
    *(
        "concurrency",
        "paused",
        "global_concurrency",
        "rate_limit",
        "allowed",
        "stalled",
        "pruner",
        "cron",
    ),
    *(
        "crontab",
        "timezone",
        "catch_up",
        "interval",
        "rescue_after",
        "max_age",
        "limit",
        "node",
        "grace",
        "by",
    ),
    *("fail", "slow", "drift", "delay_notifications", "double_notifications", "before", "after"),
    *("effect", "how", "times", "ppm", "hold", "drain"),
    *("job", "count", "jobs", "is", "order", "state", "attempt", "snoozed", "conflict", "replaced"),
    *(
        "pause_all",
        "resume_all",
        "completed_at",
        "inserted_at",
        "invariants",
        "ignores",
        "[key]",
        "__class__",
        "model_config",
    ),
)
BYTES = (
    *(
        b"\t",
        b"\r",
        b"\r\n",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xfe\xff",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
    ),
    *(
        b"---\n",
        b"...\n",
        b"%YAML 1.1\n---\n",
        b"%TAG ! tag:x,2000:\n---\n",
        b"!!python/object/apply:os.system ['x']",
    ),
    *(
        b"!!binary x",
        b"!<x> ",
        b"&a ",
        b"*a ",
        b"<<: *a\n",
        b"<<: {}\n",
        b"? ",
        b"? [a]\n: b\n",
        b": ",
        b"- ",
    ),
    *(
        b"|9\n",
        b"|+2\n",
        b">-\n",
        b"'",
        b'"',
        b'"\\UFFFFFFFF"',
        b'"\\ud800"',
        b'"\\x"',
        b"{",
        b"}",
        b"[",
        b"]",
    ),
    *(
        b"#",
        b"@",
        b"`",
        b"%",
        b"\\",
        b"[" * 200,
        b"{a: " * 200,
        b"- " * 300,
        b" " * 300,
        b"\n" * 50,
        b"9" * 500,
    ),
)


def corpus() -> list[bytes]:
    """The shipped scenarios, in order."""
    return [path.read_bytes() for path in sorted(SCENARIOS.rglob("*.yaml"))]


def mutated(originals: list[bytes], seed: int, number: int) -> bytes:
    """The file of that number."""
    rng = Random(f"{seed}:{number}")
    original = rng.choice(originals)
    if number % 25 == 24:
        return rng.choice(WHOLE)(rng)
    if number % 2:
        return _of_text(original, rng)
    data = YAML(typ="safe", pure=True).load(original)
    data = json.loads(json.dumps(data, default=str))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = _of_structure(data, rng)
    text = json.dumps(data, ensure_ascii=rng.random() < 0.2)
    return text.encode("utf-8", "surrogatepass")


# Structure


def _of_structure(data: Any, rng: Random) -> Any:
    data = copy.deepcopy(data)
    places = list(_places(data))
    if not places:
        return rng.choice(SCALARS)
    if len(places) > 20_000:
        return data
    holder, at = rng.choice(places)
    kind = rng.randrange(10)
    if kind == 0:
        del holder[at]
    elif kind == 1 and isinstance(holder, dict):
        holder[_misspelt(at, rng) if rng.random() < 0.5 else rng.choice(KEYS)] = holder.pop(at)
    elif kind == 2 and isinstance(holder, list):
        holder[at:at] = [holder[at]] * rng.choice((1, 2, 100, 3_000))
    elif kind == 3:
        holder[at] = [holder[at]]
    elif kind == 4:
        holder[at] = {rng.choice(KEYS): holder[at]}
    elif kind == 5 and isinstance(holder, dict):
        holder[rng.choice(KEYS)] = rng.choice(SCALARS)
    elif kind == 6:
        other, other_at = rng.choice(places)
        holder[at] = copy.deepcopy(other[other_at])
    elif kind == 7 and isinstance(holder, list):
        rng.shuffle(holder)
    elif kind == 8 and isinstance(holder, dict):
        for n in range(rng.choice((3, 300))):
            holder[f"{at}{n}"] = copy.deepcopy(holder[at])
    else:
        holder[at] = rng.choice(SCALARS)
    return data


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value: what holds it, and its key or index."""
    pairs: Any = ()
    if isinstance(data, dict):
        pairs = list(data.items())
    elif isinstance(data, list):
        pairs = list(enumerate(data))
    for at, value in pairs:
        yield data, at
        yield from _places(value)


def _misspelt(word: str, rng: Random) -> str:
    at = rng.randrange(len(word) + 1)
    return word[:at] + rng.choice(("", "x", "_", "E", " ")) + word[at + rng.randrange(2) :]


# Text


def _of_text(text: bytes, rng: Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, end = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        kind = rng.randrange(9)
        if kind == 0:
            text = text[:at]
        elif kind == 1:
            text = text[:at] + text[min(end, at + 40) :]
        elif kind == 2:
            text = (
                text[:at]
                + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
                + text[at:]
            )
        elif kind == 3:
            text = text.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\n\t", b"\n  ")))
        elif kind == 4:
            text = rng.choice((b"\xef\xbb\xbf", b"%YAML 1.2\n---\n", b"--- ", b"\t")) + text
        elif kind == 5:
            lines = text.split(b"\n")
            n = rng.randrange(len(lines))
            lines[n:n] = [lines[rng.randrange(len(lines))]] * rng.choice((1, 2, 200))
            text = b"\n".join(lines)
        elif kind == 6 and text:
            word = rng.choice(text.split() or [b"a"])
            text = text.replace(word, json.dumps(rng.choice(SCALARS)).encode(), rng.choice((1, -1)))
        else:
            text = text[:at] + rng.choice(BYTES) + text[at:]
        text = text[: 2**21]
    return text


# Whole files


def _bomb(rng: Random) -> bytes:
    width, depth = rng.choice(((10, 9), (2, 40), (1, 300), (1_000, 3)))
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    return "\n".join(lines).encode()


def _deep(rng: Random) -> bytes:
    return rng.choice((b"[", b"{a: ", b"- ", b"? ", b"- - ")) * rng.choice((40, 60, 5_000, 200_000))


def _noise(rng: Random) -> bytes:
    return rng.randbytes(rng.choice((1, 10, 1_000)))


def _mistaken(rng: Random) -> bytes:
    """Thousands of mistakes, each near to thousands of names."""
    count = rng.choice((300, 3_000))
    workers = ", ".join(f"worker_number_{n}: {{}}" for n in range(count))
    steps = ", ".join(f"{{at: 0s, insert: {{worker: wroker_nubmer_{n}}}}}" for n in range(count))
    return f"name: n\nworkers: {{{workers}}}\nsteps: [{steps}]\n".encode()


def _crowd(rng: Random) -> bytes:
    """More nodes, queues or jobs than anybody needs."""
    nodes = ", ".join(f"n{n}" for n in range(rng.choice((1, 3, 60, 100, 3_000))))
    queues = ", ".join(
        f"q{n}: {{concurrency: {rng.choice((1, 10**5, 10**9))}}}"
        for n in range(rng.choice((0, 5, 300)))
    )
    jobs = ", ".join(["{worker: W}"] * rng.choice((1, 2_000, 9_000)))
    run = rng.choice(
        ("ok", "{for: 1h, error: e}", "{snooze: 0s}", "{hang: true}", "{insert: {worker: W}}")
    )
    until = rng.choice(("", "until: 1h\n", "until: 40d\n", "until: 2900000d\n"))
    return (
        f"name: n\nnodes: [{nodes}]\nqueues: {{{queues}}}\nworkers: {{W: {{runs: [{run}]}}}}\n"
        f"steps: [{{at: 0s, insert_all: [{jobs}]}}]\n{until}"
    ).encode()


def _endless(rng: Random) -> bytes:
    """Recurring work at its shortest, for centuries."""
    run = rng.choice(
        ("{for: 1ms, snooze: 1ms}", "{error: e}", "{for: 1s, insert: {worker: W}, snooze: 0s}")
    )
    plugins = rng.choice(
        ("stalled: {interval: 100ms}", "pruner: {interval: 100ms, max_age: 0s}", "")
    )
    when = rng.choice(("* * * * *", "0 0 29 2 *", "0 0 30 2 *", "@yearly"))
    cron = rng.choice(("", f"cron: {{timezone: America/New_York, crontab: [['{when}', W]]}}"))
    both = ", ".join(filter(None, (plugins, cron)))
    attempts = rng.choice((1, 20, 32_767))
    return (
        f"name: n\nnodes: [{rng.choice(('a', 'a, b'))}]\nplugins: {{{both}}}\n"
        f"workers: {{W: {{max_attempts: {attempts}, backoff: {{constant: 0s}}, runs: [{run}]}}}}\n"
        f"steps: [{{at: 0s, insert: {{as: x, worker: W}}}}]\nuntil: {rng.choice(('1d', '2900000d'))}\n"
    ).encode()


def _faulty(rng: Random) -> bytes:
    """Every fault at its extremes, for days, and all of it watched."""
    effect = rng.choice(("claim", "settle", "poll", "beat", "lead", "tick", "any"))
    how = rng.choice(
        ("before", "after", "late, by: 0s", "late, by: 999999999d", "conflict", "refused")
    )
    when = rng.choice(("before", "after"))
    ppm = rng.choice((0, 1, -100_000, 100_000))
    span = rng.choice(("0s", "0.000001s", "1s", "1h", "999999999d"))
    faults = [
        f"fail: {{node: a, effect: {effect}, how: {how}, times: {rng.choice((1, 1_000))}}}",
        f"drift: {{node: a, ppm: {ppm}}}",
        f"slow: {{node: a, by: {span}}}",
        f"delay_notifications: {span}",
        "double_notifications: true",
    ]
    rng.shuffle(faults)
    faults.insert(rng.randrange(6), f"crash: {{node: a, {when}: {effect}}}")
    queues = rng.choice(("", ", queues: []", ", queues: default", ", queues: [default, mail]"))
    faults += [
        f"restart: {{node: a, plugins: {rng.choice(('[]', '[cron]', 'stalled', 'leader_tasks'))}{queues}}}"
    ]
    faults = faults[rng.randrange(4) : rng.choice((4, 7, 7))]
    steps = ", ".join(f"{{at: {n}s, {fault}}}" for n, fault in enumerate(faults))
    run = rng.choice(
        ("{for: 1h, ignores: true}", "{for: 999999999d, ignores: true}", "{error: e}", "ok")
    )
    timeout = rng.choice(("", "timeout: 1s, "))
    until = rng.choice(("", "until: 1h\n", "until: 2d\n", "until: 2900000d\n"))
    plugins = "stalled: {}, cron: {crontab: [['@daily', W]]}"
    return (
        f"name: n\nnodes: [{rng.choice(('a', 'a, b'))}]\nplugins: {{{plugins}}}\n"
        f"workers: {{W: {{{timeout}runs: [{run}]}}}}\ninvariants: {rng.choice(('true', 'false'))}\n"
        f"steps: [{{at: 0s, insert_all: [{{worker: W}}, {{worker: W}}]}}, {steps}]\n{until}"
    ).encode()


def _watched(rng: Random) -> bytes:
    """Hundreds of expectations that fail."""
    about = rng.choice(
        (
            "job: x, state: cancelled",
            "count: {state: completed}, is: 0",
            "jobs: {worker: W}, order: []",
        )
    )
    expect = ", ".join(f"{{at: {n}s, {about}}}" for n in range(rng.choice((10, 900))))
    return (
        "name: n\nworkers: {W: {max_attempts: 1000, backoff: {constant: 1s}, runs: [{error: e}]}}\n"
        f"steps: [{{at: 0s, insert: {{as: x, worker: W}}}}]\nexpect: [{expect}]\nuntil: 1000s\n"
    ).encode()


def _large(rng: Random) -> bytes:
    """Nearly a mebibyte of one thing."""
    kind = rng.randrange(4)
    if kind == 0:
        return b"name: " + b"x" * 1_040_000
    if kind == 1:
        return b"a: [" + b"1," * 520_000
    if kind == 2:
        return (
            b"name: n\nsteps: ["
            + b"{at: 0s, insert: {worker: W}}, " * 30_000
            + b"]\nworkers: {W: {}}\n"
        )
    return b"".join(b"key%d: x\n" % n for n in range(80_000))


WHOLE: tuple[Callable[[Random], bytes], ...] = (
    *(
        _bomb,
        _deep,
        _noise,
        _noise,
        _noise,
        _mistaken,
        _crowd,
        _crowd,
        _endless,
        _endless,
        _faulty,
        _faulty,
        _watched,
    ),
)
"""What makes whole files of its own; ``_large`` costs seconds, and is fed apart."""
LARGE = _large
