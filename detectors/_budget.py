"""How much a detector may say, kept by a threshold that follows the last seven days.

It holds back what would drown everything else: many times what anybody wants to be told. Which of the findings become
alerts is decided where all of them come together (`[alerts] per_day`), by a threshold of the same kind. A frozen one
breaks its promise as soon as the estate changes: a scale-out made one deliver 17 times too much.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._since import Since
from pipeline.core.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import Frames

_SPAN_DAYS: Final = 7
_KEPT: Final = 10_000


class Budget:
    """Remembers the surprises of the last seven days that were at least `floor`, told or not."""

    def __init__(self, floor: float, per_day: float) -> None:
        self._floor, self._per_day = floor, per_day
        self._since = Since()
        self._at_us: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._surprise: npt.NDArray[np.float64] = np.empty(0)

    def threshold(self, at_us: int) -> float:
        """What a surprise must reach at `at_us` so that about `per_day` are told a day; the floor while few come."""
        recent = self._surprise[self._at_us > at_us - _SPAN_DAYS * DAY_US]
        days = min(max(self._since.age_us(at_us) / DAY_US, 1.0), _SPAN_DAYS)
        allowed = math.ceil(self._per_day * days)
        if len(recent) < allowed:
            return self._floor
        return float(np.partition(recent, len(recent) - allowed)[len(recent) - allowed])

    def note(self, at_us: int, surprises: Sequence[float]) -> None:
        """Add what a closed window had."""
        self._since.begin(at_us)
        kept = self._at_us > at_us - _SPAN_DAYS * DAY_US
        new = np.sort([s for s in surprises if s >= self._floor])
        self._at_us = np.concatenate([self._at_us[kept], np.full(len(new), at_us, dtype=np.int64)])[-_KEPT:]
        self._surprise = np.concatenate([self._surprise[kept], new])[-_KEPT:]

    def snapshot(self, under: str = "") -> Frames:
        """Frames budget (at_us, surprise) and budget.age, their names behind `under`."""
        past = pl.DataFrame({"at_us": self._at_us.copy(), "surprise": self._surprise.copy()})
        return {f"{under}budget": past, f"{under}budget.age": self._since.snapshot()}

    def restore(self, frames: Frames, under: str = "") -> None:
        """Continue from a snapshot."""
        past = frames[f"{under}budget"]
        self._since.restore(frames[f"{under}budget.age"])
        self._at_us = past["at_us"].to_numpy().astype(np.int64)
        self._surprise = past["surprise"].to_numpy().astype(np.float64)
