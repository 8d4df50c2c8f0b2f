"""How a plan's statement and rows change their form for another library, without a server."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.callers.placeholders import named
from pgjobs.adapters.callers.scalars import plain
from pgjobs.adapters.postgres.names import literal, quoted
from pgjobs.adapters.postgres.statement import Statement

INT8, TEXT, BOOL = 20, 25, 16

_ANY = st.text(st.sampled_from("""$19%s():p"'\\E \nä"""), max_size=8)
_PIECES = st.one_of(
    _ANY.map(quoted).map(lambda sql: (sql, sql)),
    _ANY.map(literal).map(lambda sql: (sql, sql)),
    st.sampled_from([" % ", "::text", " := ", " E ", "(", ", ", "\n"]).map(lambda sql: (sql, sql)),
    st.integers(1, 12).map(lambda n: (f"${n}", f"<{n}>")),
)


@given(st.lists(_PIECES))
def test_parameters_are_found_outside_quotes_and_nothing_else_changes(pieces):
    sql = " ".join(piece for piece, _ in pieces)
    made, values = named(Statement(sql, tuple(f"<{n}>" for n in range(1, 13))))
    assert " ".join(shown for _, shown in pieces) == made % values


def test_scalars_are_python_s_own_whatever_a_library_made_of_them():
    description = [("id", INT8), ("text", TEXT), ("yes", BOOL), ("null", INT8)]
    expected = [(7, "ä", True, None)]
    for row in (
        (7, "ä", True, None),
        [Decimal(7), "ä".encode(), "t", None],
        ["7", memoryview("ä".encode()), b"true", None],
    ):
        (found,) = plain([row], description)
        assert expected == [found]
        assert [int, str, bool] == [type(value) for value in found[:3]]
    assert [(False,)] == plain([("f",)], [("no", BOOL)])
