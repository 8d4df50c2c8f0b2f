"""Which numbers one field of a cron expression stands for: numbers, names, ranges, steps, lists."""

from __future__ import annotations

from dataclasses import dataclass

from pgjobs.rules.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Field:
    """What one of the five fields accepts: numbers from ``low`` to ``high``, and ``names``.

    ``names`` are those of consecutive numbers from ``low`` on. ``cycle``: the number that a field's
    first number has as well, as 7 is Sunday, too.
    """

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    cycle: int | None = None

    def parse(self, text: str, expression: str) -> tuple[int, ...]:
        """The numbers that ``text`` stands for, ascending; ``ConfigurationError`` says what is wrong."""
        found: set[int] = set()
        for item in text.split(","):
            found.update(self._item(item, expression))
        if self.cycle in found:
            found = found - {self.cycle} | {self.low}
        return tuple(sorted(found))

    def _item(self, item: str, expression: str) -> range:
        span, slash, step_text = item.partition("/")
        step = self._step(step_text, item, expression) if slash else 1
        if span == "*":
            return range(self.low, self.high + 1, step)
        first, dash, last = span.partition("-")
        low = self._number(first, item, expression)
        if not dash:
            if slash:
                raise self._refusal(
                    item,
                    f"a step follows * or a range: write {span}-{self.high}/{step}",
                    expression,
                )
            return range(low, low + 1)
        high = self._number(last, item, expression)
        if self.cycle is not None and high == self.low < low:
            high = self.cycle  # FRI-SUN: the week ends on a Sunday
        if high < low:
            parts = f"{low}-{self.cycle or self.high},{self.low}-{high}"
            raise self._refusal(item, f"a range ascends: write {parts}", expression)
        return range(low, high + 1, step)

    def _number(self, text: str, item: str, expression: str) -> int:
        if text.upper() in self.names:
            return self.low + self.names.index(text.upper())
        number = _small_number(text)
        highest = self.high if self.cycle is None else self.cycle
        if number is None or not self.low <= number <= highest:
            raise self._refusal(item, f"accepted are {self._accepted()}", expression)
        return number

    def _step(self, text: str, item: str, expression: str) -> int:
        step, most = _small_number(text), self.high - self.low + 1
        if step is None or not 1 <= step <= most:
            raise self._refusal(item, f"a step of this field is 1 to {most}", expression)
        return step

    def _accepted(self) -> str:
        names = f", {self.names[0]} to {self.names[-1]}" if self.names else ""
        sunday = f" ({self.low} and {self.cycle} are {self.names[0]})" if self.cycle else ""
        middle = (self.low + self.high) // 2
        return (
            f"{self.low} to {self.cycle or self.high}{sunday}{names}, * for all, "
            f"ranges ({self.low}-{middle}), steps (*/2, {self.low}-{middle}/2) "
            f"and lists ({self.low},{middle})"
        )

    def _refusal(self, item: str, why: str, expression: str) -> ConfigurationError:
        return ConfigurationError(
            f"the {self.name} field of {expression!r} has {shortened(item)!r}: {why}"
        )


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day-of-month", 1, 31)
MONTH = Field("month", 1, 12, _MONTHS)
WEEKDAY = Field("day-of-week", 0, 6, _WEEKDAYS, cycle=7)


def shortened(text: str) -> str:
    """``text`` as an error message shows it."""
    return text if len(text) <= 40 else f"{text[:37]}..."


def _small_number(text: str) -> int | None:
    """A number of at most four digits; None for anything else. No field goes further."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= 4 else None
