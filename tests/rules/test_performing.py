"""What can perform jobs is told where it is defined, and nothing that could is refused."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from unittest import mock

import pytest

from pgjobs import ConfigurationError, worker
from tests.rules.factory import job

T = TypeVar("T")


class Method:
    """Methods of every kind that take a job."""

    def plain(self, job): ...

    @classmethod
    def of_class(cls, job): ...

    @staticmethod
    def static(job): ...

    def nothing(self): ...

    def more(self, job, more): ...


class Called:
    def __call__(self, job): ...


class CalledWithNothing:
    def __call__(self): ...


class CalledByGenerating:
    def __call__(self, job):
        yield


def injecting(function):
    @functools.wraps(function)
    def call(job):
        return function(job, "injected")

    return call


@injecting
def injected(job, database): ...


@functools.wraps(injected)
def wrapping_two(job, more): ...


@functools.singledispatch
def dispatching(job): ...


def generating(job):
    yield


async def generating_async(job):
    yield


def class_of(**members: Any) -> Any:
    return type("Made", (), members)


def perform(self, job): ...


@dataclass
class WithDefaults:
    database: str = "x"

    def perform(self, job): ...


@dataclass
class WithoutDefaults:
    database: str

    def perform(self, job): ...


class AProtocol(Protocol):
    def perform(self, job): ...


class AGeneric(Generic[T]):
    def perform(self, job): ...


class ATuple(NamedTuple):
    n: int = 1

    def perform(self, job): ...


class OfMetaclass(type):
    def __call__(cls):
        return super().__call__("given")


class MadeByMetaclass(metaclass=OfMetaclass):
    def __init__(self, database): ...

    def perform(self, job): ...


class MadeByNew:
    def __new__(cls):
        return super().__new__(cls)

    def perform(self, job): ...


def signed(job, more): ...


signed.__signature__ = "whatever it claims"  # type: ignore[attr-defined]  # as decorators do

WORKING = {
    "job": lambda job: None,
    "another name": lambda message: None,
    "any": lambda *args: None,
    "all": lambda *args, **kwargs: None,
    "default": lambda job=None, more=None: None,
    "keyword with default": lambda job, *, more=None: None,
    "by position": lambda job, /: None,
    "partial": functools.partial(lambda more, job: None, 1),
    "partial by keyword": functools.partial(lambda job, more: None, more=1),
    "partial of partial": functools.partial(functools.partial(lambda a, b, job: None, 1), 2),
    "partial of a method": functools.partial(Method().more, more=1),
    "method": Method().plain,
    "class method": Method.of_class,
    "static method": Method.static,
    "object": Called(),
    "method of an object": Called().__call__,
    "decorator": injected,
    "singledispatch": dispatching,
    "context manager": contextlib.contextmanager(generating),
    "C": repr,
    "mock": mock.Mock(),
    "autospec": mock.create_autospec(lambda job: None),
    "another worker": worker(lambda job: None),
    "class": class_of(perform=perform),
    "static perform": class_of(perform=staticmethod(lambda job: None)),
    "class perform": class_of(perform=classmethod(perform)),
    "partial perform": class_of(perform=functools.partialmethod(lambda self, n, job: None, 1)),
    "decorated perform": class_of(perform=lambda *args: injected(args[1])),
    "object as perform": class_of(perform=Called()),
    "init with default": class_of(perform=perform, __init__=lambda self, n=1: None),
    "init with any": class_of(perform=perform, __init__=lambda self, *args, **kwargs: None),
    "dataclass": WithDefaults,
    "generic": AGeneric,
    "named tuple": ATuple,
    "made by metaclass": MadeByMetaclass,
    "made by __new__": MadeByNew,
}
"""What works when a job comes."""

UNTOLD = {
    "signed": signed,
    "protocol": AProtocol,
    "C without a signature": max,
    "lru_cache": functools.lru_cache(lambda job: None),
    "async mock": mock.AsyncMock(),
}
"""What does not say how it is called, or is never called."""

JOB = "must take one argument, the job: "
PERFORM = r"must take perform\(self, job\): "
MADE = "is made anew for each run, without arguments: missing a required argument: "
GENERATOR = "is a generator function, which only makes a generator: remove its yield"

REFUSED = {
    "nothing": (lambda: None, JOB + "too many positional arguments"),
    "two": (lambda job, more: None, JOB + "missing a required argument: 'more'"),
    "by keyword": (lambda *, job: None, JOB + "too many positional arguments"),
    "keyword without default": (lambda job, *, more: None, JOB + "missing a required"),
    "partial": (functools.partial(lambda job: None, 1), JOB + "too many"),
    "method": (Method().nothing, JOB + "too many"),
    "method without self": (Method.plain, JOB + "missing a required argument: 'job'"),
    "object": (CalledWithNothing(), JOB + "too many"),
    "decorator": (wrapping_two, JOB + "missing a required argument: 'more'"),
    "perform": (class_of(perform=lambda self: None), PERFORM + "too many"),
    "perform with two": (class_of(perform=lambda self, job, n: None), PERFORM + "missing"),
    "static perform": (class_of(perform=staticmethod(perform)), PERFORM + "missing"),
    "init": (class_of(perform=perform, __init__=lambda self, n: None), MADE + "'n'"),
    "dataclass": (WithoutDefaults, MADE + "'database'"),
    "generator": (generating, GENERATOR),
    "async generator": (generating_async, GENERATOR),
    "partial of a generator": (functools.partial(generating), GENERATOR),
    "object that generates": (CalledByGenerating(), GENERATOR),
    "perform that generates": (class_of(perform=lambda self, job: (yield)), GENERATOR),
}


@pytest.mark.parametrize("given", WORKING.values(), ids=WORKING)
def test_what_works_is_taken(given: Any):
    worker(name="shop.work")(given).bound()(job())


@pytest.mark.parametrize("given", UNTOLD.values(), ids=UNTOLD)
def test_what_does_not_tell_is_taken(given: Any):
    assert "shop.work" == worker(name="shop.work")(given).name


@pytest.mark.parametrize("given, message", REFUSED.values(), ids=REFUSED)
def test_what_no_job_can_be_given_to_is_refused_where_it_is_defined(given: Any, message: str):
    with pytest.raises(ConfigurationError, match=f"^worker shop.work {message}"):
        worker(name="shop.work")(given)
