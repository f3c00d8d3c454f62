"""Stretches of event time for the detectors that judge more than one operation.

A window takes operations by `complete_time`, which never steps back, so what is in it does not depend on how the
stream was cut. It holds counted rows (schema.WINDOW): memory follows what is distinct, not what is frequent.

Every few minutes of event time the window that is open is shown as far as it has come, if somebody does far more in it
than he ever did: what is loud need not wait for the end of the hour.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.model import Window
from pipeline.core.owned import OWN_ROWS, owned
from pipeline.core.schema import INTEGRITY, NOTABLE, PROBES, WINDOW, WINDOW_KEYS, conform, empty
from pipeline.looks import Looks
from pipeline.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.core.model import Frames

FOLD_ROWS = 100_000
_FEW: Final = 1_024  # rows: so many are sorted as soon as looked at
_START = pl.Schema({"start_us": pl.Int64(), "look_us": pl.Int64()})


@dataclass(slots=True)
class _Open:
    start_us: int
    look_us: int  # when it is to be looked at next
    counted: pl.DataFrame = field(default_factory=lambda: empty(WINDOW))
    loose: list[pl.DataFrame] = field(default_factory=list)  # WINDOW rows
    loose_rows: int = 0
    leaning: int = 0  # operations whose texts `loose` keeps alive
    raw: list[pl.DataFrame] = field(default_factory=list)  # OPERATION rows of this push
    unseen: list[Seen] = field(default_factory=list)  # what looks have not counted
    fresh: list[Seen] = field(default_factory=list)  # of it what came since the last moment to look


class Windows:
    """Cuts the stream of operations into windows of `seconds`, aligned to the epoch; looks every `look_seconds`."""

    def __init__(self, seconds: int, look_seconds: int | None = None) -> None:
        self.width_us = seconds * 1_000_000
        self._step_us = min(look_seconds or seconds, seconds) * 1_000_000
        self._open: _Open | None = None
        self._looks = Looks(self.width_us)

    def push(self, operations: pl.DataFrame, watermark_us: int) -> Iterator[Window]:
        """Add what was released and yield each window that is whole, and looks at open ones, in order.

        `profiles` is left for the line.
        """
        times = np.maximum.accumulate(operations["complete_time"].to_physical().to_numpy())
        place, count = 0, len(times)
        seen = Seen.of(operations) if count and self._step_us < self.width_us else None
        while place < count:
            yield from self._pass(int(times[place]))
            current = self._open = self._open or self._begin(int(times[place]))
            until_us = min(current.look_us, current.start_us + self.width_us)
            end = max(place + 1, int(np.searchsorted(times, until_us, "left")))
            current.raw.append(operations[place:end])
            if seen is not None:
                current.unseen.append(seen[place:end])
                current.fresh.append(current.unseen[-1])
            place = end
        yield from self._pass(watermark_us)
        if self._open is not None:
            self._tally(self._open)

    def _begin(self, at_us: int) -> _Open:
        start_us = at_us // self.width_us * self.width_us
        return _Open(start_us, (at_us // self._step_us + 1) * self._step_us)

    def _pass(self, at_us: int) -> Iterator[Window]:
        """Event time has come to `at_us`: the looks, and the end, of the window that was open until then."""
        while (current := self._open) is not None and at_us >= min(current.look_us, current.start_us + self.width_us):
            if current.look_us >= current.start_us + self.width_us:
                yield self._close()
                return
            looked_us = current.look_us
            current.look_us += self._step_us
            if self._nothing_new(current):
                continue
            self._hand_on(current)
            if rises := self._looks.due():
                yield replace(self._window(current, closed=False), looked_us=looked_us, rises=rises)

    def _nothing_new(self, current: _Open) -> bool:
        """Whether a look can be done without. What came then waits to be counted."""
        if not current.fresh:
            return True
        fresh, current.fresh = Seen.all(current.fresh), []
        return self._looks.idle(fresh, sum(map(len, current.unseen)))

    def turn(self) -> Iterator[Window]:
        """The clock was set back: the open window is over, and the next one may begin before it."""
        if self._open is not None:
            yield self._close()

    def current(self) -> Window | None:
        """The window that is still open, to be scored and not learned from."""
        return None if self._open is None else self._window(self._open, closed=False)

    def _tally(self, current: _Open) -> None:
        """Count what this push brought."""
        if current.raw:
            current.loose.append(count(pl.concat(current.raw)))
            current.loose_rows += len(current.loose[-1])
            current.leaning += sum(map(len, current.raw))
            current.raw = []
        if current.loose_rows > FOLD_ROWS:
            self._fold(current)
        if current.leaning >= OWN_ROWS:
            current.loose, current.leaning = [owned(pl.concat(current.loose))], 0
        if sum(map(len, current.unseen)) > FOLD_ROWS:
            self._hand_on(current)

    def _hand_on(self, current: _Open) -> None:
        self._looks.count(current.unseen)
        current.unseen, current.fresh = [], _told_shortly(current.fresh)

    def _fold(self, current: _Open) -> None:
        parts = [part for part in (current.counted, *current.loose) if len(part)]
        if current.loose and parts:
            current.counted = owned(recount(pl.concat(parts)) if len(parts) > 1 else parts[0])
        current.loose, current.loose_rows, current.leaning = [], 0, 0

    def _close(self) -> Window:
        assert self._open is not None  # noqa: S101  callers have just looked
        window = self._window(self._open, closed=True)
        self._hand_on(self._open)
        self._looks.close()
        self._open = None
        return window

    def _window(self, current: _Open, *, closed: bool) -> Window:
        self._tally(current)
        self._fold(current)
        end = current.start_us + self.width_us
        return Window(current.start_us, end, current.counted, empty(INTEGRITY), None, closed)

    def snapshot(self) -> Frames:
        """The open window, and what looks go by."""
        looks = {f"looks.{name}": frame for name, frame in self._looks.snapshot().items()}
        if (current := self._open) is None:
            return {"start": pl.DataFrame(schema=_START), **looks}
        return {
            "start": pl.DataFrame({"start_us": [current.start_us], "look_us": [current.look_us]}, schema=_START),
            "counted": self._window(current, closed=False).operations,
            "unseen": Seen.all(current.unseen).frame(),
            "fresh": Seen.all(_told_shortly(current.fresh)).frame(),
            **looks,
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot, also from one that knows nothing of looks."""
        self._open = None
        for row in frames["start"].iter_rows(named=True):
            look_us = row.get("look_us", row["start_us"] + self.width_us)
            self._open = _Open(row["start_us"], look_us, conform(frames["counted"], WINDOW))
            if "what" in frames.get("unseen", ()):
                self._open.unseen = [Seen.restored(frames["unseen"])]
                told = [Seen.restored(frames["fresh"])] if "fresh" in frames else []
                self._open.fresh = [part for part in (*self._open.unseen, *told) if len(part)]
        self._looks = Looks(self.width_us)
        mine = {name.removeprefix("looks."): frame for name, frame in frames.items() if name.startswith("looks.")}
        self._looks.restore(mine)


