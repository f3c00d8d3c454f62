"""What follows from a name alone, remembered: over a few rows a look-up costs less than working it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

FEW: Final = 256  # rows: longer columns are worked out whole
_MOST: Final = 100_000  # names remembered


class Remembered(Generic[T]):
    """`made` gives for a String column a list as long, each item by its name alone. Past `_MOST` names all go."""

    def __init__(self, made: Callable[[pl.Series], list[T]]) -> None:
        self._made = made
        self._known: dict[str | None, T] = {}

    def of(self, names: Sequence[str | None]) -> list[T]:
        """For each name."""
        if fresh := [name for name in dict.fromkeys(names) if name not in self._known]:
            if len(self._known) + len(fresh) > _MOST:
                self._known.clear()
                fresh = list(dict.fromkeys(names))
            self._known.update(zip(fresh, self._made(pl.Series(fresh, dtype=pl.String)), strict=True))
        return [self._known[name] for name in names]
