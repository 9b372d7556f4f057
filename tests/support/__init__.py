"""Helpers that several test folders share."""

import os

PATIENCE_S = 300
"""How long a test waits for another process or thread: a machine that is busy otherwise is no failure."""

FUZZ = int(os.environ.get("EVIGRAPH_FUZZ", "10"))
"""How many random cases a fuzz draws: few in every run, 200 in `make nightly`."""
