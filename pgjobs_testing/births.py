"""During which test a thread began that outlived it: what it inserts later is in the store of a later test.

Nothing is done to threads. Those that are alive when a test ends, and were not there before, are noted.
"""

from __future__ import annotations

import threading
import weakref

OUTLIVING: dict[int, tuple[weakref.ref[threading.Thread], str | None]] = {}
"""By its number, each thread that is known, and the test during which it began; None before the first.

Empty, but for threads of the run itself, where tests leave none behind.
"""


def note(nodeid: str | None) -> None:
    """A test ends, or with None the first begins: new threads are its own, or a wider fixture's."""
    alive = threading.enumerate()
    if len(alive) == 1:  # this one
        OUTLIVING.clear()
        return
    here = threading.current_thread()
    OUTLIVING.update(
        {
            thread.ident: (weakref.ref(thread), nodeid)
            for thread in alive
            if thread is not here and thread.ident is not None and _known(thread) is None
        }
    )
    for ident in OUTLIVING.keys() - {thread.ident for thread in alive}:
        del OUTLIVING[ident]


def of_this_thread() -> str | None:
    """This thread, and during which earlier test it began, in words; None for any other."""
    here = threading.current_thread()
    found = _known(here)
    return (
        None
        if found is None or found[1] is None
        else f"inserted by thread {here.name!r}, begun during {found[1]}"
    )


def _known(thread: threading.Thread) -> tuple[weakref.ref[threading.Thread], str | None] | None:
    found = None if thread.ident is None else OUTLIVING.get(thread.ident)
    return found if found is not None and found[0]() is thread else None  # numbers are used again
