"""The interval of a ratio of means, as `localization` has it stored and as answers give it.

Of n units with sums of x and a, of their squares and of x * a, lift = sum of x / sum of a has the variance
sum of (x - lift * a) ** 2 / (sum of a) ** 2 * n / (n - 1); the half width of the interval is that of Student's t.
"""

from __future__ import annotations

from math import sqrt

FEWEST = 3
"""Of fewer units there is no interval: a spread of two says nothing."""
_T = (1.95996, 2.37227, 2.82250, 2.55585)
"""The 97.5 % quantile of Student's t by powers of 1 / degrees of freedom (Abramowitz and Stegun 26.7.5): 4.17 for 2,
where it is 4.30, and within 0.3 % from 4 on."""


def half_width(lift: float, squares: float, product: float, area: float, area_squares: float, units: int) -> float:
    """Half the width of the interval of 95 %, from the sums of x * x, x * a, a and a * a over at least 2 units."""
    spread = max(squares - 2 * lift * product + lift**2 * area_squares, 0.0)
    free = units - 1
    quantile = sum(t / float(free) ** power for power, t in enumerate(_T))
    return sqrt(spread * units / free) / area * quantile


def low_sql(measure: str) -> str:
    """SQL for the lower end of the interval of a measure of `localization`; null where there is none."""
    lift = f"({measure}_sum / area_sum)"
    spread = f"greatest({measure}_squares - 2 * {lift} * {measure}_area + {lift} * {lift} * area_squares, 0)"
    quantile = " + ".join(f"{t} / pow(shown - 1, {power})" for power, t in enumerate(_T))
    half = f"sqrt({spread} * shown / (shown - 1)) / area_sum * ({quantile})"
    told = f"shown >= {FEWEST} AND {measure}_sum > 0 AND area_sum > 0"
    return f"CASE WHEN {told} THEN greatest({lift} - {half}, 0) END"
