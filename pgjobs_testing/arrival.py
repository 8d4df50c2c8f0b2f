"""When the project first imports pgjobs: the moment from which the plugin stands in for production.

Until then there is no instance to capture and nothing that could open a database, so a run (or a part of
one) in which nobody imports it pays for none of it. Import machinery asks every finder on
``sys.meta_path``; the one here finds pgjobs where the others do, and acts when its package is loaded.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = "pgjobs"


class Arrival(MetaPathFinder):
    """Calls ``act`` once: now, where pgjobs is there already, else right after it was imported.

    It is called in the thread that imports, before the importing statement goes on.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        if PACKAGE in sys.modules:
            act()
        else:
            self._watch()

    def close(self) -> None:
        """Act no more."""
        sys.meta_path[:] = [each for each in sys.meta_path if each is not self]

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != PACKAGE:
            return None
        self.close()  # the finders behind this one are asked, and it is not asked again
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            self._watch()
            return spec
        spec.loader = _Telling(spec.loader, self._loaded, self._watch)
        return spec

    def _watch(self) -> None:
        sys.meta_path.insert(0, self)

    def _loaded(self) -> None:
        self._act()


class _Telling(Loader):
    """Another's loader, which tells when its module is loaded, or could not be."""

    def __init__(
        self, loader: Loader, loaded: Callable[[], None], failed: Callable[[], None]
    ) -> None:
        self._loader, self._loaded, self._failed = loader, loaded, failed

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader  # as if nobody had looked
        try:
            self._loader.exec_module(module)
        except BaseException:
            self._failed()  # the next import of it is another try
            raise
        self._loaded()
