"""Acts of a kind that a principal does seldom: far more of them in a window than in any before, few as they may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors import _tails
from detectors._budget import Budget
from detectors._people import People
from detectors._since import Since
from detectors._usual import Habits, common_mode
from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from detectors._window import Found
    from pipeline.core.model import Frames, Window


@dataclass(frozen=True, slots=True)
class Enough:
    """How many acts of a window are worth telling: `least`, below mid-p `p`, `above_peak` times the most before.

    Nobody is told of in the first `settle_hours`; about `per_day` are told a day.
    """

    least: int
    p: float
    above_peak: float
    settle_hours: int
    per_day: float


@dataclass(frozen=True, slots=True)
class Act:
    """One principal that did far more than it ever did in an hour with any."""

    principal: str
    n: int
    mean: float
    surprise: float


class Acts:
    """Remembers per principal how many a window with any has, and the most: 56 bytes each, under `name` in a snapshot.

    `counted` gives of People's rows those who did any, by who: who, type, n, and `out_of`, the windows or operations
    that n is a share of. `prior` is (n, out_of) of somebody who never did any. `told` words a finding.
    """

    def __init__(
        self, name: str, enough: Enough, keys: int, counted: Callable[[pl.DataFrame], pl.DataFrame],
        told: Callable[[Act, Window], Found], *, prior: tuple[float, float] = (1.0, 2.0),
    ) -> None:  # fmt: skip
        self._name, self._enough, self._counted, self._told, self._prior = name, enough, counted, told, prior
        self._habits = Habits(keys)
        self._since = Since()  # it watches, whether anybody does any or not
        self._budget = Budget(-math.log10(enough.p), enough.per_day)

    def inspect(self, window: Window) -> list[Found]:
        """Judge a window."""
        people, at_us, enough = People.of(window), window.start_us, self._enough
        settled = self._since.age_us(at_us) >= enough.settle_hours * HOUR_US
        if window.closed:
            self._since.begin(at_us)
        counted = self._counted(people.rows)
        if counted.is_empty():
            return []
        each = people.named(counted)
        n, out_of = (each.frame[name].to_numpy().astype(np.float64) for name in ("n", "out_of"))
        usual = self._habits.usual(each.keys, each.kinds, out_of, at_us, self._prior)
        factor = common_mode(each.cohorts, (n + 1) / (usual.mean + 1))
        loud = (n >= enough.least) & (n > enough.above_peak * usual.peak * factor) & settled
        surprise = _tails.surprise(_tails.upper_where(loud, n, (usual.mean + 1) * factor - 1, usual.size))
        odd = np.flatnonzero(surprise >= self._budget.threshold(at_us)).tolist()
        names: list[Any] = each.frame["principal"].to_list()
        found = [self._told(Act(names[i], int(n[i]), float(usual.mean[i]), float(surprise[i])), window) for i in odd]
        if window.closed:
            self._habits.learn(at_us, each.keys, each.kinds, count=n, exposure=out_of, mean=usual.mean)
            self._budget.note(at_us, surprise[loud].tolist())
        return found

    def snapshot(self) -> Frames:
        """Two tables and an age; the budget; since when it watches."""
        since = {f"{self._name}.since": self._since.snapshot()}
        return {**self._habits.snapshot(self._name), **self._budget.snapshot(f"{self._name}."), **since}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if f"{self._name}.keys" not in frames:
            return
        self._habits.restore(self._name, frames)
        self._budget.restore(frames, f"{self._name}.")
        self._since.restore(frames.get(f"{self._name}.since", frames[f"{self._name}.age"]))
