"""How often something is new to those of a kind: what they read in an hour, or where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from detectors._memory import Keys, Table, lot
from pipeline.core.clock import DAY_US

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames, Window

_KINDS: Final = 256
_EVERY: Final = 8  # windows, of which one is looked at
_HALF_LIFE_US: Final = 14 * DAY_US  # to a young memory much is new; later on little is
_MOST: Final = 1.5  # surprise of something new, where hardly anything is
_FIRST: Final = 20.0  # added, so that a memory of a few hours does not call everything rare


class News:
    """Two numbers a kind: principals that were there in an hour, and those of them to whom something was new."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kinds = Table(2, _KINDS, _HALF_LIFE_US)

    @staticmethod
    def asks(window: Window) -> bool:
        """Whether a window is one that teaches."""
        return window.closed and lot(window.start_us, _EVERY) == 0

    def weight(self, kinds: Keys, at_us: int) -> Floats:
        """Surprise (-log10) of something new, for one of each kind."""
        there, new = self._kinds.get(kinds, at_us).T
        surprise: Floats = np.minimum(-np.log10((new + 0.5) / (there + _FIRST)), _MOST)
        return surprise

    def learn(self, kinds: Keys, new: Bools, at_us: int) -> None:
        """Add principals that were there, and whether something was new to each."""
        self._kinds.add(kinds, np.stack([np.ones(len(new)), new], axis=1).astype(np.float64), at_us)

    def snapshot(self) -> Frames:
        """One table, under the name."""
        return {self._name: self._kinds.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if self._name in frames:
            self._kinds.restore(frames[self._name])
