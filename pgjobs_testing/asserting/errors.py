"""How a run failed, and what an assertion asks of it: a text that its error contains, or a type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pgjobs_testing.patterns import Answer, Difference, Pattern
from pgjobs_testing.telling import cut


@dataclass(frozen=True, slots=True)
class Raised:
    """How a run failed: its error as text, None where it did not, and the exception if there was one."""

    text: str | None
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An error that contains a text, or comes of a type of exception; None: no error at all."""

    wanted: str | type[BaseException] | None
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        if self.wanted is None or value.text is None:
            return self.wanted is value.text
        if isinstance(self.wanted, str):
            return self.wanted in value.text
        return isinstance(value.exception, self.wanted)

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        if not self.accepts(value):
            yield Difference(path, self._shown(), shown_error(value.text), self._hint(value.text))

    def _hint(self, text: str | None) -> str:
        if not isinstance(self.wanted, str) or text is None:
            return ""
        if self.wanted.casefold() in text.casefold():
            return "differs only in case"
        return ""

    def _shown(self) -> str:
        if self.wanted is None:
            return "none"
        return cut(self.wanted) if isinstance(self.wanted, str) else self.wanted.__name__

    def seen(self, value: Any) -> str:
        return shown_error(value.text)

    def __str__(self) -> str:
        return f"contains {self._shown()}" if isinstance(self.wanted, str) else self._shown()


@dataclass(frozen=True, slots=True)
class OfError:
    """What a pattern makes of an error's text."""

    text: Pattern
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        return self.text.accepts(value.text)

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        yield from self.text.differences(value.text, path)

    def seen(self, value: Any) -> str:
        return shown_error(value.text)

    def __str__(self) -> str:
        return str(self.text)


def shown_error(text: str | None) -> str:
    """The first line of an error."""
    return "none" if text is None else cut(text.split("\n", 1)[0])
