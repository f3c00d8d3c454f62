"""Working something out once per distinct row: logs repeat themselves, and most columns have few values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

_SEPARATOR: Final = "\x1f"


def per_distinct(frame: pl.DataFrame, key: Sequence[str], made: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """`made(frame.select(key))`, row by row, computed once per distinct row.

    `key` names String columns; `made` must treat each row by itself and give as many rows as it gets.
    """
    keys = frame.select(key)
    joined = keys.select(pl.concat_str(pl.all().fill_null("\x00"), separator=_SEPARATOR)).to_series()
    if joined.str.count_matches(_SEPARATOR, literal=True).max() != len(key) - 1:
        return made(keys)  # no rows, or a value that holds the separator
    coded = joined.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    codes: npt.NDArray[np.int32] = coded.indices.to_numpy()
    first = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))  # codes are given in order of appearance
    return made(keys[first])[codes]
