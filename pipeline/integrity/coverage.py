"""How complete each stream can be said to be, hour by hour: the COVERAGE rows.

`violated`: a loss was shown. `bounded`: every operation of the hour is told by at least two devices, which agree.
`unknown`: one device alone; nothing in a Vault log proves that a line is not missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.schema import COVERAGE, TIME, conform, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames

LOSSES: Final = ("gap", "truncated", "unpaired", "altered")
KEEP_HOURS: Final = 72

_COUNTS = pl.Schema(
    {
        "source": pl.String(), "store": pl.String(), "hour": TIME, "told": pl.Int64(), "shared": pl.Int64(),
        "missing": pl.Int64(),
    }
)  # fmt: skip


class Coverage:
    """Adds up, per stream and hour, what was told, what two devices told, and what is shown to be missing."""

    def __init__(self) -> None:
        self._counts = empty(_COUNTS)

    def push(self, operations: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
        """COVERAGE rows of every hour that these operations and INTEGRITY rows touch."""
        fresh = pl.concat([self._told(operations), self._missing(verdicts)])
        if fresh.is_empty():
            return empty(COVERAGE)
        keys = ("source", "store", "hour")
        counts = pl.concat([self._counts, fresh]).group_by(keys, maintain_order=True)
        self._counts = counts.agg(pl.col("told", "shared", "missing").sum())
        newest = self._counts["hour"].max()
        touched = self._counts.join(fresh.select(keys).unique(), on=keys, how="semi", maintain_order="left")
        recent = (pl.lit(newest) - pl.col("hour")) <= pl.duration(hours=KEEP_HOURS)
        self._counts = self._counts.filter(recent)
        return _graded(touched)

    def _told(self, operations: pl.DataFrame) -> pl.DataFrame:
        if operations.is_empty():
            return empty(_COUNTS)
        told = operations.select(
            "store", source="devices", hour=pl.col("time").dt.truncate("1h"), two=pl.col("devices").list.len() > 1
        ).explode("source")
        return told.group_by("source", "store", "hour", maintain_order=True).agg(
            told=pl.len().cast(pl.Int64), shared=pl.col("two").sum().cast(pl.Int64), missing=pl.lit(0, pl.Int64)
        )

    def _missing(self, verdicts: pl.DataFrame) -> pl.DataFrame:
        losses = verdicts.filter(pl.col("verdict").is_in(LOSSES) & pl.col("from_time").is_not_null())
        return losses.select(
            "source",
            store=pl.lit("vault"),
            hour=pl.col("from_time").dt.truncate("1h"),
            told=pl.lit(0, pl.Int64),
            shared=pl.lit(0, pl.Int64),
            missing=pl.col("count"),
        )

    def snapshot(self) -> Frames:
        """The counts of the last hours."""
        return {"counts": self._counts}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._counts = frames["counts"]


def _graded(counts: pl.DataFrame) -> pl.DataFrame:
    lost, whole = pl.col("missing") > 0, (pl.col("told") > 0) & (pl.col("told") == pl.col("shared"))
    grade = pl.when(lost).then(pl.lit("violated")).when(whole).then(pl.lit("bounded")).otherwise(pl.lit("unknown"))
    kind = pl.when(whole | lost).then(pl.lit("devices compared")).otherwise(pl.lit("one device"))
    note = (
        pl.when(lost)
        .then(pl.format("{} entries shown to be missing or wrong", "missing"))
        .when(whole)
        .then(pl.lit("every operation is told by at least two devices"))
        .otherwise(
            pl.format("{} of {} operations are told by this device alone", pl.col("told") - pl.col("shared"), "told")
        )
    )
    rows = counts.with_columns(completeness=grade, evidence_kind=kind, missing_operations=pl.col("missing"), note=note)
    return conform(rows, COVERAGE)
