"""Which arguments a call accepts, said in the package's own words when others are given.

Python's ``TypeError`` names the one that is wrong. Here the nearest name and all that is accepted are
named as well, and the error is a ``ConfigurationError`` like that of any other option. The signature
stays what it is, for people, for ``inspect`` and for type checkers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from pgjobs.rules.errors import ConfigurationError, closest

T = TypeVar("T", bound=Callable[..., Any])

_NAMELESS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def checks_options(target: T) -> T:
    """A decorator for a class or a function: arguments that it does not take raise ``ConfigurationError``.

    They are looked at only after the call has raised a ``TypeError``; one that came from elsewhere is
    passed on as it is.
    """
    if isinstance(target, type):
        cls: Any = target
        cls.__init__ = _checked(cls.__init__, target.__name__, bound=1)
        return target
    return cast(T, _checked(target, getattr(target, "__name__", repr(target)), bound=0))


def checks_method(name: str) -> Callable[[T], T]:
    """``checks_options`` for a method, which its callers know as ``name``."""

    def decorated(method: T) -> T:
        return cast(T, _checked(method, name, bound=1))

    return decorated


def _checked(function: Callable[..., Any], name: str, bound: int) -> Callable[..., Any]:
    """``function`` with its arguments checked; the first ``bound`` of them are not the caller's."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            if (mistake := _mistake(function, name, bound, args, kwargs)) is None:
                raise
        raise ConfigurationError(mistake)

    return call


def _mistake(
    function: Callable[..., Any],
    name: str,
    bound: int,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> str | None:
    """What is wrong with these arguments; None where nothing is."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        reason = error
    else:
        return None
    accepted = list(signature.parameters.values())[bound:]
    names = [each.name for each in accepted]
    takes = f"{name} takes {', '.join(names)}"
    for given in kwargs:
        if given not in names:
            return f"unknown option of {name} {given!r}: {_guess(given, names)}{takes}"
    in_order = [each.name for each in accepted if each.kind in _NAMELESS]
    given_in_order = len(args) - bound
    if given_in_order > len(in_order):
        by_name = names[len(in_order) :]
        if not by_name:
            return f"{name} got {given_in_order} values, too many: {takes}"
        return (
            f"{name} takes {', '.join(in_order) or 'nothing'} without a name, and got {given_in_order} "
            f"such: name the others, as in {name}({by_name[0]}=...). {takes}"
        )
    twice = [each for each in in_order[:given_in_order] if each in kwargs]
    if twice:
        return f"{name} got {twice[0]!r} twice, with and without its name: give it once"
    missing = [
        each.name
        for each in accepted[given_in_order:]
        if each.default is each.empty and each.name not in kwargs
    ]
    return f"{name} needs {' and '.join(missing)}: {takes}" if missing else f"{name}: {reason}"


def _guess(given: str, names: list[str]) -> str:
    found = closest(given, names)
    return f"did you mean {found!r}? " if found else ""
