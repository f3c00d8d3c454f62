"""Sorted runs of keys with what belongs to each, and where a key is among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from detectors._remembered import FEW
from pipeline.core.starts import Starts

Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

_WORD, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def begins(ordered: npt.NDArray[Any]) -> Places:
    """Where another one begins, among values in order."""
    first = np.ones(min(len(ordered), 1), dtype=np.bool_)
    return np.flatnonzero(np.append(first, ordered[1:] != ordered[:-1]))


def packed(high: npt.NDArray[Any], low: npt.NDArray[Any]) -> Keys:
    """Two numbers below 2³² in one, so that pairs are put in order, and told apart, as one array."""
    return (high.astype(np.uint64, copy=False) << _WORD) | low.astype(np.uint64, copy=False)


def unpacked(pairs: Keys) -> tuple[Keys, Keys]:
    """The inverse of `packed`."""
    return pairs >> _WORD, pairs & _LOW


class Run:
    """Keys in order, with what belongs to each."""

    def __init__(self, keys: Keys, values: Floats, seen: Places) -> None:
        self.keys, self.values, self.seen = keys, values, seen
        self._starts: Starts | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Keys) -> tuple[Places, Bools]:
        """Where each key is, and whether it is."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
        if len(keys) <= FEW:
            inside = np.searchsorted(self.keys, keys)
        else:
            self._starts = self._starts or Starts(self.keys)
            inside = self._starts.search(keys)
        np.minimum(inside, len(self.keys) - 1, out=inside)
        return inside, self.keys[inside] == keys

    def insert(self, keys: Keys, values: Floats, seen: Places | int) -> None:
        """Take in keys in order, none of which is there."""
        at = np.searchsorted(self.keys, keys) + np.arange(len(keys))
        old = np.ones(len(self.keys) + len(keys), dtype=np.bool_)
        old[at] = False
        merged = (
            np.empty(len(old), np.uint64), np.empty((len(old), self.values.shape[1])), np.empty(len(old), np.int64)
        )  # fmt: skip
        for column, kept, more in zip(merged, (self.keys, self.values, self.seen), (keys, values, seen), strict=True):
            column[old] = kept
            column[at] = more
        self.keys, self.values, self.seen = merged
        self._starts = None
