"""Signing people up."""
