"""Frozen values that are made fast are what they would be, made slowly."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Generic, TypeVar

import pytest

from pgjobs.rules.swift import swift

T = TypeVar("T")


class Kind(Generic[T]):
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Slow(Kind[int]):
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)


@swift
@dataclass(frozen=True, slots=True)
class Swift(Kind[int]):
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)


@swift
@dataclass(frozen=True, slots=True)
class Picky:
    value: int

    def __post_init__(self) -> None:
        assert self.value, "it is looked at when it is whole"


def test_it_takes_the_same_parameters_by_place_and_by_name():
    slow, made = inspect.signature(Slow).parameters, inspect.signature(Swift).parameters

    assert [*slow] == [*made]
    assert [str(each.annotation) for each in slow.values()] == [
        str(each.annotation) for each in made.values()
    ]
    assert Swift(1, "two", [3]) == Swift(third=[3], first=1)
    with pytest.raises(TypeError, match="first"):
        Swift()  # type: ignore[call-arg]  # that is the point


def test_a_default_is_made_anew_for_each():
    one, other = Swift(1), Swift(1)

    one.third.append(1)

    assert [] == other.third


def test_it_is_of_its_class_and_as_frozen():
    made = Swift(1)

    assert Swift is type(made) and isinstance(made, Kind)
    with pytest.raises(FrozenInstanceError):
        made.first = 2  # type: ignore[misc]  # that is the point
    with pytest.raises((AttributeError, TypeError)):  # which of them differs by Python's version
        made.fourth = 4  # type: ignore[attr-defined]  # that is the point


def test_it_compares_copies_and_pickles():
    made = Swift(1, "b", [3])

    assert made == copy.copy(made) == copy.deepcopy(made) == pickle.loads(pickle.dumps(made))
    assert Swift(2, "b", [3]) == replace(made, first=2) != made
    assert "Swift(first=1, second='b', third=[3])" == repr(made)
    assert hash(Picky(1)) == hash(Picky(1))


def test_what_looks_at_a_new_value_sees_it_whole():
    with pytest.raises(AssertionError, match="whole"):
        Picky(0)


def test_fields_that_are_no_plain_parameters_are_refused():
    @dataclass(frozen=True, slots=True)
    class Named:
        value: int = field(kw_only=True)

    with pytest.raises(TypeError, match="Named does not simply take the fields value"):
        swift(Named)
