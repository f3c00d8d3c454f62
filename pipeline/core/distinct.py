"""Working something out once per distinct row: logs repeat themselves, and most columns have few values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.owned import few_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

_SEPARATOR: Final = "\x1f"
_CHUNKS: Final = 8


class PerDistinct:
    """Calls `made` once per distinct row of the String columns `key`, and remembers the answers of late.

    `made` must be a pure function of each row by itself and give as many rows as it gets: then what is remembered
    changes nothing but the time it takes. At most `limit` answers are kept. For one thread at a time.
    """

    def __init__(
        self, key: Sequence[str], made: Callable[[pl.DataFrame], pl.DataFrame], *, limit: int = 1 << 16
    ) -> None:
        self._key = tuple(key)
        self._made = made
        self._limit = limit
        self._places: dict[str, int] = {}
        self._answers: pl.DataFrame | None = None

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The answers for the rows of `frame`, row by row."""
        keys = frame.select(self._key)
        joined = keys.select(pl.concat_str(pl.all().fill_null("\x00"), separator=_SEPARATOR)).to_series()
        if joined.str.count_matches(_SEPARATOR, literal=True).max() != len(self._key) - 1:
            return self._made(keys)  # no rows, or a value that holds the separator
        coded = joined.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
        codes: npt.NDArray[np.int32] = coded.indices.to_numpy()
        first = np.flatnonzero(
            np.diff(np.maximum.accumulate(codes), prepend=-1)
        )  # codes are given in order of appearance
        places, answers = self._remembered(coded.dictionary.to_pylist(), keys, first)
        return answers[places[codes]]

    def _remembered(
        self, names: list[str], keys: pl.DataFrame, first: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.int64], pl.DataFrame]:
        """Where the answer of each distinct row stands among the answers; `first` is a row of `keys` for each."""
        if len(self._places) + len(names) > self._limit:
            self._places, self._answers = {}, None
        places = np.array([self._places.get(name, -1) for name in names], np.int64)
        new = np.flatnonzero(places < 0)
        if len(new):
            made = self._made(keys[first[new]])
            places[new] = len(self._places) + np.arange(len(new))
            self._places.update((names[index], int(places[index])) for index in new.tolist())
            self._answers = made if self._answers is None else self._answers.vstack(made)
        assert self._answers is not None  # noqa: S101  there was at least one row
        self._answers = few_pieces(self._answers, _CHUNKS)
        return places, self._answers


def spread(found: pl.Series, rows: npt.NDArray[np.integer], height: int, other: object) -> pl.Series:
    """`height` values: those of `found` at `rows`, `other` everywhere else."""
    places = np.zeros(height, np.int64)
    places[rows] = np.arange(1, len(rows) + 1)
    return pl.concat([pl.Series(found.name, [other], dtype=found.dtype), found])[places]
