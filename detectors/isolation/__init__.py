"""A principal's hour that fits no pattern of its own, seen over many features at once. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import polars as pl

from detectors._budget import Budget
from detectors._memory import Table
from detectors._text import figure, show
from detectors._usual import Bools, Floats
from detectors._window import Found, seen_in, tell
from detectors.isolation.features import FEATURES, WORDS, Vectors
from detectors.isolation.forest import Forest
from detectors.isolation.reservoir import Reservoir
from pipeline.core.clock import DAY_US
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="isolation",
    version="1",
    title="Unlike anything usual",
    family="multivariate",
    summary="isolation forest over a principal's hour, measured against its own habit",
    techniques=("T1078", "T1555.006"),
    measures=("F3", "F5", "M9"),
)
_HALF_LIFE_US: Final = 14.0 * DAY_US


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most the `most` oddest principals of a window are told, and only those beyond `quantile` of past windows.

    Two features at least must lie `deviation` scales away; one alone is another detector's matter. Principals seen in
    fewer than `windows` windows are neither judged nor learned from. The forest is grown anew every `refit_hours` from
    a sample of `sample` past windows, once there are `least_sample`: of fewer, `quantile` would be the most that was
    seen. `per_day` is about how many are told a day. `keys` bounds the memory.
    """

    quantile: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.9995
    deviation: float = 4.0
    most: int = 1
    windows: int = 24
    refit_hours: Annotated[int, msgspec.Meta(ge=1)] = 24
    sample: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 2_048
    least_sample: Annotated[int, msgspec.Meta(ge=1)] = 2_000
    trees: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    seed: int = 20_260_302
    per_day: float = 0.5
    keys: int = 50_000


class Isolation:
    """Remembers each principal's average hour, a sample of past deviations, and the forest grown from it."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._means = Table(len(FEATURES) + 1, config.keys, _HALF_LIFE_US)  # weight, then sums
        self._sample = Reservoir(config.sample, int(_HALF_LIFE_US))
        self._forest = Forest(config.trees, config.seed, config.quantile)
        self._budget = Budget(0.0, config.per_day)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        vectors = Vectors.of(window)
        if vectors is None:
            return empty(FINDING)
        keys = vectors.keys
        past = self._means.get(keys, window.start_us)
        settled = past[:, 0] >= self._config.windows * 0.5  # what is left of them after decay
        usual = past[:, 1:] / np.maximum(past[:, :1], 1.0)
        away = vectors.values - usual
        found, odd = self._judge(vectors, away, settled, window)
        if window.closed:
            self._budget.note(window.start_us, odd)
            more = np.concatenate([np.ones((len(keys), 1)), vectors.values], axis=1)
            self._means.put(keys, past + more, window.start_us)
            self._sample.offer(keys[settled], away[settled], window.start_us)
            self._forest.refit(self._sample, window.end_us, self._config.refit_hours, self._config.least_sample)
        return tell(self.info, window, found)

    def _judge(self, vectors: Vectors, away: Floats, settled: Bools, window: Window) -> tuple[list[Found], list[float]]:
        """What is told, and every score beyond the limit, told or not."""
        if not self._forest.sown:
            return [], []
        scaled = away / self._forest.scale
        rows = np.flatnonzero(settled & ((np.abs(scaled) >= self._config.deviation).sum(axis=1) >= 2))
        if not len(rows):
            return [], []
        odd = self._forest.oddness(scaled[rows])
        enough = max(self._forest.limit, self._budget.threshold(window.start_us))
        order = np.lexsort((rows, -odd))[: self._config.most]
        told = [
            self._found(vectors, int(rows[i]), scaled[rows[i]], float(odd[i]), window)
            for i in order.tolist()
            if odd[i] > enough
        ]
        return told, odd[odd > self._forest.limit].tolist()

    def _found(self, vectors: Vectors, i: int, scaled: Floats, odd: float, window: Window) -> Found:
        principal = vectors.frame["principal"][i]
        most = np.argsort(-np.abs(scaled), kind="stable")[:3].tolist()
        said = [f"{WORDS[FEATURES[j]]} {figure(float(np.expm1(vectors.values[i, j])))}" for j in most]
        apart = [f"{WORDS[FEATURES[j]]} {scaled[j]:+.1f}" for j in most]
        rows = window.operations.filter(pl.col("principal") == principal)
        return Found(
            key=principal,
            severity="low",
            confidence=0.4,
            score=min(1.0, odd),
            message=f"{show(principal)} had an hour unlike its others: {', '.join(said)}.",
            observed=f"{', '.join(said)}; isolation {odd:.3f}",
            expected=f"isolation up to {self._forest.limit:.3f}; away from its own mean by scales: {', '.join(apart)}",
            next_step="Look at the hour (view operations). By itself this is a hint, with another"
            " family's finding it is a case.",
            principal=principal,
            **seen_in(rows),
        )

    def snapshot(self) -> Frames:
        """Means, the sample, and the sample the forest was grown from."""
        kept = {**self._sample.snapshot(), **self._forest.snapshot(), **self._budget.snapshot()}
        return {"means": self._means.snapshot(), **kept}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot: the forest is grown again from the same sample, and is the same."""
        self._means.restore(frames["means"])
        self._sample.restore(frames)
        self._forest.restore(frames)
        self._budget.restore(frames)


def create(config: Config) -> Isolation:
    """The detector, with nothing remembered."""
    return Isolation(config)
