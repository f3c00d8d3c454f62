"""Counting operations per window and place; a place is one mount of one namespace of one store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.sli.bins import BINS, bin_of, value_of
from pipeline.sli.config import thresholds

if TYPE_CHECKING:
    from pipeline.core.model import Ints
    from pipeline.sli.config import Config

Place = tuple[str, str, str]

SECOND: Final = 1_000_000  # µs
OTHER: Final = "\0other"  # no namespace or mount can be called so
COUNTS: Final = (
    "attempts", "denied", "read_good", "read_failed", "read_denied", "read_not_found", "timed", "needed", "repeated",
    "left_out",
)  # fmt: skip
_DENSE: Final = 1 << 20  # values up to here are counted rather than sorted
# Counted apart (lifetimes.py): they are few, or only there where something is declared.
EVENTS: Final = ("asked_done", "asked_failed", "due_done", "due_missed", "alive", "outlived", "unwatched")
EVENTS_SCHEMA: Final = pl.Schema({name: pl.Int64() for name in ("window", "place", *EVENTS)})
NO_LOOKUP, NEEDED, REPEATED, LEFT_OUT = range(4)  # what an operation is to a cache
BINNED: Final = pl.Schema({"window": pl.Int64(), "place": pl.Int64(), "bin": pl.Int32(), "n": pl.Int64()})


def under(threshold: float) -> str:
    """The column that counts operations faster than `threshold` ms."""
    return f"under_{threshold!r}"


def counted(config: Config) -> pl.Schema:
    """Columns of the totals: window, place, counts."""
    names = (*COUNTS, *EVENTS, *(under(threshold) for threshold in thresholds(config)))
    return pl.Schema({"window": pl.Int64(), "place": pl.Int64(), **dict.fromkeys(names, pl.Int64())})


def placed(operations: pl.DataFrame, config: Config) -> tuple[pl.DataFrame, list[Place]]:
    """Operations as window (µs of its start), place (row of the list), what counts of them, `complete` and `at` in µs.

    An operation is in the window of its own time, held to when the line knew of it: no clock opens a window ahead.
    """
    size = config.window_seconds * SECOND
    at = pl.min_horizontal("time", "complete_time").dt.timestamp("us")
    codes, places = _places(operations)
    rows = operations.select(
        (at // size * size).alias("window"),
        codes,
        "outcome",
        (pl.col("operation") == "read").fill_null(value=False).alias("read"),
        pl.col("latency_ms").fill_nan(None),
        pl.col("complete_time").dt.timestamp("us").alias("complete"),
        at.alias("at"),
    )
    return rows, places


def _places(operations: pl.DataFrame) -> tuple[pl.Series, list[Place]]:
    coded = [operations[name].fill_null("").to_arrow().dictionary_encode() for name in ("store", "namespace", "mount")]
    sizes = [max(len(column.dictionary), 1) for column in coded]
    joint = np.zeros(operations.height, np.int64)
    for column, size in zip(coded, sizes, strict=True):
        joint = joint * size + column.indices.to_numpy(zero_copy_only=False)
    distinct, codes = _numbered(joint)
    stores, namespaces, mounts = (column.dictionary.to_pylist() for column in coded)
    store, namespace, mount = np.unravel_index(distinct, sizes)
    names = zip(store.tolist(), namespace.tolist(), mount.tolist(), strict=True)
    return pl.Series("place", codes), [(stores[s], namespaces[n], mounts[m]) for s, n, m in names]


def _numbered(values: Ints) -> tuple[Ints, Ints]:
    """The distinct values, ascending, and for each value which of them it is."""
    if not len(values) or values.max() > _DENSE:
        distinct, codes = np.unique(values, return_inverse=True)
        return distinct, codes
    there = np.bincount(values) > 0
    numbers = np.cumsum(there) - 1
    return np.flatnonzero(there), numbers[values]


def totals(rows: pl.DataFrame, events: pl.DataFrame, config: Config) -> pl.DataFrame:
    """window and `counted` columns of rows with `lookup`, in the order in which a window's places first appear.

    `events` are EVENTS_SCHEMA rows of the same places.
    """
    outcome, read = pl.col("outcome"), pl.col("read")
    counts = {
        "attempts": pl.len(),
        "denied": (outcome == "denied").sum(),
        "read_good": (read & (outcome == "success")).sum(),
        "read_failed": (read & (outcome == "failure")).sum(),
        "read_denied": (read & (outcome == "denied")).sum(),
        "read_not_found": (read & (outcome == "not_found")).sum(),
        "timed": pl.col("latency_ms").count(),
        "needed": (pl.col("lookup") == NEEDED).sum(),
        "repeated": (pl.col("lookup") == REPEATED).sum(),
        "left_out": (pl.col("lookup") == LEFT_OUT).sum(),
        **{under(limit): (pl.col("latency_ms") < limit).sum() for limit in thresholds(config)},
    }
    whole = {name: count.cast(pl.Int64) for name, count in counts.items()}
    found = rows.group_by("window", "place", maintain_order=True).agg(**whole)
    if events.is_empty():
        return found.with_columns(pl.lit(0, pl.Int64).alias(name) for name in EVENTS)
    both = found.join(events, on=["window", "place"], how="left", maintain_order="left")
    return both.with_columns(pl.col(EVENTS).fill_null(0))


def binned(rows: pl.DataFrame, config: Config) -> pl.DataFrame:
    """window and BINNED columns."""
    timed = rows.select("window", "place", "latency_ms").drop_nulls().with_columns(bin=bin_of(pl.col("latency_ms")))
    if timed.is_empty():
        return pl.DataFrame(schema=BINNED)
    windows, places, bins = (timed[name].to_numpy().astype(np.int64) for name in ("window", "place", "bin"))
    least, size, most = int(windows.min()), config.window_seconds * SECOND, int(places.max()) + 1
    distinct, codes = _numbered(((windows - least) // size * most + places) * BINS + bins)
    joint = distinct // BINS
    found = {"window": joint // most * size + least, "place": joint % most, "bin": distinct % BINS}
    return pl.DataFrame({**found, "n": np.bincount(codes)}).cast(BINNED)


def with_thresholds(stored: pl.DataFrame, bins: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Totals for the thresholds of `config`; a threshold they were not counted for is read off the bins, to 1 %.

    What an earlier version did not count is none.
    """
    missing = [name for name in (*COUNTS, *EVENTS) if name not in stored.columns]
    stored = stored.with_columns(pl.lit(0, pl.Int64).alias(name) for name in missing)
    for limit in thresholds(config):
        if under(limit) not in stored.columns:
            faster = (
                bins.filter(value_of(pl.col("bin")) < limit)
                .group_by("window", "place")
                .agg(pl.col("n").sum().alias(under(limit)))
            )
            stored = stored.join(faster, on=["window", "place"], how="left").with_columns(
                pl.col(under(limit)).fill_null(0)
            )
    return stored.select(counted(config).names())
