"""How numbers are stored in `decomposition`: logs on a grid, which DuckDB packs to as many bits as they need.

    fine    x = exp(n / 16,384)       relative error below 3.1e-5: share, importance, sum of positive contributions
    coarse  x = exp(n / 256)          relative error below 2e-3: feature and activation at the peak
    steps   x = n / 16,383            absolute error below 4e-5: context IoU
            x = n / 255               absolute error below 2e-3: the mask's activation on the label at its peak

A float32 that a network computed has no regularity to compress: as such, the five numbers of an edge took 17 of the
28 bytes of a row (SqueezeNet on 1,000 ImageNet images), and take 7 so. What statistics are built on is fine. A run
folder's Parquet files keep every number as computed. A coarse number may be negative: n then counts down from
-SIGN_OFFSET, and up from SIGN_OFFSET where it is positive, so that n bears its sign and 0 is 0.
"""

from __future__ import annotations

FINE = 16_384
"""Steps per factor e of share, importance and the sum of positive contributions."""
COARSE = 256
"""Steps per factor e of feature and activation."""
SIGN_OFFSET = 32_768
"""n of a coarse 1.0; more than 256 times the log of any float32, so that a sign is never lost."""
IOU_STEPS = 16_383
"""Steps of the context IoU between 0 and 1; 0 where there is no context label."""
MASS_STEPS = 255
"""Steps of the part of a mask's activation on the label at its peak, between 0 and 1; 0 where there is no label."""
NO_LABEL = -1
"""A label in a list of edges where there is none: nulls there would cost two bits an edge."""


def fine(log: str) -> str:
    """SQL for the number that a fine log stands for, in double precision."""
    return f"exp({log} / {FINE}.0)"


def coarse(log: str) -> str:
    """SQL for the number that a coarse log stands for, float32."""
    return f"(sign({log}) * exp((abs({log}) - {SIGN_OFFSET}) / {COARSE}.0))::REAL"
