"""How large the tables are."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--plans-rows", type=int, default=50_000, help="rows of a table at its worst (make plans)"
    )
