"""How many operations each store has at which hour, and how long it has had next to none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors import _tails
from pipeline.core.clock import HOUR_US

Floats = npt.NDArray[np.float64]

CELLS: Final = 48  # hours of a working day, then of a day at the weekend
_THURSDAY: Final = 3  # 1970-01-01, counted from Monday
_FADE: Final = 0.97  # what a cell remembers of its past when a window is added: about a month of days
_SEEN: Final = 2.0  # windows a cell needs before it tells anything
_SIZE: Final = 4.0  # counts may well be half of the usual, or twice


def cell_of(start_us: int) -> int:
    """The cell of the window that begins there (UTC)."""
    hours = start_us // HOUR_US
    weekend = (hours // 24 + _THURSDAY) % 7 >= 5
    return int(hours % 24 + 24 * weekend)


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of windows with next to nothing: since when, what was expected, what came, how unlikely (-log10)."""

    start_us: int = 0
    expected: float = 0.0
    count: int = 0
    surprise: float = 0.0
    told: bool = False


@dataclass(slots=True)
class Store:
    """One store's rhythm: sum and weight of its windows per cell."""

    sums: Floats = field(default_factory=lambda: np.zeros(CELLS))
    weights: Floats = field(default_factory=lambda: np.zeros(CELLS))
    windows: int = 0
    last_us: int = 0
    run: Run = field(default_factory=Run)

    def expected(self, start_us: int, least_windows: int) -> float | None:
        """Operations in the window that begins there; None while too little is known."""
        cell = cell_of(start_us)
        if self.windows < least_windows or self.weights[cell] < _SEEN * _FADE:
            return None
        return float(self.sums[cell] / self.weights[cell])

    def learn(self, start_us: int, count: int) -> None:
        """Add a window that is as it should be; it ends any silence."""
        cell = cell_of(start_us)
        self.sums[cell] = self.sums[cell] * _FADE + count
        self.weights[cell] = self.weights[cell] * _FADE + 1
        self.windows += 1
        self.run = Run()

    def hush(self, start_us: int, count: int, expected: float) -> Run:
        """Add a window with next to nothing to the silence; it teaches nothing."""
        size = min(_SIZE, float(self.weights[cell_of(start_us)]))
        p = _tails.lower(np.array([float(count)]), np.array([expected]), np.array([size]))
        old = self.run if self.run.start_us else Run(start_us)
        self.run = Run(
            old.start_us,
            old.expected + expected,
            old.count + count,
            old.surprise + float(_tails.surprise(p)[0]),
            old.told,
        )
        return self.run

    def tell(self) -> None:
        """Note that this silence was told."""
        self.run = replace(self.run, told=True)

    def copy(self) -> Store:
        """An independent copy."""
        return Store(self.sums.copy(), self.weights.copy(), self.windows, self.last_us, self.run)


SCHEMA: Final = pl.Schema(
    {
        "store": pl.String(),
        "sums": pl.List(pl.Float64()),
        "weights": pl.List(pl.Float64()),
        "windows": pl.Int64(),
        "last_us": pl.Int64(),
        "start_us": pl.Int64(),
        "expected": pl.Float64(),
        "count": pl.Int64(),
        "surprise": pl.Float64(),
        "told": pl.Boolean(),
    }
)


def packed(stores: dict[str, Store]) -> pl.DataFrame:
    """One row per store."""
    rows = [
        (name, s.sums.tolist(), s.weights.tolist(), s.windows, s.last_us,
         s.run.start_us, s.run.expected, s.run.count, s.run.surprise, s.run.told)
        for name, s in stores.items()
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def unpacked(frame: pl.DataFrame) -> dict[str, Store]:
    """The inverse of `packed`."""
    return {
        name: Store(np.array(sums), np.array(weights), windows, last_us, Run(*run))
        for name, sums, weights, windows, last_us, *run in frame.iter_rows()
    }
