"""How many principals addresses have: each address for itself, and all that are used by those of one auth mount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from detectors import _tails
from detectors._memory import Keys, Table
from pipeline.core.clock import DAY_US

if TYPE_CHECKING:
    from detectors._usual import Floats
    from pipeline.core.model import Frames

_LEVELS: Final = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])  # principals, from which on an address is counted as such
_SORTS: Final = 1_024
_HALF_LIFE_US: Final = 30.0 * DAY_US
_BORROWED: Final = 10.0  # windows' worth of belief in what such addresses have in common
_SORT_BORROWED: Final = 50.0
_ABOVE: Final = 1.5  # times the most that the address ever had
_USUAL_MOST: Final = 2.0  # at any address: names are renewed, addresses given to another


class Crowds:
    """Per address the windows it was seen in and the most principals at once, 32 bytes; per sort a count a level."""

    def __init__(self, limit: int) -> None:
        self._addresses = Table(2, limit, _HALF_LIFE_US)
        self._sorts = Table(len(_LEVELS) + 1, _SORTS, _HALF_LIFE_US)  # addresses of each level; the most of all

    def surprise(self, address: Keys, sort: Keys, n: Floats, at_us: int, windows: float) -> Floats:
        """-log10 of the chance that an address is used by `n` principals in a window.

        0 for what is no more than half again what it had before, and for sorts seen in fewer than `windows`.
        """
        levels = self._sorts.get(sort, at_us)
        seen, most = self._addresses.get(address, at_us).T
        there = np.searchsorted(_LEVELS, n, "right") - 1
        alike, all_of_them = levels[np.arange(len(n)), there], levels[:, 0]
        habit = (alike + 0.5) / (all_of_them + _SORT_BORROWED)
        beyond = np.log2(n / np.maximum(levels[:, -1], _USUAL_MOST))
        told = _tails.surprise(habit * _BORROWED / (seen + _BORROWED)) + np.maximum(beyond, 0.0)
        return np.where((n > _ABOVE * most) & (all_of_them >= windows), told, 0.0)

    def most(self, address: Keys, sort: Keys, at_us: int) -> tuple[Floats, Floats]:
        """The most principals that each address had in a window, and any of its sort."""
        return self._addresses.get(address, at_us)[:, 1], self._sorts.get(sort, at_us)[:, -1]

    def learn(self, address: Keys, sort: Keys, n: Floats, at_us: int) -> None:
        """Add a closed window: of every address and sort one row."""
        old = self._addresses.get(address, at_us)
        self._addresses.put(address, np.stack([old[:, 0] + 1.0, np.maximum(old[:, 1], n)], axis=1), at_us)
        sorts, each = np.unique(sort, return_inverse=True)
        levels = self._sorts.get(sorts, at_us)
        for level, least in enumerate(_LEVELS):
            levels[:, level] += np.bincount(each[n >= least], minlength=len(sorts))
        np.maximum.at(levels[:, -1], each, n)
        self._sorts.put(sorts, levels, at_us)

    def snapshot(self) -> Frames:
        """Frames addresses and sorts."""
        return {"addresses": self._addresses.snapshot(), "sorts": self._sorts.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._addresses.restore(frames["addresses"])
        self._sorts.restore(frames["sorts"])
