"""How frozen values are made fast: their fields are set while they are open, and then they are closed.

A frozen dataclass passes each field through ``object.__setattr__``, since its own refuses; that takes five
times as long as to set the field of an open one. So ``__init__`` lends the new value the class of an open
twin with the same slots; of one or two fields it sets each slot by its descriptor, which takes less than to
lend and to give back. Nothing else differs: a value made so is as frozen as any, and compares, copies and
pickles as any.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")

_lend_class = object.__dict__["__class__"].__set__
_FEW = 2
"""So many fields are set one by one in less time than a class is lent."""


def swift(cls: type[T]) -> type[T]:
    """The same frozen dataclass with slots, made in half the time or less.

    ``TypeError`` for one whose fields are not simply its parameters, as some are left out or named only.
    """
    found = fields(cls)  # type: ignore[arg-type]  # TypeError where it is no dataclass
    if odd := [each.name for each in found if not each.init or each.kw_only]:
        raise TypeError(f"{cls.__name__} does not simply take the fields {', '.join(odd)}")
    lends = len(found) > _FEW
    twin = type(cls.__name__, cls.__bases__, {"__slots__": tuple(each.name for each in found)})
    meant: dict[str, Any] = {"_lend_class": _lend_class, "_twin": twin, "_cls": cls}
    parameters, lines = ["self"], ["_lend_class(self, _twin)"] if lends else []
    for name, each in ((each.name, each) for each in found):
        if each.default is MISSING and each.default_factory is MISSING:
            parameters.append(name)
        else:  # MISSING itself is the default of what a factory makes
            parameters.append(f"{name}=_{name}")
            meant[f"_{name}"] = each.default
        value = name
        if each.default_factory is not MISSING:
            meant[f"_make_{name}"] = each.default_factory
            value = f"_make_{name}() if {name} is _{name} else {name}"
        meant[f"_set_{name}"] = cls.__dict__[name].__set__
        lines.append(f"self.{name} = {value}" if lends else f"_set_{name}(self, {value})")
    if lends:
        lines.append("self.__class__ = _cls")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    source = [
        f"def made({', '.join(meant)}):",
        f"    def __init__({', '.join(parameters)}):",
        *(f"        {line}" for line in lines),
        "    return __init__",
    ]
    space: dict[str, Any] = {}
    exec("\n".join(source), space)  # noqa: S102 - names of fields alone, as dataclass itself does it
    init = space["made"](*meant.values())
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = cls.__init__.__annotations__
    cls.__init__ = init  # type: ignore[method-assign]  # it takes what the one before it took
    return cls
