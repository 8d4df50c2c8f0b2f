"""Whether statements are prepared at all: what the connections of one store share."""

from __future__ import annotations


class Preparing:
    """What the connections of one store share: whether preparing works at all, and whether ``every``
    statement is to be prepared at its first use, not only those of daily work at their second."""

    def __init__(self, *, given_up: bool = False) -> None:
        self.given_up, self.every = given_up, False
