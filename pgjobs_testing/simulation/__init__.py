"""Worlds drawn from seeds and played by the thousand, or in the hand of a test."""
