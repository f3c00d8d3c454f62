"""Every distinct name once: strings to small numbers and back, a column at a time."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.baselines.index import Index, Slots
from pipeline.core.coded import Coded
from pipeline.core.hashing import U64, hash_texts

_CHUNKS = 32
FEW = 256  # strings: up to here a look-up for each is cheaper than vectors for all
_LATELY = 100_000  # strings found one by one that are remembered


class Names:
    """A string's id is its place in `texts`. Ids are dense, and given in alphabetical order within one call.

    Strings are found by hash and then compared; one whose hash another string already has lives in a dictionary
    beside the index, which only someone who makes collisions on purpose will ever fill.
    """

    def __init__(self) -> None:
        self.texts = pl.Series("text", [], pl.String)
        self._index = Index()
        self._collided: dict[str, int] = {}
        self._lately: dict[str | None, int] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def of(self, column: pl.Series) -> Slots:
        """The id of each of a column, -1 for null and for what is not known; numbers are ids already."""
        if column.dtype == pl.Int64:
            return np.asarray(column.to_numpy())
        if len(column) <= FEW:
            return self._each(column.to_list())
        coded = Coded.of(column)
        return np.asarray(np.append(self.find(coded.texts), -1)[coded.codes])

    def find(self, texts: pa.Array) -> Slots:
        """The id of each of `texts` (large_string, no nulls), or -1."""
        return self._find(texts, hash_texts(texts)) if len(texts) > FEW else self._each(texts.to_pylist())

    def intern(self, texts: pa.Array, ids: Slots | None = None) -> Slots:
        """The id of each of `texts` (distinct, large_string, no nulls); new ones are taken in.

        `ids` are what `find` says of them now, where that is known.
        """
        ids = self.find(texts) if ids is None else ids.copy()
        new = np.flatnonzero(ids < 0)
        if len(new):
            fresh = texts.take(pa.array(new))
            order = pc.array_sort_indices(fresh).to_numpy(zero_copy_only=False)
            fresh, new = fresh.take(pa.array(order)), new[order]
            ids[new] = np.arange(len(self), len(self) + len(new))
            self._add(fresh, hash_texts(fresh), ids[new])
        return ids

    def load(self, texts: pl.Series) -> None:
        """Become the names of `texts`, each with its place as its id."""
        self.texts, self._index, self._collided = pl.Series("text", [], pl.String), Index(), {}
        self._lately = {}
        column = texts.to_arrow()
        self._add(column, hash_texts(column), np.arange(len(texts)))

    def _each(self, names: list[str | None]) -> Slots:
        ids = [self._lately.get(name, -1) for name in names]
        if missed := {name for name, known in zip(names, ids, strict=True) if known < 0 and name is not None}:
            asked = sorted(missed)
            texts = pa.array(asked, pa.large_string())
            found: dict[str | None, int] = dict(zip(asked, self._find(texts, hash_texts(texts)).tolist(), strict=True))
            ids = [known if known >= 0 else found.get(name, -1) for name, known in zip(names, ids, strict=True)]
            if len(self._lately) + len(found) > _LATELY:
                self._lately.clear()
            self._lately.update((name, known) for name, known in found.items() if known >= 0)
        return np.array(ids, np.int64)

    def _find(self, texts: pa.Array, hashes: U64) -> Slots:
        order = np.argsort(hashes)
        ids = np.empty(len(hashes), np.int64)
        ids[order] = self._index.find(hashes[order])
        hit = np.flatnonzero(ids >= 0)
        if len(hit):
            asked = texts if len(hit) == len(texts) else texts.take(pa.array(hit))
            other = hit[(self.texts.gather(ids[hit]) != pl.Series(asked)).to_numpy()]
            ids[other] = [self._collided.get(text, -1) for text in texts.take(pa.array(other)).to_pylist()]
        return ids

    def _add(self, texts: pa.Array, hashes: U64, ids: Slots) -> None:
        _, first = np.unique(hashes, return_index=True)
        fresh = np.zeros(len(hashes), bool)
        fresh[first] = True
        fresh &= self._index.find(hashes) < 0
        self._index.add(hashes[fresh], ids[fresh])
        for row in np.flatnonzero(~fresh).tolist():
            self._collided[texts[row].as_py()] = int(ids[row])
        self.texts = pl.concat([self.texts, pl.Series("text", texts)], rechunk=False)
        if self.texts.n_chunks() > _CHUNKS:  # one block again, without what the pieces drag along
            self.texts = pl.Series("text", self.texts.to_arrow())
