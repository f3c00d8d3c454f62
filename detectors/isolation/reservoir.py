"""A sample of past windows that depends on what was offered and not on when or in what order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._memory import Keys, joined
from detectors._usual import Floats
from detectors.isolation.features import FEATURES

if TYPE_CHECKING:
    from pipeline.core.model import Frames


class Reservoir:
    """The `size` vectors with the smallest hashes of those not older than `span_us`: a uniform sample."""

    def __init__(self, size: int, span_us: int) -> None:
        self._size, self._span_us = size, span_us
        self._hashes: Keys = np.empty(0, dtype=np.uint64)
        self._at_us: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.vectors: Floats = np.empty((0, len(FEATURES)))

    def __len__(self) -> int:
        return len(self._hashes)

    def offer(self, keys: Keys, vectors: Floats, at_us: int) -> None:
        """Vectors of principals `keys` in the window that begins at `at_us`."""
        hashes = joined(at_us, keys)
        full = len(self._hashes) >= self._size
        wanted = hashes < self._hashes[-1] if full else np.ones(len(keys), dtype=np.bool_)
        if not wanted.any():
            return
        fresh = self._at_us > at_us - self._span_us
        merged = np.concatenate([self._hashes[fresh], hashes[wanted]])
        order = np.argsort(merged, kind="stable")[: self._size]
        self._hashes = merged[order]
        self._at_us = np.concatenate([self._at_us[fresh], np.full(int(wanted.sum()), at_us)])[order]
        self.vectors = np.concatenate([self.vectors[fresh], vectors[wanted]])[order]

    def snapshot(self) -> Frames:
        """Columns hash, at_us and one per feature."""
        columns = {name: self.vectors[:, i].copy() for i, name in enumerate(FEATURES)}
        return {"sample": pl.DataFrame({"hash": self._hashes.copy(), "at_us": self._at_us.copy(), **columns})}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        frame = frames["sample"]
        self._hashes = frame["hash"].to_numpy().astype(np.uint64)
        self._at_us = frame["at_us"].to_numpy().astype(np.int64)
        self.vectors = np.array(frame.select(FEATURES).to_numpy(), dtype=np.float64)
