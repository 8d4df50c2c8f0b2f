"""Whether all ablations are replayed, or one of each room."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ablations", action="store_true", help="replay the killer of every ablation")
