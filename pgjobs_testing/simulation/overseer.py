"""Watches over one play: invariants at every effect, the whole store now and then, and rest at the end."""

from __future__ import annotations
