"""How much of something is usual for a key in one window: Gamma-Poisson per key, with what its kind has in common.

Per key: what was counted, over which exposure (windows, or operations), in how many windows, and the most at once.
Per kind (services, people …): the typical count of an active window, for keys nobody knows yet, and how much more
counts scatter than a Poisson law says; without that, false alarms come hundreds of times too often. All of it decays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from detectors._memory import Keys, Table, distinct_of
from detectors._since import Since
from pipeline.core.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from pipeline.core.model import Frames

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_HALF_LIFE_US: Final = 30.0 * DAY_US
_KINDS: Final = 1_024
_SCATTER: Final = 0.3  # variance beyond Poisson, as a share of mean², until the kind has shown its own
_SCATTER_WEIGHT: Final = 20.0
_SCATTER_BOUNDS: Final = (0.05, 4.0)
_JUMP: Final = 6.0  # counts beyond this many times the mean do not widen the law they are judged by
_COLD_SIZE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for each of n keys: mean and size of a negative binomial, the most so far, windows seen."""

    mean: Floats
    size: Floats
    peak: Floats
    windows: Floats


class Habits:
    """Memory of one kind of count. `limit` keys at most, 56 bytes each."""

    def __init__(self, limit: int) -> None:
        self._keys = Table(4, limit, _HALF_LIFE_US)  # count, exposure, windows, peak
        self._kinds = Table(4, _KINDS, _HALF_LIFE_US)  # sum of log1p(count), windows, scatter seen, its weight
        self._since = Since()
        self._asked: tuple[Keys, int, Floats] | None = None  # of a window, until it is learned

    def age_hours(self, at_us: int) -> float:
        """How long this memory has watched."""
        return self._since.age_us(at_us) / HOUR_US

    def usual(self, keys: Keys, kinds: Keys, exposure: Floats, at_us: int, prior: tuple[float, float]) -> Usual:
        """For distinct keys. `prior` is (count, exposure) of a key nobody knows."""
        count, exposed, windows, peak = self._past(keys, at_us).T
        mean = (count + prior[0]) / (exposed + prior[1]) * exposure
        return Usual(mean, self.size(kinds, count + prior[0], at_us), peak, windows)

    def size(self, kinds: Keys, shape: Floats, at_us: int, times: float = 1.0) -> Floats:
        """Size of the law for keys whose own rate has Gamma shape `shape`, with `times` the scatter that was seen."""
        distinct, each = distinct_of(kinds)
        _, _, seen, weight = self._kinds.get(distinct, at_us).T
        scatter = times * (_SCATTER * _SCATTER_WEIGHT + seen) / (_SCATTER_WEIGHT + weight)
        scatter = np.clip(scatter, *_SCATTER_BOUNDS)
        return np.asarray(1.0 / (1.0 / shape + scatter[each]))

    def peak(self, keys: Keys, at_us: int) -> Floats:
        """The most that each key had in one window."""
        return np.asarray(self._past(keys, at_us)[:, 3])

    def windows(self, keys: Keys, at_us: int) -> Floats:
        """In how many windows each key was seen."""
        return np.asarray(self._past(keys, at_us)[:, 2])

    def _past(self, keys: Keys, at_us: int) -> Floats:
        """What is remembered of keys as of then; one array of them is asked about several times."""
        if self._asked is None or self._asked[0] is not keys or self._asked[1] != at_us:
            self._asked = (keys, at_us, self._keys.get(keys, at_us))
        return self._asked[2]

    def of_kind(self, kinds: Keys, at_us: int, least: float) -> tuple[Floats, Floats]:
        """Mean and size for keys nobody knows: what is typical for their kind, with a long tail."""
        distinct, each = distinct_of(kinds)
        logs, windows, _, _ = self._kinds.get(distinct, at_us).T
        typical = np.expm1(logs / np.maximum(windows, 1.0))
        return np.maximum(2 * typical, least)[each], np.full(len(kinds), _COLD_SIZE)

    def learn(self, at_us: int, keys: Keys, kinds: Keys, *, count: Floats, exposure: Floats, mean: Floats) -> None:
        """Add a closed window. `mean` is what was expected of each key; nan where nothing was."""
        self._since.begin(at_us)
        old, self._asked = self._past(keys, at_us), None
        ones = np.ones(len(keys))
        new = np.stack(
            [old[:, 0] + count, old[:, 1] + exposure, old[:, 2] + ones, np.maximum(old[:, 3], count)], axis=1
        )
        self._keys.put(keys, new, at_us)
        told = np.isfinite(mean)
        known = np.where(told, mean, 0.0)
        held = np.minimum(count, _JUMP * known + 10)
        weight = (1 + known) ** 2
        scatter = np.where(told, ((held - known) ** 2 - known) / weight, 0.0)
        self._kinds.add_at(
            *distinct_of(kinds), np.stack([np.log1p(count), ones, scatter, known**2 / weight], axis=1), at_us
        )

    def snapshot(self, name: str) -> Frames:
        """Three frames under `name`."""
        return {
            f"{name}.keys": self._keys.snapshot(),
            f"{name}.kinds": self._kinds.snapshot(),
            f"{name}.age": self._since.snapshot(),
        }

    def restore(self, name: str, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._asked = None
        self._keys.restore(frames[f"{name}.keys"])
        self._kinds.restore(frames[f"{name}.kinds"])
        self._since.restore(frames[f"{name}.age"])


def common_mode(groups: Keys, jump: Floats, *, least: int = 4) -> Floats:
    """How much of a jump each member shares with its group: the group's median jump, never below 1.

    A group needs `least` members, so that one of them alone cannot excuse itself. Deploys, failovers and clock changes
    move a whole group at once.
    """
    out = np.ones(len(groups))
    if len(groups) < least:
        return out
    distinct, each = distinct_of(groups)
    kind = np.uint16 if len(distinct) <= 1 << 16 else np.int64  # of so few ranks a stable order takes no comparison
    order = np.argsort(jump)
    order = order[np.argsort(each[order].astype(kind), kind="stable")]
    sorted_groups = each[order]
    starts = np.flatnonzero(np.r_[True, sorted_groups[1:] != sorted_groups[:-1]])
    sizes = np.diff(np.r_[starts, len(groups)])
    ranked = jump[order]
    low, high = starts + (sizes - 1) // 2, starts + sizes // 2
    median = np.where(sizes >= least, (ranked[low] + ranked[high]) / 2, 1.0)
    out[order] = np.repeat(np.maximum(median, 1.0), sizes)
    return out
