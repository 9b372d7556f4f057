"""Helpers that several test folders share."""

PATIENCE_S = 300
"""How long a test waits for another process or thread: a machine that is busy otherwise is no failure."""
