"""Counts of all remembered windows in one frame, added up now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LOOSE: Final = 64  # frames


class Sums:
    """Whole numbers by `keys`, the first of which is the window (µs of its start)."""

    def __init__(self, schema: pl.Schema, keys: Sequence[str]) -> None:
        self._empty = pl.DataFrame(schema=schema)
        self._keys = list(keys)
        self._frames = [self._empty]

    def add(self, frame: pl.DataFrame) -> None:
        """More counts; keys may repeat."""
        self._frames.append(frame.select(self._empty.columns))
        if len(self._frames) > _LOOSE:
            self.settled()

    def of(self, windows: Collection[int]) -> pl.DataFrame:
        """The counts of some windows, each key once."""
        wanted = pl.col("window").is_in(list(windows))
        return self._summed([frame.filter(wanted) for frame in self._frames])

    def settled(self) -> pl.DataFrame:
        """All counts, each key once."""
        if len(self._frames) > 1:
            self._frames = [self._summed(self._frames)]
        return self._frames[0]

    def keep(self, windows: Collection[int]) -> None:
        """Forget every other window."""
        wanted = pl.col("window").is_in(list(windows))
        self._frames = [self._summed(self._frames).filter(wanted)]

    def clear(self) -> None:
        """Forget everything."""
        self._frames = [self._empty]

    def _summed(self, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(frames).group_by(self._keys).agg(pl.exclude(self._keys).sum())
