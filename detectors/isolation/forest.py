"""The isolation forest (Liu, Ting, Zhou, ICDM 2008), grown from a sample and from nothing else.

The model itself is never stored: the sample it was grown from is, and with the fixed seed it grows the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors._usual import Floats
from detectors.isolation.features import FEATURES
from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from detectors.isolation.reservoir import Reservoir
    from pipeline.core.model import Frames

_SCALE_FLOOR: Final = 0.25  # of a logarithm: what never varies is not a miracle when it does


class Forest:
    """Scores in (0, 1), high = odd. It grows when it is first asked: most samples are never asked about anything."""

    def __init__(self, trees: int, seed: int, quantile: float) -> None:
        self._trees, self._seed, self._quantile = trees, seed, quantile
        self._period = -1
        self._train: Floats = np.empty((0, len(FEATURES)))
        self._model: Any = None
        self._limit = 1.0
        self.scale: Floats = np.ones(len(FEATURES))

    @property
    def sown(self) -> bool:
        """There is a sample to grow a forest from."""
        return len(self._train) > 0

    @property
    def limit(self) -> float:
        """The score that only 1 - `quantile` of the sample exceeds."""
        self._grow()
        return self._limit

    def oddness(self, scaled: Floats) -> Floats:
        """How early each vector is parted from the others."""
        self._grow()
        return np.asarray(-self._model.score_samples(scaled))

    def refit(self, sample: Reservoir, end_us: int, every_hours: int, least: int) -> None:
        """Sow anew when event time has passed into a new period and the sample is large enough."""
        period = end_us // (every_hours * HOUR_US)
        if period == self._period or len(sample) < least:
            return
        self._period = period
        self._sow(sample.vectors.copy())

    def _sow(self, train: Floats) -> None:
        self._train, self._model = train, None
        middle = np.abs(train - np.median(train, axis=0))
        self.scale = np.maximum(np.quantile(middle, 0.9, axis=0) / 1.645, _SCALE_FLOOR)

    def _grow(self) -> None:
        if self._model is not None:
            return
        from sklearn.ensemble import IsolationForest  # noqa: PLC0415  a second of import, for those who need it

        scaled = self._train / self.scale
        self._model = IsolationForest(
            n_estimators=self._trees, max_samples=min(256, len(scaled)), random_state=self._seed, n_jobs=None
        ).fit(scaled)
        self._limit = float(np.quantile(-self._model.score_samples(scaled), self._quantile))

    def snapshot(self) -> Frames:
        """The sample it was grown from, and when."""
        columns = {name: self._train[:, i].copy() for i, name in enumerate(FEATURES)}
        period = pl.DataFrame({"period": [self._period]}, schema={"period": pl.Int64})
        return {"train": pl.DataFrame(columns), "period": period}

    def restore(self, frames: Frames) -> None:
        """Continue with the same sample: the forest that grows from it is the same."""
        self._period = frames["period"]["period"][0]
        train = np.array(frames["train"].select(FEATURES).to_numpy(), dtype=np.float64)
        if len(train):
            self._sow(train)
