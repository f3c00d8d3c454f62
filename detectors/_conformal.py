"""What a p-value is worth: how often something at least as odd was seen among what is harmless, kind by kind.

A law with one scatter for a whole kind is right on the average and wrong in the tail, where alerts are made. So what
the law calls one in a million is held against the surprises that the same kind of key really had: a conformal p-value
(Vovk, Gammerman, Shafer 2005), of which no more is known than one in their number. Beyond the forty largest the tail
goes on as an exponential law whose median is theirs. Until a kind has shown its own, the law is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._memory import Keys, Table
from detectors._tails import Floats

if TYPE_CHECKING:
    from pipeline.core.model import Frames

LEVELS: Final = (1e-2, 1e-3, 1e-4)  # at which it is counted how often they come true
SAMPLE: Final = 4_096  # keys of a window that are learned from; more would add nothing but their cost
_HALF_LIFE_US: Final = 30 * 86_400_000_000.0
_KINDS: Final = 1_024
_WIDTH: Final = 0.1
_EDGES: Final = np.arange(128) * _WIDTH
_LAW: Final = 10.0**-_EDGES
_BELIEF: Final = 1_000.0  # surprises that the law alone is worth
_TAIL: Final = 40.0
_ODD: Final = 2.0  # surprises from here on may have come together
_TOGETHER: Final = (3.0, 0.05)  # what a window's odd ones of a kind count for at most, and of its keys: one cause
_MEDIANS: Final = (0.1, 3.0)  # of the tail; where the law holds it is log10(2)


class Conformal:
    """Histograms of surprises (-log10 p) by kind, 1 KB each, halved every 30 days. They add up over shards.

    A surprise is that of the whole test: zero where anything else about a count kept it from being told.
    """

    def __init__(self) -> None:
        self._seen = Table(len(_EDGES), _KINDS, _HALF_LIFE_US)
        self._checked = np.zeros(1 + len(LEVELS))

    def worth(self, kinds: Keys, surprise: Floats, at_us: int) -> Floats:
        """-log10 of the conformal p-value of each, in its kind; `kinds` may hold 0 for what is believed as it is."""
        out = surprise.copy()
        asked = np.flatnonzero((surprise > 0) & (kinds != 0))
        if len(asked):
            distinct, place = np.unique(kinds[asked], return_inverse=True)
            for i, counts in enumerate(self._seen.get(distinct, at_us)):
                mine = asked[place == i]
                out[mine] = _worth(counts, surprise[mine])
        return out

    def learn(self, kinds: Keys, surprise: Floats, at_us: int) -> None:
        """Add the surprises of a closed window, those of zero, too; of a large window one in so many."""
        every = max(-(-len(kinds) // SAMPLE), 1)
        kinds, surprise = kinds[::every], surprise[::every]
        known = kinds != 0
        kinds, surprise = kinds[known], surprise[known]
        if not len(kinds):
            return
        worth = self.worth(kinds, surprise, at_us)
        self._checked += np.array([len(worth), *(np.count_nonzero(worth >= -np.log10(level)) for level in LEVELS)])
        distinct, place = np.unique(kinds, return_inverse=True)
        odd = surprise >= _ODD
        weight = np.ones(len(surprise))
        most = _TOGETHER[0] + _TOGETHER[1] * np.bincount(place, minlength=len(distinct))
        together = np.bincount(place[odd], minlength=len(distinct))
        weight[odd] = np.minimum(1.0, most[place[odd]] / together[place[odd]])
        bins = np.minimum(surprise / _WIDTH, len(_EDGES) - 1).astype(np.int64)
        flat = np.bincount(place * len(_EDGES) + bins, weights=weight, minlength=len(distinct) * len(_EDGES))
        self._seen.add(distinct, flat.reshape(len(distinct), len(_EDGES)).astype(np.float64), at_us)

    def snapshot(self, name: str) -> Frames:
        """Two frames under `name`; `checked` has columns nominal and n, how often that level came true (1: asked)."""
        checked = pl.DataFrame({"nominal": [1.0, *LEVELS], "n": self._checked.copy()})
        return {f"{name}.tails": self._seen.cells(), f"{name}.checked": checked}

    def restore(self, name: str, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if f"{name}.tails" not in frames:
            return
        self._seen.refill(frames[f"{name}.tails"])
        self._checked = frames[f"{name}.checked"]["n"].to_numpy().astype(np.float64)


def _worth(counts: Floats, surprise: Floats) -> Floats:
    """`counts` are one kind's, by _EDGES."""
    logs = np.log10(np.cumsum(counts[::-1])[::-1] + _BELIEF * _LAW)
    end = int(np.searchsorted(-logs, -np.log10(_TAIL), "right")) - 1  # the last edge that so many lie beyond
    median = np.interp(np.log10(2) - logs[end], -logs[end:], _EDGES[end:]) - _EDGES[end]
    steepness = np.log10(2) / np.clip(median, *_MEDIANS)
    beyond = np.maximum(surprise - _EDGES[end], 0.0) * steepness
    within = np.interp(np.minimum(surprise, _EDGES[end]), _EDGES[: end + 1], logs[: end + 1])
    return np.asarray(logs[0] - within + beyond)
