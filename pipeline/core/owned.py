"""Rows that are kept for longer than the batch they came with.

Polars takes texts out of a frame as views, and a column that came over Arrow keeps all of its batch: one row that is
kept would keep everything that was read with it. What is put together from batch to batch and thinned out by a filter
keeps a piece of each batch in every column, empty as it may be.
"""

from __future__ import annotations

from typing import Final

import polars as pl

OWN_ROWS: Final = 16_384  # rows that came since the last copy; after so many, what waits is copied
_PIECES: Final = 16


def owned(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows in one piece, their texts in memory of their own. Numbers of a slice stay where they are."""
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    copied = pl.from_arrow(table, schema=frame.schema, rechunk=True)
    assert isinstance(copied, pl.DataFrame)  # noqa: S101  a table gives a frame
    return copied


def few_pieces(frame: pl.DataFrame, most: int = _PIECES) -> pl.DataFrame:
    """The same rows, owned and in one piece when they have come to lie in more than `most`."""
    return owned(frame) if frame.n_chunks() > most else frame


def added(kept: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Rows that are kept, and behind them new ones, owned, in few pieces."""
    return few_pieces(kept if new.is_empty() else pl.concat([kept, owned(new)]))