def _told_shortly(fresh: Sequence[Seen]) -> list[Seen]:
    """Of what is counted by now: the next look asks only whether anything came, and whether any of it was refused."""
    return [Seen.all(fresh).telling()] if any(map(len, fresh)) else []


def count(operations: pl.DataFrame) -> pl.DataFrame:
    """WINDOW rows of OPERATION rows."""
    return _counted(operations.select(_AS_COUNTED))


def recount(rows: pl.DataFrame) -> pl.DataFrame:
    """WINDOW rows of WINDOW rows: alike ones added up."""
    return _counted(rows)


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    return _in_order(rows).group_by(WINDOW_KEYS, maintain_order=True).agg(_TOGETHER)


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """By time and uid; mostly they are, and to see that costs a tenth of sorting."""
    times = rows["time"]
    if len(rows) > _FEW and not times.has_nulls():
        steps = np.diff(times.to_physical().to_numpy())
        same = np.flatnonzero(steps == 0)
        if (steps >= 0).all() and (rows["uid"].gather(same) <= rows["uid"].gather(same + 1)).all():
            return rows
    return rows.sort("time", "uid")


_BACK: Final = (pl.col("operation") == "write") & pl.col("path").str.starts_with(pl.col("mount") + "undelete/")
_APART: Final = (
    pl.col("operation").is_in(NOTABLE)
    | pl.col("path").str.starts_with(PROBES)
    | pl.col("flags").list.contains("version").fill_null(value=False)
    | _BACK.fill_null(value=False)
    | (pl.col("items") > 0).fill_null(value=False)
)
_ACT: Final = pl.when(_APART).then("path").alias("act")
_AS_COUNTED: Final = (
    *(_ACT if key == "act" else pl.col(key) for key in WINDOW_KEYS),
    pl.lit(1, pl.Int64).alias("n"), pl.col("items"), pl.col("time"), pl.col("time").alias("last_time"),
    pl.col("uid"), pl.col("path"),
)  # fmt: skip
_TOGETHER: Final = (
    pl.col("n", "items").sum(), pl.col("time").first(), pl.col("last_time").max(),
    pl.col("uid").first(), pl.col("path").first(),
)  # fmt: skip
