"""Latency quantiles with a relative error of at most 1 %, from counts in logarithmic bins.

The law of DDSketch (Masson, Rim and Lee, VLDB 2019): bin i holds what lies in (g**(i-1), g**i] times the least value,
g = (1 + a) / (1 - a), and stands for 2 g**i / (g + 1) times it. Bins of two sketches add up. From 10 µs to 100 s that
makes 807 of them; what lies beyond counts as the nearest end.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import polars as pl

ACCURACY: Final = 0.01
LEAST: Final = 0.01  # ms
MOST: Final = 100_000.0  # ms
GAMMA: Final = (1 + ACCURACY) / (1 - ACCURACY)
BINS: Final = math.ceil(math.log(MOST / LEAST, GAMMA)) + 1


def bin_of(latency_ms: pl.Expr) -> pl.Expr:
    """The bin (Int32, 0 to BINS - 1) of a latency in milliseconds."""
    held = latency_ms.clip(LEAST, MOST) / LEAST
    return held.log(GAMMA).ceil().clip(0, BINS - 1).cast(pl.Int32)


def value_of(bins: pl.Expr) -> pl.Expr:
    """What a bin stands for, in milliseconds."""
    return pl.lit(GAMMA).pow(bins) * (LEAST * 2 / (GAMMA + 1))


def quantiles(counts: pl.DataFrame, shares: dict[str, float]) -> pl.DataFrame:
    """Column key and one per share, in ms. `counts`: key, bin, n, each key and bin once.

    The q-quantile of n values is the one of rank floor(1 + q (n - 1)).
    """
    counts = counts.sort("key", "bin")
    running = counts["n"].cum_sum().to_numpy()
    totals = counts.group_by("key", maintain_order=True).agg(pl.col("n").sum())
    total = totals["n"].to_numpy()
    before = np.cumsum(total) - total
    ranks = {name: np.floor(1 + share * (total - 1)) for name, share in shares.items()}
    at = {name: counts["bin"].gather(np.searchsorted(running, before + rank)) for name, rank in ranks.items()}
    return totals.select("key").hstack(pl.DataFrame(at).select(value_of(pl.col(name)).alias(name) for name in shares))
