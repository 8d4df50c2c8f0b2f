"""How long a failed job waits before its next attempt.

Every backoff is a ``Backoff``: a pure function of the number of the attempt that failed, with an
optional share of jitter that is drawn from the caller's random numbers. No delay is negative, and
none overflows, at any attempt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import is_number, saturated
from pgjobs.rules.schedule import duration
from pgjobs.rules.signatures import checks_options

GUIDE_S: Final = (16.0, 31.0, 46.0, 61.0)
"""The guide's table: seconds after failed attempt 1, 2, 3, and after the fourth and later ones."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait after failed attempt n: ``min(max_s, base(n) * (1 + jitter * random))``.

    ``kind`` names the base: ``guide`` is the table ``GUIDE_S``; ``constant`` is ``first_s``;
    ``linear`` is ``first_s * n``; ``exponential`` is ``first_s * factor ** (n - 1)``.
    """

    kind: str
    first_s: float = 0.0
    factor: float = 1.0
    max_s: float = math.inf
    jitter: float = 0.0

    def __call__(self, attempt: int, random: Callable[[], float] | None = None) -> float:
        """The delay in seconds; without ``random`` (a draw from [0, 1)) there is no jitter."""
        base = self._base(max(1, attempt))
        if self.jitter and random is not None:
            base *= 1.0 + self.jitter * random()
        return min(self.max_s, base)

    def without_jitter(self) -> Backoff:
        """The same schedule, exact."""
        return replace(self, jitter=0.0)

    def _base(self, attempt: int) -> float:
        if self.kind == "guide":
            return GUIDE_S[min(attempt, len(GUIDE_S)) - 1]
        if self.kind == "constant" or self.first_s == 0:
            return self.first_s
        try:
            if self.kind == "linear":
                return self.first_s * attempt
            return self.first_s * self.factor ** (attempt - 1)
        except OverflowError:  # float ** int does not saturate; the cap has long been reached
            return math.inf


@checks_options
def guide(*, jitter: float = 0.0, max: float | timedelta | None = None) -> Backoff:  # noqa: A002 - the contract's name
    """The guide's table: 16, 31, 46, then 61 seconds."""
    return _checked(Backoff("guide"), jitter, max)


@checks_options
def constant(
    seconds: float | timedelta,
    *,
    jitter: float = 0.0,
    max: float | timedelta | None = None,  # noqa: A002 - the contract's name
) -> Backoff:
    """Always the same delay."""
    return _checked(Backoff("constant", _seconds(seconds, "constant")), jitter, max)


@checks_options
def linear(
    seconds: float | timedelta,
    *,
    jitter: float = 0.0,
    max: float | timedelta | None = None,  # noqa: A002 - the contract's name
) -> Backoff:
    """``seconds * n`` after failed attempt n."""
    return _checked(Backoff("linear", _seconds(seconds, "linear")), jitter, max)


@checks_options
def exponential(
    first: float | timedelta = 15,
    factor: float = 2,
    max: float | timedelta | None = 86_400,  # noqa: A002 - the contract's name
    *,
    jitter: float = 0.0,
) -> Backoff:
    """``first * factor ** (n - 1)`` after failed attempt n, ``max`` (a day) at most."""
    if not is_number(factor) or factor < 1:
        raise ConfigurationError(f"the factor of a backoff must be 1 or more, not {factor!r}")
    base = Backoff("exponential", _seconds(first, "first"), saturated(factor))
    return _checked(base, jitter, max)


DEFAULT: Final = Backoff("guide", jitter=0.1)
"""What workers without a backoff use: the guide's table with 10 % jitter."""


def usable_delay(value: object) -> float:
    """A custom backoff's answer as seconds: negative becomes 0; ``ConfigurationError`` if unusable."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not is_number(value):
        raise ConfigurationError(f"a backoff returns seconds or a timedelta, not {value!r}")
    return max(0.0, saturated(value))


def _checked(base: Backoff, jitter: float, most: float | timedelta | None) -> Backoff:
    if not is_number(jitter) or not 0 <= jitter <= 1:
        raise ConfigurationError(
            f"the jitter of a backoff is a share from 0 to 1 (0.3 adds up to 30 %), not {jitter!r}"
        )
    cap = math.inf if most is None else _seconds(most, "max")
    return replace(base, jitter=float(jitter), max_s=cap)


def _seconds(value: float | timedelta, option: str) -> float:
    return duration(value, f"the {option} of a backoff").total_seconds()


MAKERS: Final = (guide, constant, linear, exponential)
"""The functions that make a ``Backoff``; none of them is one."""
