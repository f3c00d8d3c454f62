"""Rows of the lake as frames, a row group at a time: memory does not grow with the file."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.schema import conform, empty
from pipeline.store.files import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.store.catalogue import LiveFile
    from pipeline.store.tables import Table


def groups(file: Path, columns: pl.Schema, *, views: bool = False) -> Iterator[pl.DataFrame]:
    """The row groups of one file with exactly `columns`; a column the file lacks is null.

    With `views` the bytes of Binary columns stay in the pages they were read into: no copy, where they are read once.
    """
    kind = pa.binary_view() if views else None
    with guarded(f"reading {file}"), pq.ParquetFile(file, binary_type=kind) as parquet:
        for number in range(parquet.num_row_groups):
            yield _group(parquet, number, columns)


def hashed(file: Path, columns: pl.Schema, small_bytes: int) -> tuple[str, Iterator[pl.DataFrame]]:
    """The SHA-256 of a file, and its row groups; of a small one of the same bytes, whatever becomes of it meanwhile."""
    with guarded(f"reading {file}"), file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size >= small_bytes:
            return hashlib.file_digest(opened, "sha256").hexdigest(), groups(file, columns)
        data = opened.read()
    return hashlib.sha256(data).hexdigest(), _groups_of(file, data, columns)


def _groups_of(file: Path, data: bytes, columns: pl.Schema) -> Iterator[pl.DataFrame]:
    with guarded(f"reading {file}"), pq.ParquetFile(pa.BufferReader(data)) as parquet:
        for number in range(parquet.num_row_groups):
            yield _group(parquet, number, columns)


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


def in_order(
    lake: Path, table: Table, files: Sequence[LiveFile], order: Sequence[str], span: tuple[int | None, int | None]
) -> Iterator[pl.DataFrame]:
    """The rows in force in the order of some columns, the first of which is never before the table's event time.

    Row groups are read by their earliest event time, and a row is handed on when no later group can precede it: memory
    holds what overlaps, not the table. Rows are kept whose event time lies in [span[0], span[1]).
    """
    from_us, to_us = span
    revised = newest(lake, table, [file for file in files if file.segment.kind == "revision"])
    waiting: list[pl.DataFrame] = [_since(revised, table, from_us, to_us)]
    places = _places(lake, table, [f for f in files if f.segment.kind != "revision" and within(f, from_us, to_us)])
    for nth, (_, file, number) in enumerate(places):
        with guarded(f"reading {file}"), pq.ParquetFile(file) as parquet:
            frame = _group(parquet, number, table.columns)
        kept = _since(frame, table, from_us, to_us)
        waiting.append(kept if revised.is_empty() else kept.join(revised, on=table.keys, how="anti", nulls_equal=True))
        if nth + 1 == len(places):
            break
        ready, waiting = _due(waiting, order, places[nth + 1][0])
        if len(ready):
            yield ready
    rest = pl.concat(waiting).sort(order)
    if len(rest):
        yield rest


def _due(waiting: list[pl.DataFrame], order: Sequence[str], before_us: int) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    whole = pl.concat(waiting)
    due = whole[order[0]].dt.epoch("us") < before_us
    return whole.filter(due).sort(order), [whole.filter(~due)]


def _places(lake: Path, table: Table, files: Sequence[LiveFile]) -> list[tuple[int, Path, int]]:
    """Every row group (earliest event time, file, number), the earliest first."""
    found = []
    for file in files:
        path = lake / file.segment.path
        with guarded(f"reading {path}"), pq.ParquetFile(path) as parquet:
            for number in range(parquet.num_row_groups):
                low = _earliest(parquet.metadata.row_group(number), table.time)
                found.append((file.segment.min_time or 0 if low is None else low, path, number))
    return sorted(found)


def _earliest(group: Any, column: str) -> int | None:
    for place in range(group.num_columns):
        told = group.column(place)
        if told.path_in_schema == column and told.statistics is not None and told.statistics.has_min_max:
            return int(told.statistics.min.timestamp() * 1e6) - 1  # a float's last digit
    return None


def _since(frame: pl.DataFrame, table: Table, from_us: int | None, to_us: int | None) -> pl.DataFrame:
    return _between(frame, table, from_us, None if to_us is None else to_us - 1)


def _group(parquet: pq.ParquetFile, number: int, columns: pl.Schema) -> pl.DataFrame:
    wanted = [name for name in columns if name in parquet.schema_arrow.names]
    frame = pl.from_arrow(parquet.read_row_group(number, columns=wanted, use_threads=False))
    return conform(frame, columns) if isinstance(frame, pl.DataFrame) else empty(columns)


def _between(frame: pl.DataFrame, table: Table, from_us: int | None, to_us: int | None) -> pl.DataFrame:
    if not table.time or (from_us is None and to_us is None):
        return frame
    time = pl.col(table.time).dt.epoch("us")
    low = pl.lit(value=True) if from_us is None else time >= from_us
    high = pl.lit(value=True) if to_us is None else time <= to_us
    return frame.filter(low & high)
