"""INTEGRITY rows for what is found entry by entry: a place has a uid, may grow, and is told again when it has."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from pipeline.core.findings import uid_of
from pipeline.core.schema import INTEGRITY, empty

Row = dict[str, Any]

HONEST_US: Final = 2_000_000  # disorder below this proves nothing: a store stamps before it takes the file's lock (V10)


def place(source: str, cause: str, first: str) -> str:
    """The uid of a place: the same for its stream, cause and first entry."""
    return uid_of("integrity", source, cause, first)


def moment(us: int) -> dt.datetime:
    """An event time in µs as what a TIME column holds."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=us)


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """INTEGRITY rows."""
    return pl.DataFrame(rows, schema=INTEGRITY) if rows else empty(INTEGRITY)


def first_and_last(rows: Sequence[Row]) -> list[Row]:
    """Of each place and verdict the first row told, which findings rest on, and of each place the last.

    Which rows stood between depends on how the stream was cut; these do not.
    """
    first = {(row["uid"], row["verdict"]): row for row in reversed(rows)}
    last = {row["uid"]: row for row in rows}
    return [*reversed(first.values()), *last.values()]
