"""Every distinct name once: strings to small numbers and back, a column at a time."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.baselines.hashing import U64, hash_texts
from pipeline.baselines.index import Index, Slots

_CHUNKS = 32
_FEW = 256  # strings: up to here a look-up for each is cheaper than vectors for all
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
        self._lately: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def find(self, texts: pa.Array) -> Slots:
        """The id of each of `texts` (large_string, no nulls), or -1."""
        return self._find(texts, hash_texts(texts)) if len(texts) > _FEW else self._find_each(texts)

    def intern(self, texts: pa.Array) -> Slots:
        """The id of each of `texts` (distinct, large_string, no nulls); new ones are taken in."""
        if len(texts) <= _FEW and len(ids := self._find_each(texts)) and ids.min() >= 0:
            return ids
        hashes = hash_texts(texts)
        ids = self._find(texts, hashes)
        new = np.flatnonzero(ids < 0)
        if len(new):
            ordered = pc.array_sort_indices(texts.take(pa.array(new)))
            new = new[ordered.to_numpy(zero_copy_only=False)]
            ids[new] = np.arange(len(self), len(self) + len(new))
            self._add(texts.take(pa.array(new)), hashes[new], ids[new])
        return ids

    def load(self, texts: pl.Series) -> None:
        """Become the names of `texts`, each with its place as its id."""
        self.texts, self._index, self._collided = pl.Series("text", [], pl.String), Index(), {}
        self._lately = {}
        column = texts.to_arrow()
        self._add(column, hash_texts(column), np.arange(len(texts)))

    def _find_each(self, texts: pa.Array) -> Slots:
        names = texts.to_pylist()
        ids = [self._lately.get(name, -1) for name in names]
        missed = [row for row, known in enumerate(ids) if known < 0]
        if missed:
            asked = texts if len(missed) == len(ids) else texts.take(pa.array(missed))
            for row, found in zip(missed, self._find(asked, hash_texts(asked)).tolist(), strict=True):
                ids[row] = found
            if len(self._lately) + len(missed) > _LATELY:
                self._lately.clear()
            self._lately.update((names[row], ids[row]) for row in missed if ids[row] >= 0)
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
