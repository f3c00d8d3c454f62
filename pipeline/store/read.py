"""Rows of the lake as frames, a row group at a time: memory does not grow with the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from pipeline.core.schema import conform, empty
from pipeline.store.files import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.store.catalogue import LiveFile
    from pipeline.store.tables import Table


def groups(file: Path, columns: pl.Schema) -> Iterator[pl.DataFrame]:
    """The row groups of one file with exactly `columns`; a column the file lacks is null."""
    with guarded(f"reading {file}"), pq.ParquetFile(file) as parquet:
        wanted = [name for name in columns if name in parquet.schema_arrow.names]
        for number in range(parquet.num_row_groups):
            frame = pl.from_arrow(parquet.read_row_group(number, columns=wanted, use_threads=False))
            if isinstance(frame, pl.DataFrame):
                yield conform(frame, columns)


def whole(lake: Path, files: Sequence[LiveFile], columns: pl.Schema) -> pl.DataFrame:
    """All rows of some small files."""
    frames = [frame for file in files for frame in groups(lake / file.segment.path, columns)]
    return pl.concat(frames) if frames else empty(columns)


def newest(lake: Path, table: Table, revisions: Sequence[LiveFile]) -> pl.DataFrame:
    """The replacement rows in force: of each key the one that was committed last."""
    ordered = sorted(revisions, key=lambda file: file.sequence)
    return whole(lake, ordered, table.columns).unique(table.keys, keep="last", maintain_order=True)


def within(file: LiveFile, from_us: int | None, to_us: int | None) -> bool:
    """Whether a file may hold rows of [from_us, to_us]; None is no limit."""
    low, high = file.segment.min_time, file.segment.max_time
    return not (
        (from_us is not None and high is not None and high < from_us)
        or (to_us is not None and low is not None and low > to_us)
    )


def rows(
    lake: Path, table: Table, files: Sequence[LiveFile], from_us: int | None, to_us: int | None
) -> Iterator[pl.DataFrame]:
    """The rows in force, in frames; of a table with event time those in [from_us, to_us]."""
    revised = newest(lake, table, [file for file in files if file.segment.kind == "revision"]) if table.keys else None
    for file in files:
        if file.segment.kind == "revision" or not within(file, from_us, to_us):
            continue
        for frame in groups(lake / file.segment.path, table.columns):
            kept = _between(frame, table, from_us, to_us)
            if revised is not None and not revised.is_empty():
                kept = kept.join(revised, on=table.keys, how="anti", nulls_equal=True)
            yield kept
    if revised is not None:
        yield _between(revised, table, from_us, to_us)


def _between(frame: pl.DataFrame, table: Table, from_us: int | None, to_us: int | None) -> pl.DataFrame:
    if not table.time or (from_us is None and to_us is None):
        return frame
    time = pl.col(table.time).dt.epoch("us")
    low = pl.lit(value=True) if from_us is None else time >= from_us
    high = pl.lit(value=True) if to_us is None else time <= to_us
    return frame.filter(low & high)
