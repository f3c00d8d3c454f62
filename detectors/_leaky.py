"""What comes a few at a time: each hour is quiet, what came of late is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from detectors import _tails
from detectors._budget import Budget
from detectors._memory import Table
from detectors._since import Since
from pipeline.core.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from detectors._memory import Keys
    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames, Window

_LATE_US: Final = 12.0 * HOUR_US  # half-life of what counts as of late
_LONG_US: Final = 30.0 * DAY_US  # and of habits
_PRIOR: Final = 0.5  # of late, held of somebody who never had any
_BURSTY: Final = 3.0


@dataclass(frozen=True, slots=True)
class Enough:
    """What of late is worth telling: `least`, below `p`, `above_peak` times what was told; about `per_day` of them.

    Nobody is told of in the first `settle_hours`.
    """

    least: float
    p: float
    above_peak: float
    settle_hours: float
    per_day: float


@dataclass(frozen=True, slots=True)
class Late:
    """Of each of n keys the sum of late with this window's, what its own past makes of that, and whether it is told."""

    sum: Floats
    mean: Floats
    surprise: Floats
    odd: Bools


class Leaky:
    """Per key what came of late (half-life 12 hours), in all, and how much was told of: 56 bytes, under `name`."""

    def __init__(self, name: str, enough: Enough, keys: int) -> None:
        self._name, self._enough = name, enough
        self._late = Table(1, keys, _LATE_US)
        self._long = Table(2, keys, _LONG_US)  # in all, told of
        self._since = Since()
        self._budget = Budget(-float(np.log10(enough.p)), enough.per_day)

    def begin(self, window: Window) -> None:
        """It watches, whether any come or not."""
        if window.closed:
            self._since.begin(window.start_us)

    def judge(self, keys: Keys, n: Floats, window: Window) -> Late:
        """Judge the `n` of distinct `keys` in a window; learn them when it is closed."""
        at_us, enough = window.start_us, self._enough
        late = self._late.get(keys, at_us)[:, 0] + n
        total, told = self._long.get(keys, at_us).T
        mean, size = self._usual(np.maximum(total - late + n, 0.0), at_us)
        settled = self._since.age_us(at_us) >= enough.settle_hours * HOUR_US
        loud = (late >= enough.least) & (late > enough.above_peak * told) & settled
        surprise = _tails.surprise(_tails.upper_where(loud, late, mean, size))
        odd = surprise >= self._budget.threshold(at_us)
        if window.closed:
            self._late.put(keys, late[:, None], at_us)
            self._long.put(keys, np.stack([total + n, np.where(odd, late, told)], axis=1), at_us)
            self._budget.note(at_us, surprise[loud].tolist())
        return Late(late, mean, surprise, odd)

    def _usual(self, total: Floats, at_us: int) -> tuple[Floats, Floats]:
        """How much of late is usual for who had so many before, and the size of the law."""
        age = max(self._since.age_us(at_us), DAY_US)
        share = _LATE_US / (_LONG_US * (1 - np.exp2(-age / _LONG_US)))
        return total * share + _PRIOR, np.clip(total, _PRIOR, _BURSTY)

    def snapshot(self) -> Frames:
        """Two tables, since when, and the budget."""
        return {
            f"{self._name}.late": self._late.snapshot(),
            f"{self._name}.long": self._long.snapshot(),
            f"{self._name}.age": self._since.snapshot(),
            **self._budget.snapshot(f"{self._name}."),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if f"{self._name}.late" not in frames:
            return
        self._late.restore(frames[f"{self._name}.late"])
        self._long.restore(frames[f"{self._name}.long"])
        self._since.restore(frames[f"{self._name}.age"])
        self._budget.restore(frames, f"{self._name}.")
