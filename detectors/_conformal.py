"""What a p-value is worth: how often something at least as odd was seen before, kind by kind.

A law with one scatter for a whole kind is right on the average and wrong in the tail, where alerts are made. So what
the law calls one in a million is held against the surprises that the same kind of key really had: a conformal p-value
(Vovk, Gammerman, Shafer 2005), of which no more is known than one in their number. Beyond the forty largest the tail
goes on as an exponential law whose median is theirs; what lies there is never held rarer than the law has it, unless
it was counted to be. Until a kind has shown forty, the law is believed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._memory import Keys, lot
from detectors._tails import Floats

if TYPE_CHECKING:
    from pipeline.core.model import Frames

LEVELS: Final = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # at which it is counted how often they come true
ASKED: Final = 1e-2  # from here on the whole test is made: what is learned of the tail must be what is told from it
SAMPLE: Final = 4_096  # keys of a window that are learned from; more would add nothing but their cost
_HALF_LIFE_US: Final = 30 * 86_400_000_000.0
_KINDS: Final = 1_024
_WIDTH: Final = 0.1
_EDGES: Final = np.arange(128) * _WIDTH
_TAIL: Final = 40.0
_ODD: Final = 2.0  # surprises from here on may have come together
_TOGETHER: Final = (3.0, 0.05)  # what a window's odd ones of a kind count for at most, and of its keys: one cause
_MEDIANS: Final = (float(np.log10(2)), 3.0)  # of the tail: where the law holds, and of the heaviest there may be


class Conformal:
    """Histograms of surprises (-log10 p) by kind, 1 KB each, halved every 30 days.

    A surprise is that of the whole test: zero where anything else about a count keeps it from being told. Which keys
    have a kind must not depend on how odd they are.
    """

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}  # of kinds in _counts
        self._counts = np.empty((0, len(_EDGES)))  # as of _at_us
        self._at_us = 0
        self._checked = np.zeros(1 + len(LEVELS))

    def worth(self, kinds: Keys, surprise: Floats, at_us: int) -> Floats:
        """-log10 of the conformal p-value of each, in its kind; `kinds` may hold 0 for what is believed as it is."""
        out = surprise.copy()
        asked = np.flatnonzero(surprise > 0)
        for kind in set(kinds[asked].tolist()) & self._rows.keys():
            mine = asked[kinds[asked] == kind]
            out[mine] = _worth(self._counts[self._rows[kind]] * self._left(at_us), surprise[mine])
        return out

    def learn(self, kinds: Keys, surprise: Floats, at_us: int) -> None:
        """Add the surprises of a closed window, those of zero, too; of a large one a sample, another each time."""
        every = max(-(-len(kinds) // SAMPLE), 1)
        first = lot(at_us, every)
        kinds, surprise = kinds[first::every], surprise[first::every]
        self._check(kinds, surprise, at_us)
        self._counts *= self._left(at_us)
        self._at_us = at_us  # also where a clock was set back: else nothing would be forgotten until it is there again
        odd = np.flatnonzero(surprise > 0)
        for kind, n in Counter(kinds.tolist()).items():
            if kind:
                place = self._row(kind)
                row = self._counts[place]
                mine = surprise[odd[kinds[odd] == kind]] if len(odd) else surprise[:0]
                row[0] += n - len(mine)
                if len(mine):
                    row += _histogram(mine, n)

    def _left(self, at_us: int) -> float:
        """What is left of the counts until then."""
        return float(np.exp2(-max(at_us - self._at_us, 0) / _HALF_LIFE_US)) if self._at_us else 1.0

    def _check(self, kinds: Keys, surprise: Floats, at_us: int) -> None:
        self._checked[0] += np.count_nonzero(kinds)
        if (surprise > 0).any():
            worth = self.worth(kinds, surprise, at_us)[kinds != 0]
            self._checked[1:] += [np.count_nonzero(worth >= -np.log10(level)) for level in LEVELS]

    def _row(self, kind: int) -> int:
        """Its place, made where there is none; with too many, the kind that showed least makes room."""
        if kind not in self._rows:
            if len(self._rows) >= _KINDS:
                least = min(self._rows, key=lambda known: (self._counts[self._rows[known]].sum(), known))
                self._rows[kind] = self._rows.pop(least)
                self._counts[self._rows[kind]] = 0
            else:
                self._rows[kind] = len(self._rows)
                self._counts = np.concatenate([self._counts, np.zeros((1, len(_EDGES)))])
        return self._rows[kind]

    def snapshot(self, name: str) -> Frames:
        """Two frames under `name`: `tails`, the cells that are not zero, by kind (key) and edge (column), as of `seen`;
        `checked` has columns nominal and n, how often that level came true (1: asked)."""
        row, column = np.nonzero(self._counts)
        keys = np.array(sorted(self._rows, key=self._rows.__getitem__), np.uint64)
        tails = pl.DataFrame(
            {
                "key": keys[row], "seen": np.full(len(row), self._at_us), "column": column.astype(np.int16),
                "value": self._counts[row, column],
            }
        )  # fmt: skip
        checked = pl.DataFrame({"nominal": [1.0, *LEVELS], "n": self._checked.copy()})
        return {f"{name}.tails": tails, f"{name}.checked": checked}

    def restore(self, name: str, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if f"{name}.tails" not in frames:
            return
        tails = frames[f"{name}.tails"]
        keys = tails["key"].unique(maintain_order=True).to_list()
        self._rows = {key: row for row, key in enumerate(keys)}
        self._counts = np.zeros((len(keys), len(_EDGES)))
        rows = [self._rows[key] for key in tails["key"].to_list()]
        self._counts[rows, tails["column"].to_numpy()] = tails["value"].to_numpy()
        self._at_us = tails["seen"][0] if len(tails) else 0
        checked = frames[f"{name}.checked"]
        if checked["nominal"].to_list() == [1.0, *LEVELS]:
            self._checked = checked["n"].to_numpy().astype(np.float64)


def _histogram(surprise: Floats, n: int) -> Floats:
    """By _EDGES; of the odd ones among `n` keys of a kind no more than what one cause may count for."""
    odd = surprise >= _ODD
    most = _TOGETHER[0] + _TOGETHER[1] * n
    weight = np.where(odd, min(1.0, most / max(int(odd.sum()), 1)), 1.0)
    bins = np.minimum(surprise / _WIDTH, len(_EDGES) - 1).astype(np.int64)
    return np.asarray(np.bincount(bins, weights=weight, minlength=len(_EDGES)))


def _worth(counts: Floats, surprise: Floats) -> Floats:
    """`counts` are one kind's, by _EDGES."""
    beyond = np.cumsum(counts[::-1])[::-1]
    shown = int(np.searchsorted(-beyond[1:], -_TAIL, "right"))  # the last edge that so many odd ones lie beyond
    if not shown:
        return surprise
    logs = np.log10(np.maximum(beyond, 1e-9))
    half = np.interp(_MEDIANS[0] - logs[shown], -logs[shown:], _EDGES[shown:], right=np.inf)  # or beyond the last edge
    median = np.clip(half - _EDGES[shown], *_MEDIANS)
    within = logs[0] - np.interp(np.minimum(surprise, _EDGES[shown]), _EDGES[: shown + 1], logs[: shown + 1])
    further = within + (surprise - _EDGES[shown]) * (_MEDIANS[0] / median)
    out: Floats = np.where(surprise > _EDGES[shown], np.minimum(further, np.maximum(surprise, within)), within)
    return out
