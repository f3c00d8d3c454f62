"""When in the day and in the week a key is active: 24 + 7 counts in 32 bytes.

A cell is a logarithmic code: 0 is nothing, code c stands for 2**((c - 1) / 16 - 4) units, one unit being 2**scale
operations; the scale is the row's last byte. A half-life is thus exactly 16 codes, and decay costs no precision: it
takes whole codes away. Adding rounds up or down at random in the right proportion (Morris, CACM 1978), where the
random number is a hash of key, time and cell, so that the same history always gives the same bytes.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.baselines.sketch import U8, Rows
from pipeline.core.hashing import U64, mix

Floats = npt.NDArray[np.float64]
Hours = TypeVar("Hours", int, Rows)

WIDTH: Final = 32
HOURS: Final = slice(0, 24)
WEEKDAYS: Final = slice(24, 31)
PER_OCTAVE: Final = 16
_SCALE = 31  # all bits of a place within a row
_VALUES: Final = np.concatenate([[0.0], np.exp2(np.arange(255) / PER_OCTAVE - 4)])
_COARSE: Final = _VALUES.astype(np.float32)  # halves the traffic where only a sum is wanted
_TOP = float(_VALUES[255])
_MANY: Final = 64  # operations; sums with so many at most are looked up
_FAR = 1 << 20  # below any code
_ROOM = 255 - 2 * PER_OCTAVE  # below this a coarse scale is finer than it need be


def cells_at(hours: Hours) -> tuple[Hours, Hours]:
    """The hour's cell and the weekday's cell (Monday first) of hours since 1970, a Thursday."""
    return hours % 24, WEEKDAYS.start + (hours // 24 + 3) % 7


def add(cells: U8, rows: Rows, cell: Rows, counts: Rows, seeds: U64) -> None:
    """Add `counts` to `cells[rows, cell]` (n x 32, changed in place); no pair of row and cell twice.

    `cell` may be one for all.
    """
    chance = (mix(seeds ^ mix(cell.astype(np.uint64))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    at = rows * WIDTH + cell
    low, share = _added(cells, at, counts)
    cells.reshape(-1)[at] = low + (chance < share)


def _added(cells: U8, at: Rows, counts: Rows) -> tuple[Rows, Floats]:
    """The codes below the sums, and how far these are on the way to the next ones; rows get the scale they need."""
    flat = cells.reshape(-1)
    few = (counts <= _MANY) & (flat.take(at | _SCALE) == 0)
    pair = np.where(few, counts, 0).astype(np.int64) * 256 + flat.take(at)
    low, share = _LOW.take(pair), _SHARE.take(pair)
    if len(rest := np.flatnonzero(~few | (low >= 255))):
        low[rest], share[rest] = _summed(cells, at[rest], counts[rest])
        if flat.take(at[few] | _SCALE).any():  # another cell of the row made its scale coarser
            return _summed(cells, at, counts)
    return low, share


def _summed(cells: U8, at: Rows, counts: Rows) -> tuple[Rows, Floats]:
    flat = cells.reshape(-1)
    while True:
        values = _VALUES[flat[at]] + counts * np.exp2(-flat[at | _SCALE].astype(np.float64))
        if not (over := values >= _TOP).any():
            return _between(values)
        _coarsen(cells, np.unique(at[over] // WIDTH))


def _between(values: Floats) -> tuple[Rows, Floats]:
    low = np.searchsorted(_VALUES, values, side="right") - 1
    return low, (values - _VALUES[low]) / (_VALUES[low + 1] - _VALUES[low])


def decay(cells: U8, rows: Rows, steps: Rows) -> None:
    """Age `cells[rows]` by `steps` sixteenths of a half-life."""
    old = np.flatnonzero(steps > 0)
    if not len(old):
        return
    rows, steps = rows[old], steps[old]
    codes = cells[rows]
    coarse = codes[:, _SCALE] > 0
    if coarse.any():
        _decay_coarse(cells, rows[coarse], steps[coarse])
        rows, steps, codes = rows[~coarse], steps[~coarse], codes[~coarse]
    codes -= np.minimum(codes, np.minimum(steps, 255).astype(np.uint8)[:, None])
    cells[rows] = codes


def _decay_coarse(cells: U8, rows: Rows, steps: Rows) -> None:
    """The same where a unit is more than an operation: it becomes finer as far as the codes have room."""
    codes = cells[rows, :_SCALE].astype(np.int64)
    aged = np.where(codes > 0, codes - steps[:, None], -_FAR)
    finer = np.clip((_ROOM - aged.max(axis=1, initial=-_FAR)) // PER_OCTAVE, 0, cells[rows, _SCALE])
    cells[rows, :_SCALE] = np.maximum(aged + finer[:, None] * PER_OCTAVE, 0).astype(np.uint8)
    cells[rows, _SCALE] -= finer.astype(np.uint8)


def joined(left: U8, right: U8) -> U8:
    """The cells of both histories together, to the nearest code."""
    total = counts(left) + counts(right)
    scale = np.ceil(np.log2(np.maximum(total.max(axis=1, initial=0.0), 1.0) / _TOP)).clip(0, 255)
    values = total * np.exp2(-scale)[:, None]
    high = np.searchsorted(_VALUES, values).clip(1, 255)
    nearer = values - _VALUES[high - 1] < _VALUES[high] - values
    cells = np.empty((len(left), WIDTH), np.uint8)
    cells[:, :_SCALE] = high - nearer
    cells[:, _SCALE] = scale
    return cells


def totals(cells: U8) -> tuple[Floats, Floats]:
    """Operations of each row, by its hours and by its weekdays: the same but for rounding."""
    unit = np.exp2(cells[:, _SCALE].astype(np.float64))
    by_hour, by_weekday = (
        np.take(_COARSE, cells[:, group], mode="clip").sum(axis=1, dtype=np.float64) for group in (HOURS, WEEKDAYS)
    )
    return by_hour * unit, by_weekday * unit


def counts(cells: U8, asked: slice | Rows = slice(0, _SCALE)) -> Floats:
    """The counts of the cells `asked` for in each row, in operations."""
    return np.asarray(np.take(_VALUES, cells[:, asked]) * np.exp2(cells[:, _SCALE].astype(np.float64))[:, None])


def _coarsen(cells: U8, rows: Rows) -> None:
    """One octave up: the unit of `rows` stands for twice as many operations."""
    codes = cells[rows, :_SCALE].astype(np.int64)
    cells[rows, :_SCALE] = np.maximum(codes - PER_OCTAVE, 0).astype(np.uint8)
    cells[rows, _SCALE] += np.uint8(1)


_SUMS: Final = np.minimum(_VALUES + np.arange(_MANY + 1)[:, None], _TOP).reshape(-1)
_LOW, _SHARE = _between(np.where(_SUMS < _TOP, _SUMS, 0.0))
_LOW[_SUMS >= _TOP] = 255
