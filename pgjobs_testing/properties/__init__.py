"""Strategies of what users give to a queue, and a state machine that holds the engine to a model."""
