"""Every decision of the engine, as pure functions over frozen values.

Nothing here reads a clock, draws a random number or touches a store: ``now`` and ``rng`` are
arguments. Both stores apply what is decided here, so they cannot drift apart.
"""
