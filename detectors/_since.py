"""Since when a memory watches: to one that is young everything is new, and says nothing."""

from __future__ import annotations

import polars as pl


class Since:
    """Remembers the first moment (µs) at which anything was learned."""

    def __init__(self) -> None:
        self._first_us: int | None = None

    def begin(self, at_us: int) -> None:
        """Something is learned; only the first time counts."""
        if self._first_us is None:
            self._first_us = at_us

    @property
    def begun(self) -> bool:
        """Whether anything was learned."""
        return self._first_us is not None

    def age_us(self, at_us: int) -> int:
        """How long it has watched; 0 before anything was learned."""
        return 0 if self._first_us is None else at_us - self._first_us

    def snapshot(self) -> pl.DataFrame:
        """One row, first_us."""
        return pl.DataFrame({"first_us": [self._first_us]}, schema={"first_us": pl.Int64})

    def restore(self, frame: pl.DataFrame) -> None:
        """Continue from a snapshot."""
        self._first_us = frame["first_us"][0]
