"""For how long a key has been watched, older time counting less: the other half of every rate.

A key is watched without a break from the hour it was first seen in, so its exposure needs no memory of its own.
Weight halves with every half-life: with λ = ln 2 / half-life, time t ago weighs exp(-λt).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

HOUR: Final = 3_600_000_000  # µs
DAY: Final = 24 * HOUR
MONDAY: Final = 72  # hours from a Monday 00:00 to 1970-01-01, a Thursday


def exposure(first_us: Rows, at_us: int | Rows, half_life_us: int) -> Floats:
    """Hours, weighted, from the hour of `first_us` to `at_us`."""
    age = np.maximum(at_us - first_us // HOUR * HOUR, 0)
    rate = _rate(half_life_us)
    return np.asarray(-np.expm1(-rate * age / HOUR) / rate)


def exposure_of(first_us: Rows, at_us: int, half_life_us: int, width: int, cells: Rows) -> Floats:
    """The same, of single cells (n x cells): hours of the day when `width` is 1, weekdays from Monday when it is 24."""
    cycle = width * (24 if width == 1 else 7)
    first = first_us // HOUR
    age = np.maximum(at_us / HOUR - first, 0.0)
    now = _since_ever(np.array([at_us / HOUR + MONDAY]), half_life_us, width, cells)
    then = _table(half_life_us, width)[:, cells][(first + MONDAY) % cycle]
    return np.asarray(np.maximum(now - np.exp(-_rate(half_life_us) * age)[:, None] * then, 0.0))


def _rate(half_life_us: int) -> float:
    return float(np.log(2) * HOUR / half_life_us)


@lru_cache(maxsize=8)
def _table(half_life_us: int, width: int) -> Floats:
    cycle = width * (24 if width == 1 else 7)
    return _since_ever(np.arange(cycle, dtype=np.float64), half_life_us, width, np.arange(cycle // width))


def _since_ever(at: Floats, half_life_us: int, width: int, cells: Rows) -> Floats:
    """Weighted hours spent in each cell from the beginning of time to `at` (hours since a Monday)."""
    cycle, rate = width * (24 if width == 1 else 7), _rate(half_life_us)
    begun = (at[:, None] - cells * width) % cycle  # since the cell last began
    spent = np.minimum(begun, width)
    latest = -np.expm1(-rate * spent) * np.exp(-rate * (begun - spent))
    earlier = -np.expm1(-rate * width) * np.exp(-rate * (begun - width + cycle)) / -np.expm1(-rate * cycle)
    return np.asarray((latest + earlier) / rate)
