"""One session in two networks within a window: roaming for some principals, a stolen token for most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined
from detectors._people import People
from detectors._usual import Floats

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

_SPLIT, _ACTIVE, _KIND, _KIND_ACTIVE = range(4)
_BORROWED: Final = 50.0
_INTERLEAVED: Final = 2.0  # surprise added when the session went back and forth instead of moving once
_KIND_OF: Final = pl.col("type").max()
_SPAN: Final = (_KIND_OF, pl.col("time").min(), pl.col("last_time").max())
_BACK: Final = (pl.len() > 1) & (pl.col("time").max() < pl.col("last_time").min())
_WIDTH: Final = (_KIND_OF, pl.len().alias("zones"), _BACK.alias("interleaved"))
_ZONES: Final = pl.col("zone").n_unique().alias("zones")
_ONE: Final = (
    pl.col("type").sort_by("session").first(),
    pl.lit(1, pl.UInt32).first().alias("zones"),
    pl.lit(value=False).first().alias("interleaved"),
    pl.col("session").min(),
)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Per principal the widest of its sessions; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # principal, kind, zones, interleaved, session; in the order of names
    principal: Keys
    kind: Keys

    @classmethod
    def of(cls, window: Window) -> Sessions | None:
        """None when no session can be told."""
        people = People.of(window)
        rows = people.rows.filter((pl.col("session") != "") & (pl.col("zone") != ""))
        if rows.is_empty():
            return None
        alone = rows.group_by("who", "session").agg(_KIND_OF, _ZONES)
        if (alone["zones"] == 1).all():
            each = people.named(alone.group_by("who").agg(_ONE).sort("who"))
        else:
            by_zone = rows.group_by("who", "session", "zone").agg(_SPAN)
            sessions = by_zone.group_by("who", "session").agg(_WIDTH)
            widest = sessions.sort(["who", "interleaved", "zones", "session"], descending=[False, True, True, False])
            each = people.named(widest.group_by("who", maintain_order=True).first())
        return cls(each.frame, each.keys, each.kinds)


class Overlap:
    """Remembers in how many windows a principal had a session in more than one zone."""

    def __init__(self, limit: int) -> None:
        self._tally = Table(1, limit)

    def _get(self, tag: int, keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, keys), 0)[:, 0])

    def surprise(self, sessions: Sessions, windows: int) -> Floats:
        """-log10 of the chance of such a session; 0 for one zone, and for principals seen in fewer windows."""
        seen = self._get(_ACTIVE, sessions.principal)
        habit = (self._get(_KIND, sessions.kind) + 0.5) / (self._get(_KIND_ACTIVE, sessions.kind) + _BORROWED)
        chance = (self._get(_SPLIT, sessions.principal) + habit * _BORROWED) / (seen + _BORROWED)
        split = (sessions.frame["zones"] > 1).to_numpy() & (seen >= windows)
        told = _tails.surprise(np.minimum(chance, 1.0)) + _INTERLEAVED * sessions.frame["interleaved"].to_numpy()
        return np.where(split, told, 0.0)

    def learn(self, sessions: Sessions, at_us: int) -> None:
        """Add a closed window."""
        split = (sessions.frame["zones"] > 1).to_numpy()
        for tag, keys in ((_ACTIVE, sessions.principal), (_KIND_ACTIVE, sessions.kind),
                          (_SPLIT, sessions.principal[split]), (_KIND, sessions.kind[split])):  # fmt: skip
            self._tally.add(joined(tag, keys), np.ones((len(keys), 1)), at_us)

    def snapshot(self) -> Frames:
        """The tallies."""
        return {"overlap": self._tally.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._tally.restore(frames["overlap"])
