"""Columns of names as numbers: each distinct name once, worked out once for all who look at a window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline.core.ranks import ranked

if TYPE_CHECKING:
    from pipeline.core.model import Ints, Window

Numbers = npt.NDArray[np.uint32]

_FEW: Final = 512  # rows: up to here a dictionary is quicker than columns


@dataclass(frozen=True, eq=False)
class Coded:
    """A String column: item i is `texts[codes[i]]`, null where that is -1. `texts` are distinct, as they came."""

    name: str
    codes: npt.NDArray[np.int32]
    texts: pa.Array  # large_string

    @classmethod
    def of(cls, column: pl.Series) -> Coded:
        """Of a column of any length."""
        if len(column) <= _FEW:
            names = column.to_list()
            place: dict[str | None, int] = {}
            codes = [-1 if name is None else place.setdefault(name, len(place)) for name in names]
            return cls(column.name, np.array(codes, np.int32), pa.array(list(place), pa.large_string()))
        encoded = column.to_arrow().dictionary_encode()
        indices = encoded.indices.fill_null(-1) if encoded.indices.null_count else encoded.indices
        return cls(column.name, indices.to_numpy(), encoded.dictionary)

    @cached_property
    def names(self) -> pl.Series:
        """The texts."""
        return pl.Series(self.name, self.texts, dtype=pl.String)

    @cached_property
    def order(self) -> Ints:
        """Which text comes first, second … in the order of bytes."""
        return ranked(self.texts)

    @cached_property
    def ranks(self) -> Numbers:
        """The place of each text in that order."""
        places = np.empty(len(self.order), np.uint32)
        places[self.order] = np.arange(len(places), dtype=np.uint32)
        return places

    @cached_property
    def numbers(self) -> Numbers:
        """The codes, null a number of its own: what is equal has the same one."""
        return self.codes.astype(np.uint32)

    def each(self, values: npt.NDArray[np.generic], null: float) -> npt.NDArray[np.generic]:
        """What belongs to a text, for each item of the column; `null` where there is none."""
        return np.append(values, np.array([null], values.dtype))[self.codes]


def coded(window: Window, column: str) -> Coded:
    """A column of a window's operations."""
    name = f"coded.{column}"
    if name not in window.memo:
        window.memo[name] = Coded.of(window.operations[column])
    found: Coded = window.memo[name]
    return found
