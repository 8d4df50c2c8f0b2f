"""A database that Oban for Python made and pgjobs adopted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from pgjobs.adapters.postgres.migrations import migrate


@pytest_asyncio.fixture
async def beside(database: str) -> AsyncIterator[object]:
    """Both neighbours on one database."""
    from oban.schema import install
    from psycopg_pool import AsyncConnectionPool

    from tests.interop.neighbours import Beside

    async with AsyncConnectionPool(database, max_size=30, open=False) as pool:
        await install(pool)
        migrate(database)
        yield Beside(database, pool)


_figures = pytest.StashKey[list[str]]()


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """What was measured; it is printed at the end of the run."""
    return pytestconfig.stash.setdefault(_figures, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash.get(_figures, []):
        terminalreporter.write_line(line)
