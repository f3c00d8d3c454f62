"""What a window of operations, or another history, does to the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.baselines import season
from pipeline.baselines.exposure import DAY
from pipeline.baselines.sketch import REGISTERS, bits_add, hll_add
from pipeline.baselines.table import SUCCEEDED, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.baselines.season import Floats
    from pipeline.baselines.sketch import Rows
    from pipeline.core.hashing import U64

_DAYS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """Operations of one scope: entry i is `count[i]` operations of row `row[i]` of `slots`, which are distinct.

    `time` and `last` in µs are of the first and the last of them, `hour` (since 1970) is the one they count in;
    `address` is the hash of the client address, where `addressed`.
    """

    slots: Rows
    row: Rows
    count: Rows
    time: Rows
    last: Rows
    hour: Rows
    succeeded: npt.NDArray[np.bool_]
    address: U64
    addressed: npt.NDArray[np.bool_]


def learn(table: Table, seen: Seen, seeds: U64, end_us: int, half_life_us: int) -> None:
    """Add the operations of a window that ends at `end_us`. `seeds` (one per slot) name the keys for the rounding."""
    slots, size = seen.slots, len(seen.slots)
    count = _counts(seen.row, seen, size)
    _age(table, slots, np.full(size, end_us // 1_000_000), half_life_us)
    table["shape"][slots] += count.astype(np.float32)
    table["operations"][slots] += count
    _learn_times(table, seen, size)
    succeeded = np.zeros(size, bool)
    succeeded[seen.row[seen.succeeded]] = True
    table["flags"][slots[succeeded]] |= SUCCEEDED
    _learn_season(table, seen, count, seeds ^ np.uint64(end_us))
    rows, hashes = slots[seen.row[seen.addressed]], seen.address[seen.addressed]
    spread = table["spread"]
    (hll_add if spread.shape[1] == REGISTERS else bits_add)(spread, rows, hashes)


def _counts(row: Rows, seen: Seen, size: int) -> Rows:
    """Operations per row; sums of whole numbers below 2^53, so exact."""
    return np.bincount(row, weights=seen.count, minlength=size).astype(np.int64)


def _age(table: Table, slots: Rows, to_s: Rows, half_life_us: int) -> None:
    """Decay the rows to `to_s` (s since 1970), never backwards. A row not touched yet has nothing to decay."""
    since = table["touched"][slots].astype(np.int64)
    to_s = np.maximum(since, to_s)
    step_us = half_life_us // season.PER_OCTAVE
    table["shape"][slots] *= np.exp2((since - to_s) * (1e6 / half_life_us)).astype(np.float32)
    season.decay(table["season"], slots, to_s * 1_000_000 // step_us - since * 1_000_000 // step_us)
    table["touched"][slots] = to_s


def _learn_times(table: Table, seen: Seen, size: int) -> None:
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    if len(seen.row) == size:  # each row once
        first[seen.row], last[seen.row] = seen.time, seen.last
    else:
        np.minimum.at(first, seen.row, seen.time)
        np.maximum.at(last, seen.row, seen.last)
    days = np.ones(size, np.uint64)
    if (first // DAY < last // DAY).any():
        for time in (seen.time, seen.last):
            back = (last // DAY)[seen.row] - time // DAY
            near = back < _DAYS_KEPT
            np.bitwise_or.at(days, seen.row[near], np.uint64(1) << back[near].astype(np.uint64))
    slots = seen.slots
    known = {name: table[name][slots] for name in ("last", "days", "older")}
    table["days"][slots], table["older"][slots] = joined_days(known, {"last": last, "days": days, "older": 0})
    table["first"][slots] = np.minimum(table["first"][slots], first)
    table["last"][slots] = np.maximum(known["last"], last)


def joined_days(left: dict[str, Any], right: dict[str, Any]) -> tuple[U64, npt.NDArray[np.uint16]]:
    """Days and older days of two histories together. Exact within 64 days; of the days before, the larger number."""
    newest = np.maximum(left["last"], right["last"]) // DAY
    moved = [_moved_days(side["days"], side["older"], newest - side["last"] // DAY) for side in (left, right)]
    return moved[0][0] | moved[1][0], np.maximum(moved[0][1], moved[1][1])


def _moved_days(days: U64, older: Any, by: Rows) -> tuple[U64, npt.NDArray[np.uint16]]:
    if not by.any():
        return days, np.asarray(older, np.uint16)
    by = np.minimum(by.astype(np.uint64), _DAYS_KEPT)  # a blank row's `last` lies before everything
    kept = np.where(by < _DAYS_KEPT, days << np.minimum(by, 63), np.uint64(0))
    gone = np.bitwise_count(days).astype(np.int64) - np.bitwise_count(kept)
    return kept, np.minimum(older + gone, 65_535).astype(np.uint16)


def _learn_season(table: Table, seen: Seen, count: Rows, seeds: U64) -> None:
    """Add to hours and weekdays; a window of an hour mostly holds one of each, and then there is nothing to group."""
    hours = seen.hour
    if len(hours) and (hours == hours[0]).all():
        for at in season.cells_at(int(hours[0])):
            season.add(table["season"], seen.slots, np.full(1, at), count, seeds)
        return
    for cell in season.cells_at(hours):
        pair, which = np.unique(seen.row * season.WIDTH + cell, return_inverse=True)
        row, some = pair // season.WIDTH, _counts(which, seen, len(pair))
        season.add(table["season"], seen.slots[row], pair % season.WIDTH, some, seeds[row])


def merge(table: Table, slots: Rows, other: dict[str, Any], half_life_us: int) -> None:
    """Join rows of another table (`Table.take`) to the rows at `slots`, which may be blank."""
    guest = Table(table.layout)
    rows = guest.add(len(slots))
    for name, values in other.items():
        guest[name][:] = values
    to_s = np.maximum(table["touched"][slots], guest["touched"]).astype(np.int64)
    _age(table, slots, to_s, half_life_us)
    _age(guest, rows, to_s, half_life_us)
    mine = table.take(slots)
    table["days"][slots], table["older"][slots] = joined_days(mine, {n: guest[n] for n in ("last", "days", "older")})
    for name, join in _JOINS.items():
        if name in table.layout:
            table[name][slots] = join(mine[name], guest[name])
    spread = np.maximum if guest["spread"].shape[1] == REGISTERS else np.bitwise_or
    table["spread"][slots] = spread(mine["spread"], guest["spread"])


_JOINS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "first": np.minimum,
    "last": np.maximum,
    "operations": np.add,
    "shape": np.add,
    "flags": np.bitwise_or,
    "season": season.joined,
}


def shape_at(table: Table, slots: Rows, at_us: int, half_life_us: int) -> Floats:
    """The decayed number of operations at `at_us`."""
    age = np.maximum(at_us // 1_000_000 - table["touched"][slots].astype(np.int64), 0)
    return np.asarray(table["shape"][slots] * np.exp2(age * (-1e6 / half_life_us)))
