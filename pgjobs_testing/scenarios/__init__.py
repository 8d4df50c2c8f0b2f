"""Scenarios: job timelines as YAML files, read with every mistake placed, and replayed on virtual time."""
