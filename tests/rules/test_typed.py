"""Args as dataclasses and pydantic models: what is taken, what is stored, and what is said of the rest."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import ConfigurationError, InvalidJobError
from pgjobs.rules.jsonb import normal_object
from pgjobs.rules.typed import model_of

Name = NewType("Name", str)


class Color(enum.Enum):
    RED = "red"
    ONE = 1
    NONE = None


class Loud(enum.StrEnum):
    YES = "yes"


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.5


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)


@dataclass
class Every:
    text: str
    whole: int
    number: float
    flag: bool
    nothing: None
    at: datetime
    day: date
    id: uuid.UUID
    price: Decimal
    color: Color
    loud: Loud
    kind: Literal["a", 1, None]
    point: Point
    points: list[Point]
    pair: tuple[int, str]
    row: tuple[float, ...]
    by_name: dict[str, Point]
    maybe: Optional[int]  # noqa: UP045 - both spellings are supported
    either: Union[int, str, None]  # noqa: UP007 - as above
    mixed: float | int | list[int]
    name: Name
    noted: Annotated[int, "positive"]
    tree: Tree


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
POINT = st.builds(Point, x=st.integers(), y=NUMBER)
TREE = st.recursive(
    st.builds(Tree, value=st.integers(), children=st.just([])),
    lambda inner: st.builds(Tree, value=st.integers(), children=st.lists(inner, max_size=3)),
    max_leaves=5,
)
EVERY = st.builds(
    Every,
    text=TEXT,
    whole=st.integers(),
    number=NUMBER,
    flag=st.booleans(),
    nothing=st.none(),
    at=st.datetimes() | st.datetimes(timezones=st.just(UTC)),
    day=st.dates(),
    id=st.uuids(),
    price=st.decimals(allow_nan=False),
    color=st.sampled_from(Color),
    loud=st.sampled_from(Loud),
    kind=st.sampled_from(["a", 1, None]),
    point=POINT,
    points=st.lists(POINT, max_size=2),
    pair=st.tuples(st.integers(), TEXT),
    row=st.lists(NUMBER, max_size=3).map(tuple),
    by_name=st.dictionaries(TEXT, POINT, max_size=2),
    maybe=st.none() | st.integers(),
    either=st.none() | st.integers() | TEXT,
    mixed=st.integers() | st.floats(-1e15, 1e15) | st.lists(st.integers(), max_size=2),
    name=TEXT,
    noted=st.integers(),
    tree=TREE,
)
MODEL = model_of(Every, "shop.every")
FIELDS = {"x": 1, "y": 2.5}


@given(value=EVERY)
def test_what_is_stored_is_read_back_as_it_was(value: Every):
    args = MODEL.stored(value)
    assert args == normal_object(args, "args")
    assert value == MODEL.instance(args)
    assert args == MODEL.stored(args)


@given(value=EVERY)
def test_a_mapping_of_values_makes_the_same_as_an_instance(value: Every):
    shallow = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    assert MODEL.stored(value) == MODEL.stored(shallow)


def test_defaults_are_stored_and_fill_what_a_row_lacks():
    model = model_of(Point, "shop.point")
    assert {"x": 1, "y": 0.5} == model.stored({"x": 1})
    assert Point(1, 0.5) == model.instance({"x": 1})


def test_an_int_is_taken_for_a_float_and_becomes_one():
    made = model_of(Point, "shop.point").instance({"x": 1, "y": 2})
    assert (2.0, float) == (made.y, type(made.y))


@pytest.mark.parametrize(
    "args, message",
    [
        ({}, "args.x is missing; it must be int"),
        ({"x": "3"}, "args.x must be int, not '3' (str)"),
        ({"x": True}, "args.x must be int, not True (bool)"),
        ({"x": 1.0}, "args.x must be int, not 1.0 (float)"),
        ({"x": None}, "args.x must be int, not None (NoneType)"),
        ({"x": 1, "y": "2"}, "args.y must be float, not '2' (str)"),
        ({"x": 1, "y": 10**400}, "args.y must be float, not 1000000"),
        ({"x": 1, "yy": 2}, "args has no field 'yy': did you mean 'y'?"),
        ({"x": 1, 5: 2}, "args has no field 5; known are x, y"),
        ({"x": 1, "y": float("nan")}, "args.y is nan, which JSON cannot hold"),
        ([1], "worker shop.point takes a Point, or a mapping that makes one, not list"),
        (Tree(1), "worker shop.point takes a Point, or a mapping that makes one, not Tree"),
        (Point("1"), "args.x must be int, not '1' (str)"),  # type: ignore[arg-type]  # the point of it
    ],
)
def test_args_that_do_not_fit_are_refused_with_field_expected_and_found(args: Any, message: str):
    with pytest.raises(InvalidJobError) as caught:
        model_of(Point, "shop.point").stored(args)
    assert "worker shop.point" in str(caught.value)
    assert message in str(caught.value)


GOOD = MODEL.stored(
    Every(
        "t", 1, 1.5, True, None, datetime(2025, 1, 1, tzinfo=UTC), date(2025, 1, 1), uuid.UUID(int=1),
        Decimal("1.10"), Color.RED, Loud.YES, "a", Point(1), [Point(1)], (1, "b"), (1.5,), {"a": Point(1)},
        None, None, 1, Name("n"), 1, Tree(1),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ({"at": "tomorrow"}, "args.at must be datetime, not 'tomorrow' (str)"),
        ({"at": 5}, "args.at must be datetime, not 5 (int)"),
        ({"day": datetime(2025, 1, 1, tzinfo=UTC)}, "args.day must be date, not datetime"),
        ({"id": "x"}, "args.id must be UUID, not 'x' (str)"),
        ({"price": "x"}, "args.price must be Decimal, not 'x' (str)"),
        ({"price": 1.1}, "args.price must be Decimal, not 1.1 (float)"),
        ({"color": "blue"}, "args.color must be one of 'red', 1, None, not 'blue' (str)"),
        ({"color": True}, "args.color must be one of 'red', 1, None, not True (bool)"),
        ({"kind": "b"}, "args.kind must be one of 'a', 1, None, not 'b' (str)"),
        ({"kind": [1]}, "args.kind must be one of 'a', 1, None, not [1] (list)"),
        ({"point": 3}, "args.point must be Point, not 3 (int)"),
        ({"points": [FIELDS, {"x": "y"}]}, "args.points[1].x must be int, not 'y' (str)"),
        ({"points": FIELDS}, "args.points must be list of Point, not {"),
        ({"pair": [1]}, "args.pair must be tuple of int, str, not [1] (list)"),
        ({"row": ["a"]}, "args.row[0] must be float, not 'a' (str)"),
        ({"by_name": {"a": 1}}, "args.by_name.a must be Point, not 1 (int)"),
        ({"by_name": {1: FIELDS}}, "a key of args.by_name must be str, not 1 (int)"),
        ({"maybe": "a"}, "args.maybe must be int | None, not 'a' (str)"),
        ({"mixed": ["a"]}, "args.mixed[0] must be int, not 'a' (str)"),
        ({"tree": {"value": 1, "children": [{}]}}, "args.tree.children[0].value is missing"),
    ],
)
def test_every_annotation_says_what_it_expected(change: dict[str, Any], message: str):
    with pytest.raises(InvalidJobError) as caught:
        MODEL.stored(GOOD | change)
    assert message in str(caught.value)


def test_what_a_dataclass_itself_refuses_is_refused():
    @dataclass
    class Positive:
        n: int

        def __post_init__(self) -> None:
            if self.n < 0:
                raise ValueError("n is negative")

    with pytest.raises(InvalidJobError, match="args is refused: ValueError: n is negative"):
        model_of(Positive, "shop.positive").stored({"n": -1})


def test_args_that_another_version_stored_fail_with_the_remedy():
    with pytest.raises(InvalidJobError) as caught:
        model_of(Point, "shop.point").instance({"z": 1})
    assert (
        "the stored args of this job are no Point, which worker shop.point takes: args has no field "
        "'z'; known are x, y; give new fields a default, or delete the job"
    ) == str(caught.value)


@dataclass
class Sets:
    found: set[int]


@dataclass
class Keys:
    found: dict[int, str]


@dataclass
class Inner:
    sets: list[Sets]


class Odd(enum.Enum):
    A = object()


@dataclass
class Odds:
    odd: Odd


@dataclass
class Lost:
    lost: Nowhere  # type: ignore[name-defined]  # noqa: F821 - the point of it


@pytest.mark.parametrize(
    "model, message",
    [
        (Sets, r"Sets\.found is set\[int\], which has no JSON form here; supported are str, int"),
        (Keys, r"Keys\.found is dict\[int, str\]: keys of a JSON object are str"),
        (Inner, r"Inner\.sets is Sets\.found is set\[int\]"),
        (Odds, r"Odds\.odd is Odd, whose A is no JSON value"),
        (Lost, "an annotation of Lost cannot be resolved: name 'Nowhere' is not defined"),
        (dict, "args takes a dataclass or a pydantic model"),
        (Point(1), r"args takes a dataclass or a pydantic model \(version 2\), not Point"),
    ],
)
def test_a_model_that_has_no_json_form_is_refused_when_it_is_given(model: Any, message: str):
    with pytest.raises(ConfigurationError, match=message):
        model_of(model, "shop.odd")


class Package(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=2, alias="packageName")
    at: datetime | None = None
    sizes: list[int] = []


class Strict(pydantic.BaseModel, strict=True, extra="forbid"):
    at: datetime
    id: uuid.UUID


def test_a_pydantic_model_is_stored_by_its_aliases_and_read_back():
    model = model_of(Package, "shop.sync")
    args = model.stored(
        {"packageName": "react", "at": datetime(2025, 1, 1, tzinfo=UTC), "sizes": ["1"]}
    )
    assert {"packageName": "react", "at": "2025-01-01T00:00:00Z", "sizes": [1]} == args
    made = model.instance(args)
    assert Package(packageName="react", at=datetime(2025, 1, 1, tzinfo=UTC), sizes=[1]) == made
    assert args == model.stored(made)


def test_a_strict_pydantic_model_reads_its_json_form():
    model = model_of(Strict, "shop.strict")
    made = Strict(at=datetime(2025, 1, 1, tzinfo=UTC), id=uuid.UUID(int=1))
    assert made == model.instance(model.stored(made))


@pytest.mark.parametrize(
    "args, message",
    [
        ({}, "worker shop.sync: args.packageName is missing"),
        ({"packageName": 5}, "args.packageName: Input should be a valid string, not 5 (int)"),
        (
            {"packageName": "ab", "sizes": [1, "x", "y"]},
            "as an integer, not 'x' (str) (and 1 more)",
        ),
        (5, "worker shop.sync takes a Package, or a mapping that makes one, not int"),
    ],
)
def test_what_pydantic_refuses_is_said_in_our_words(args: Any, message: str):
    with pytest.raises(InvalidJobError) as caught:
        model_of(Package, "shop.sync").stored(args)
    assert message in str(caught.value)


def test_an_instance_of_a_pydantic_model_that_was_spoilt_is_refused():
    made = Package(packageName="react")
    made.name = "x"
    with pytest.raises(InvalidJobError, match=r"args\.packageName: String should have at least 2"):
        model_of(Package, "shop.sync").stored(made)


def test_whatever_a_models_own_code_raises_is_a_refusal():
    class Looked(pydantic.BaseModel):
        name: str

        @pydantic.field_validator("name")
        @classmethod
        def looked_up(cls, name: str) -> str:
            return {"tea": "tea"}[name]

    model = model_of(Looked, "shop.send")
    assert model.stored({"name": "tea"}) == {"name": "tea"}
    for read in (model.stored, model.instance):
        with pytest.raises(InvalidJobError, match="args are refused: KeyError: 'coffee'"):
            read({"name": "coffee"})
