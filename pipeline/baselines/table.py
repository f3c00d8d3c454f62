"""One scope's profiles as a struct of arrays, grown by an eighth at a time.

column      bytes  what
first, last  16    µs since 1970 of the first and the last operation
operations    8    how many, ever
shape         4    how many, decayed: the Gamma shape at `touched`; its exposure follows from `first`
touched       4    s since 1970 up to which `shape` and the cells are decayed
days, older  10    bit i: active i days before the last one; number of active days before those 64
flags         1    see SUCCEEDED
season       32    see `season`
spread    64/16    client addresses met: registers for names, bits for edges
peers         4    names only: secrets of a principal, principals of a secret
key           8    edges only: principal id << 32 | secret id
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

if TYPE_CHECKING:
    from pipeline.baselines.sketch import Rows

SUCCEEDED: Final = np.uint8(1)  # flag: at least one operation was a success

Array = npt.NDArray[Any]
Layout = Mapping[str, tuple[type[np.generic], int]]  # column: type, and width where it is more than one value

_COMMON: Final[Layout] = {
    "first": (np.int64, 0),
    "last": (np.int64, 0),
    "operations": (np.int64, 0),
    "shape": (np.float32, 0),
    "touched": (np.uint32, 0),
    "days": (np.uint64, 0),
    "older": (np.uint16, 0),
    "flags": (np.uint8, 0),
    "season": (np.uint8, 32),
}
NAMES: Final[Layout] = {**_COMMON, "spread": (np.uint8, 64), "peers": (np.uint32, 0)}
EDGES: Final[Layout] = {**_COMMON, "spread": (np.uint8, 16), "key": (np.uint64, 0)}


class Table:
    """Rows of one layout. `table["last"]` is the live column, to be read and changed in place until the next `add`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.count = 0
        self._room = 0
        self._columns: dict[str, Array] = {name: _blank(kind, width, 0) for name, (kind, width) in layout.items()}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> Array:
        return self._columns[name][: self.count]

    def add(self, count: int) -> Rows:
        """`count` blank rows at the end; their slots."""
        begin, self.count = self.count, self.count + count
        if self.count > self._room:
            self._resize(max(self.count, self._room + self._room // 8, 1024))
        self["first"][begin:] = np.iinfo(np.int64).max
        self["last"][begin:] = np.iinfo(np.int64).min
        return np.arange(begin, self.count)

    def keep(self, slots: Rows) -> None:
        """Only these rows, in this order."""
        for name in self.layout:
            self._columns[name] = self[name][slots]
        self.count = self._room = len(slots)

    def coldest(self, count: int) -> npt.NDArray[np.bool_]:
        """A mask of the `count` rows that were seen longest ago; the older slot goes first among equals."""
        mask = np.zeros(self.count, bool)
        mask[np.argsort(self["last"], kind="stable")[:count]] = True
        return mask

    def take(self, slots: Rows) -> dict[str, Array]:
        """Copies of the columns at `slots`."""
        return {name: self[name][slots] for name in self.layout}

    def frame(self) -> pl.DataFrame:
        """A copy as a frame; a column wider than a value becomes uint64 columns name0, name1 …"""
        series: list[pl.Series] = []
        for name, (_, width) in self.layout.items():
            if not width:
                series.append(pl.Series(name, self[name].copy()))
                continue
            words = self[name].view("<u8")
            series += [pl.Series(f"{name}{i}", words[:, i].copy()) for i in range(width // 8)]
        return pl.DataFrame(series)

    def load(self, frame: pl.DataFrame) -> None:
        """Become what `frame` was taken from."""
        self.count = self._room = frame.height
        for name, (kind, width) in self.layout.items():
            if not width:
                self._columns[name] = frame[name].to_numpy().astype(kind)
                continue
            words = np.empty((frame.height, width // 8), "<u8")
            for i in range(width // 8):
                words[:, i] = frame[f"{name}{i}"].to_numpy()
            self._columns[name] = words.view(np.uint8)

    def _resize(self, room: int) -> None:
        for name, (kind, width) in self.layout.items():
            grown = _blank(kind, width, room)
            old = self._columns[name]
            grown[: len(old)] = old
            self._columns[name] = grown
        self._room = room


def _blank(kind: type[np.generic], width: int, count: int) -> Array:
    return np.zeros((count, width) if width else count, kind)
