"""Where the keys of a table are: a sorted run and a short sorted tail, searched a column at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.core.hashing import U64
from pipeline.core.starts import Starts

Slots = npt.NDArray[np.int64]
_SHORT = 16_384
_FEW = 256  # keys: of fewer each is searched for by itself


class Index:
    """Distinct uint64 keys to slots. 12 bytes a key; -1 for a key that is not there.

    New keys go to the tail, which is merged into the run once it holds more than a sixteenth of it.
    """

    def __init__(self) -> None:
        self._keys = Starts(np.empty(0, np.uint64))
        self._slots: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._tail_keys: U64 = np.empty(0, np.uint64)
        self._tail_slots: npt.NDArray[np.uint32] = np.empty(0, np.uint32)

    def __len__(self) -> int:
        return len(self._keys.keys) + len(self._tail_keys)

    def find(self, keys: U64) -> Slots:
        """The slot of each key, or -1. Sorted questions are answered several times faster than random ones."""
        slots = _search(self._keys, self._slots, keys)
        if len(self._tail_keys):
            slots = np.maximum(slots, _search(Starts(self._tail_keys), self._tail_slots, keys))
        return slots

    def add(self, keys: U64, slots: npt.NDArray[np.integer]) -> None:
        """Take in keys that are not there yet, each once."""
        self._tail_keys, self._tail_slots = _merge(self._tail_keys, self._tail_slots, keys, slots.astype(np.uint32))
        if len(self._tail_keys) > max(_SHORT, len(self._keys.keys) >> 4):
            keys, self._slots = _merge(self._keys.keys, self._slots, self._tail_keys, self._tail_slots)
            self._keys = Starts(keys)
            self._tail_keys, self._tail_slots = np.empty(0, np.uint64), np.empty(0, np.uint32)


def _search(starts: Starts, slots: npt.NDArray[np.uint32], asked: U64) -> Slots:
    keys = starts.keys
    if not len(keys):
        return np.full(len(asked), -1, np.int64)
    at = starts.search(asked) if len(asked) > _FEW else np.searchsorted(keys, asked)
    np.minimum(at, len(keys) - 1, out=at)
    return np.where(keys[at] == asked, slots[at].astype(np.int64), -1)


def _merge(
    keys: U64, slots: npt.NDArray[np.uint32], more_keys: U64, more_slots: npt.NDArray[np.uint32]
) -> tuple[U64, npt.NDArray[np.uint32]]:
    joined = np.concatenate([keys, more_keys])
    order = np.argsort(joined, kind="stable")
    return joined[order], np.concatenate([slots, more_slots])[order]
