"""The edges run on both stores, on the engine tests' virtual clock."""

from tests.engine.conftest import databases, pytest_generate_tests, stores

__all__ = ["databases", "pytest_generate_tests", "stores"]
