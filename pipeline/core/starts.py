"""Where keys begin with which bits, among sorted ones: that leaves a few steps for each search."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_BLOCK: Final = 8_192  # keys: what is made of a block stays in the processor's cache


class Starts:
    """For sorted keys that spread evenly up to the last one, as hashes do; others are found in more steps.

    A quarter of a byte for each key at the most.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        bits = max(len(keys).bit_length() - 5, 1)
        last = int(keys[-1]) if len(keys) else 0
        self._shift = np.uint64(max(last.bit_length() - bits, 0))
        counts = np.bincount((keys >> self._shift).astype(np.int64), minlength=1)
        self._starts = (np.cumsum(counts) - counts).astype(np.uint32)
        self._steps = int(counts.max()).bit_length()

    def search(self, asked: Keys) -> Places:
        """`np.searchsorted(keys, asked)`."""
        begins = np.minimum(asked >> self._shift, np.uint64(len(self._starts) - 1)).astype(np.int64)
        at: Places = self._starts[begins].astype(np.int64)
        for begin in range(0, len(at), _BLOCK):
            self._search(asked[begin : begin + _BLOCK], at[begin : begin + _BLOCK])
        np.minimum(at, len(self.keys), out=at)
        return at

    def _search(self, asked: Keys, at: Places) -> None:
        place, here = np.empty_like(at), np.empty_like(asked)
        for step in range(self._steps - 1, -1, -1):
            np.add(at, (1 << step) - 1, out=place)
            self.keys.take(place, mode="clip", out=here)
            np.multiply(here < asked, 1 << step, out=place)
            np.add(at, place, out=at)
