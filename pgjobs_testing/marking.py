"""What the markers of one test say: its options, and the modes it runs in, one after another.

The nearest marker wins, option by option: a parameter's, then the function's, its class's, its
module's. A list of modes makes the test run once in each, like a parameter that it need not take; a
parameter's mode beside one is refused.
"""

from __future__ import annotations

from typing import Any

import pytest

from pgjobs_testing.settings import MODES, check_mode

NAME = "pgjobs"
PARAMETER = "_pgjobs_mode"


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run a test once in each mode of its marker's list.

    A list that cannot be is left alone here: ``given`` says so, as an error of that test.
    """
    for marker in metafunc.definition.iter_markers(NAME):
        if "mode" in marker.kwargs:
            try:
                modes = _listed(marker.kwargs["mode"])
            except ValueError:  # ConfigurationError is one
                return
            if modes:
                metafunc.fixturenames.append(PARAMETER)
                metafunc.parametrize(PARAMETER, modes, ids=modes)
            return


def given(item: pytest.Item) -> dict[str, Any]:
    """The options that the markers of a test give; ``ConfigurationError`` for what cannot be."""
    callspec = getattr(item, "callspec", None)
    of_parameters = [] if callspec is None else [m for m in callspec.marks if m.name == NAME]
    others = [m for m in item.iter_markers(NAME) if not any(m is each for each in of_parameters)]
    found: dict[str, Any] = {}
    for marker in (*reversed(others), *of_parameters):
        if marker.args:
            from pgjobs.rules.errors import ConfigurationError

            raise ConfigurationError(
                f"its options are given by name, as in mode={marker.args[0]!r}, not as {marker.args!r}"
            )
        found |= marker.kwargs
    run_in = None if callspec is None else callspec.params.get(PARAMETER)
    if run_in is not None and any("mode" in marker.kwargs for marker in of_parameters):
        from pgjobs.rules.errors import ConfigurationError

        raise ConfigurationError(
            "the test runs once in each mode of a list, and one of its parameters names a mode as "
            "well: leave the list out, or the parameter's mode"
        )
    if run_in is not None:
        found["mode"] = run_in
    elif _listed(found.get("mode")):
        from pgjobs.rules.errors import ConfigurationError

        raise ConfigurationError(
            f"mode={found['mode']!r}: {_why_no_list(item)}: name one mode here"
        )
    return found


def _why_no_list(item: pytest.Item) -> str:
    """Why this test cannot run once in each mode of a list."""
    from unittest import TestCase

    cls = getattr(item, "cls", None)
    if isinstance(cls, type) and issubclass(cls, TestCase):
        return "pytest runs a method of a unittest.TestCase once, so it takes no list of modes"
    return (
        "a list of modes is for a test function, marked where it is defined, or on its class or module "
        "(pytestmark)"
    )


def _listed(mode: object) -> list[str]:
    """The modes of a list; none where one mode is named, or none."""
    if mode is None or isinstance(mode, str):
        return []
    from pgjobs.rules.errors import ConfigurationError

    if not isinstance(mode, list | tuple):
        raise ConfigurationError(f"mode takes a mode or a list of modes, not {mode!r}")
    if not mode:
        raise ConfigurationError(
            f"mode={mode!r} would run the test in no mode: name one of {', '.join(MODES)}"
        )
    modes = [check_mode(each) for each in mode]
    twice = [each for each in modes if modes.count(each) > 1]
    if twice:
        raise ConfigurationError(f"mode={mode!r} names {twice[0]!r} more than once")
    return modes
