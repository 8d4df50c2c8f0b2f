"""The options of the marker: each is described, and each mistake names what was meant."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pgjobs import ConfigurationError
from pgjobs_testing import harness
from pgjobs_testing.settings import Settings

OPTIONS = [field.name for field in fields(Settings)]


def test_pytest_describes_every_option_of_the_marker_and_every_ini(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    markers = pytester.runpytest_subprocess("-p", "pgjobs_testing", "--markers").stdout.str()
    (told,) = [line for line in markers.splitlines() if line.startswith("@pytest.mark.pgjobs(")]
    signature, _, description = told.partition("): ")
    assert signature == f"@pytest.mark.pgjobs({', '.join(OPTIONS)}"
    described = description.replace("queues and plugins:", "queues: plugins:")
    assert [name for name in OPTIONS if f"{name}: " not in described] == []
    text = pytester.runpytest_subprocess("-p", "pgjobs_testing", "--help").stdout.str()
    for name in ("--pgjobs-mode", "--pgjobs-seed", "--pgjobs-start", "--pgjobs-postgres"):
        assert name in text
    for name in (
        "pgjobs_mode",
        "pgjobs_start",
        "pgjobs_plugins",
        "pgjobs_strict",
        "pgjobs_scenarios",
    ):
        assert name in text


@pytest.mark.parametrize("name", OPTIONS)
def test_a_misspelt_option_names_the_nearest(name: str) -> None:
    wrong = name[:-1] + name[-1] * 2
    with pytest.raises(ConfigurationError, match=f"'{wrong}': did you mean '{name}'"):
        harness(**dict[str, Any]({wrong: 1})).__enter__()


@pytest.mark.parametrize(
    "given, message",
    [
        ({"mode": "inlin"}, "unknown mode 'inlin': did you mean 'inline'"),
        ({"mode": ["manual", "inline"]}, "a mode is one of manual, inline, postgres, live, not"),
        ({"mode": None}, "a mode is one of"),
        ({"queues": ["mail"]}, "queues"),
        ({"plugins": [3]}, "plugin"),
        ({"seed": "7"}, "seed takes a whole number from 0 to .*, not '7'"),
        ({"seed": True}, "seed takes a whole number from 0 to .*, not True"),
        ({"seed": -1}, f"seed takes a whole number from 0 to {2**64 - 1}, not -1"),
        ({"seed": 2**64}, f"seed takes a whole number from 0 to {2**64 - 1}, not {2**64}"),
        ({"start": datetime(2025, 1, 1)}, "start takes an aware datetime"),  # noqa: DTZ001 - on purpose
        ({"start": "2025-01-01"}, "start takes an aware datetime, not '2025-01-01'"),
        ({"jitter": 1}, "jitter takes True or False, not 1"),
        ({"freeze": "yes"}, "freeze takes True or False, not 'yes'"),
        ({"strict": None}, "strict takes True or False, not None"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_is_taken(given, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        harness(**given).__enter__()
