"""Which event loop watches a connection, for how long, and who lets go of it before it is closed."""

import asyncio
import gc
import threading
from contextlib import contextmanager

import psycopg
import pytest

from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Controls, Count, Find, Insert
from pgjobs.rules.errors import StoreError, StoreUnavailableError
from pgjobs.rules.selection import Selection
from pgjobs_testing.conformance.given import NOW, every, insert, new
from tests.stores.conftest import blocked

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


class Watched(asyncio.SelectorEventLoop):
    """A loop that counts what it is asked to watch, and knows what it watches."""

    def __init__(self):
        super().__init__()
        self.begun = 0

    def add_reader(self, fd, callback, *args):
        self.begun += 1
        super().add_reader(fd, callback, *args)

    @property
    def watching(self):
        """Sockets, without the one that wakes the loop itself."""
        return len(self._selector.get_map()) - 1


@contextmanager
def in_a_thread(loop):
    """The loop runs in another thread; what it is given is awaited there."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda awaited: asyncio.run_coroutine_threadsafe(awaited, loop).result(timeout=30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture
def loop():
    loop = Watched()
    yield loop
    loop.close()


@pytest.fixture
def single(dsn):
    """A store of one connection."""
    migrate(dsn)
    store = PostgresStore(dsn, pool_size=1)
    yield store
    store.close()


def test_a_loop_begins_once_to_watch_a_connection(loop, single):
    loop.run_until_complete(single.run_async(Controls()))
    begun = loop.begun
    for _ in range(20):
        loop.run_until_complete(single.run_async(Insert((new(),), NOW)))
    assert begun == loop.begun
    assert 1 == loop.watching
    single.close()
    assert 0 == loop.watching


def test_a_connection_that_a_thread_used_meanwhile_is_watched_again(loop, single):
    for n in range(5):
        loop.run_until_complete(single.run_async(Insert((new(),), NOW)))
        assert n + 1 == len(every(single))  # on the same connection, in this thread


def test_a_connection_that_another_loop_watches_is_used_as_its_guest(loop, single):
    other = Watched()
    with in_a_thread(loop) as there:
        for _ in range(5):
            there(single.run_async(Insert((new(),), NOW)))
            other.run_until_complete(single.run_async(Insert((new(),), NOW)))
            assert 0 == other.watching or 0 == loop.watching
    assert 10 == len(every(single))
    single.close()
    assert 0 == loop.watching + other.watching
    other.close()


def test_a_loop_that_was_closed_leaves_its_connections_to_the_next(single):
    for _ in range(3):
        loop = Watched()
        loop.run_until_complete(single.run_async(Controls()))
        assert 1 == loop.watching
        loop.close()
    assert 0 == len(every(single))


def test_a_loop_in_another_thread_lets_go_before_the_connection_is_closed(loop, single, dsn):
    with in_a_thread(loop) as there:
        for _ in range(10):
            there(single.run_async(Controls()))
            single.close()  # from here, where the loop is another thread's
            there(single.run_async(Controls()))  # opens one anew, under the number of the last
            assert 1 == loop.watching
    single.close()
    assert 0 == loop.watching


def test_a_connection_that_its_loop_is_yet_to_close_is_given_to_nobody(loop, single):
    with in_a_thread(loop) as there:
        for _ in range(10):
            there(single.run_async(Controls()))
            single.query("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            with pytest.raises(StoreUnavailableError):
                insert(single, new())
            assert 1 == len(insert(single, new()))


def test_a_farewell_to_an_idle_connection_wakes_its_loop_once(loop, single, dsn):
    loop.run_until_complete(single.run_async(Controls()))
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )

    async def idle():
        passes = 0
        while loop.watching:
            passes += 1
            await asyncio.sleep(0)  # noqa: TID251 - lets the loop look at its sockets
        return passes

    assert loop.run_until_complete(idle()) < 100
    assert [] == loop.run_until_complete(single.run_async(Find(Selection())))


def test_what_is_too_large_for_the_socket_is_sent_as_the_server_takes_it(loop, single):
    large = new(args={"text": "x" * 20_000_000})
    (job,) = loop.run_until_complete(single.run_async(Insert((large,), NOW)))
    assert 20_000_000 == len(job.args["text"])
    assert {"": 1} == loop.run_until_complete(single.run_async(Count(Selection())))


def test_a_refusal_is_raised_where_it_was_awaited_and_the_connection_stays(loop, single):
    for _ in range(3):
        with pytest.raises(StoreError) as caught:
            loop.run_until_complete(single.run_async(Insert((new(queue=""),), NOW)))
        assert not isinstance(caught.value, StoreUnavailableError)
    begun = loop.begun
    loop.run_until_complete(single.run_async(Controls()))
    assert begun == loop.begun


def test_what_is_cancelled_leaves_nothing_to_be_watched_or_reported(loop, single, dsn):
    reported = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    insert(single, new())
    with psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE oban_jobs")

        async def cancelled():
            task = asyncio.ensure_future(single.run_async(Insert((new(),), NOW)))
            while not blocked(other):  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0)  # noqa: TID251 - lets the task go on
            task.cancel()
            return await asyncio.gather(task, return_exceptions=True)

        (result,) = loop.run_until_complete(cancelled())
    assert isinstance(result, asyncio.CancelledError)
    assert 0 == loop.watching
    gc.collect()
    assert [] == reported
