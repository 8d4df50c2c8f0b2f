"""Whether what is to be a worker can be called as one: with the job, and a class without anything.

It is called anew for each job, so that the mistake would show at the first run, as a failed job. Refused
is only what no call can do; a decorator is taken at its own signature, not at that of what it wraps, and
what tells none, or claims one by ``__signature__``, is let through.
"""

from __future__ import annotations

import functools
import inspect
from types import FunctionType, MethodType
from typing import Any


def refusal(wrapped: Any) -> str | None:
    """Why a function or class cannot perform jobs, to be put behind the worker's name; None where it can."""
    called, given, takes = wrapped, 1, "one argument, the job"
    if isinstance(wrapped, type):
        if (reason := _cannot_be_made(wrapped)) is not None:
            return f"is made anew for each run, without arguments: {reason}"
        cls: Any = wrapped
        written = inspect.getattr_static(wrapped, "perform")
        if not isinstance(written, FunctionType | staticmethod | classmethod):
            return None  # another descriptor, which gives who knows what
        called, takes = cls.perform, "perform(self, job)"
        given += isinstance(written, FunctionType)  # self
    elif not isinstance(_innermost(called), FunctionType | MethodType):
        called = called.__call__  # of an object
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        return "is a generator function, which only makes a generator: remove its yield"
    reason = _cannot_bind(called, given)
    return None if reason is None else f"must take {takes}: {reason}"


def asked_refusal(called: Any, given: int, takes: str) -> str | None:
    """Why a function that the engine asks cannot be called with so many arguments; None where it can.

    ``takes`` is how it is to be called, for the message.
    """
    if not isinstance(_innermost(called), FunctionType):
        called = called.__call__  # of an object
    reason = _cannot_bind(called, given)
    return None if reason is None else f"must take {takes}: {reason}"


def _cannot_be_made(cls: Any) -> str | None:
    """Why an instance cannot be made without arguments, where ``__init__`` alone decides."""
    plain = type(cls).__call__ is type.__call__ and cls.__new__ is object.__new__
    return _cannot_bind(cls.__init__, 1) if plain else None


def _cannot_bind(called: Any, given: int) -> str | None:
    """Why it cannot be called with so many arguments; None where it can, or does not tell."""
    innermost = _innermost(called)
    if not isinstance(innermost, FunctionType) or hasattr(innermost, "__signature__"):
        return None
    try:
        inspect.signature(called, follow_wrapped=False).bind(*[None] * given)
    except TypeError as error:
        return str(error)
    return None


def _innermost(called: Any) -> Any:
    """The function below partials and bound methods."""
    while isinstance(called, functools.partial | MethodType):
        called = called.func if isinstance(called, functools.partial) else called.__func__
    return called
