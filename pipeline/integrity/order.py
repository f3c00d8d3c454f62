"""The canonical order of events over all streams.

A store stamps entries before it takes the file's lock, so a stream steps back by milliseconds; two devices interleave.
Everything with memory must nevertheless see one sequence, the same however the streams were cut into batches. So each
event gets an `order_time` that depends on its own stream alone, and events are released in the order (order_time,
stream, place in the stream) as soon as no stream can still bring an earlier one.

    order_time = max(time, newest time of the stream so far - allowed disorder)

An event that leaps more than `leap` ahead is held until `support` further events of its stream confirm the new time;
contradicted, it is an outlier (a clock a year off) and is placed where its neighbours are. After `support` * 8 events
in a row that lie more than `leap` back, the stream's clock is taken to have been set back and its order starts anew:
a turn. So it is after LATE_MAX in a row that come later than the disorder allows, however little (an hour that is
written again): they would all wait at one and the same order_time. What came before a turn is over first, so that it
is the same whether it falls into a batch or between two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.core.clock import ALWAYS, NEVER
from pipeline.core.owned import few_pieces
from pipeline.core.schema import EVENT, TIME, conform, empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.core.model import Frames, Ints

MAX_UNCONFIRMED_LEAP_US = 30 * 86_400_000_000
LATE_MAX = 10_000


@dataclass(slots=True)
class _Stream:
    """One stream's clock. `held` are events that leapt ahead and wait for confirmation."""

    newest: int = NEVER
    back: int = 0  # events in a row that lie more than a leap back
    late: int = 0  # events in a row that came later than the disorder allows
    turning: bool = False  # the next event begins a new order
    held: pl.DataFrame = field(default_factory=lambda: empty(EVENT))
    frames: list[pl.DataFrame] = field(default_factory=list)


class Sequencer:
    """Releases events in canonical order. Holds at most what lies within the disorder, or what other streams lag."""

    def __init__(self, disorder_us: int = 500_000, leap_us: int = 3_600_000_000, support: int = 8) -> None:
        self.disorder_us = disorder_us
        self.leap_us = leap_us
        self.support = support
        self._streams: dict[str, _Stream] = {}
        self._out: list[pl.DataFrame] = []

    def progress(self) -> Mapping[str, int]:
        """The newest trusted event time of each stream, in µs."""
        return {name: s.newest for name, s in self._streams.items()}

    def push(self, stream: str, events: pl.DataFrame) -> pl.DataFrame:
        """Take events (schema.EVENT) of one stream in the order they stand in it; `order_time` is set here.

        Gives those that come after a turn. They are to be pushed when all that came before is dealt with.
        """
        if events.is_empty():
            return events
        state = self._streams.setdefault(stream, _Stream())
        if state.turning:
            state.turning, state.newest = False, int(events["time"].to_physical()[0])
        if not state.held.is_empty():
            events = pl.concat([state.held, events])
            state.held = empty(EVENT)
        times = events["time"].to_physical().to_numpy()
        return self._place(state, events, times)

    def _place(self, state: _Stream, events: pl.DataFrame, times: Ints) -> pl.DataFrame:
        newest = np.maximum.accumulate(np.maximum(times, state.newest))
        before = np.concatenate(([state.newest], newest[:-1]))
        calm = not ((times > before + self.leap_us).any() or (times < newest - self.leap_us).any())
        longest, late = _runs(times < newest - self.disorder_us, state.late)
        if calm and longest < LATE_MAX:
            state.back, state.late = 0, late
            state.newest = int(newest[-1])
            self._keep(state, events, np.maximum(times, newest - self.disorder_us))
            return events.clear()
        return self._walk(state, events, times)

    def _walk(self, state: _Stream, events: pl.DataFrame, times: Ints) -> pl.DataFrame:
        """The careful way for a batch in which a clock leaps: event by event, same rule whatever the cuts."""
        placed = np.empty(len(times), dtype=np.int64)
        start = 0  # events before it are kept already
        hold: int | None = None
        for i, time in enumerate(times.tolist()):
            if hold is not None:
                if time >= int(times[hold]) - self.leap_us and i - hold < self.support:
                    continue
                confirmed = time >= int(times[hold]) - self.leap_us
                if state.newest == NEVER and not confirmed:
                    state.newest = time
                self._settle(state, times, placed, hold, i, confirmed=confirmed)
                hold = None
            if time > state.newest + self.leap_us:
                hold = i
                continue
            state.back = state.back + 1 if time < state.newest - self.leap_us else 0
            state.late = state.late + 1 if time < state.newest - self.disorder_us else 0
            if state.back >= self.support * 8 or state.late >= LATE_MAX:
                self._keep(state, events[start:i], placed[start:i])
                state.turning, state.back, state.late = True, 0, 0
                return events[i:]
            state.newest = max(state.newest, time)
            placed[i] = max(time, state.newest - self.disorder_us)
        end = len(times) if hold is None else hold
        self._keep(state, events[start:end], placed[start:end])
        if hold is not None:
            state.held = events[hold:]
        return events.clear()

    def _settle(self, state: _Stream, times: Ints, placed: Ints, hold: int, end: int, *, confirmed: bool) -> None:
        for j in range(hold, end):
            if confirmed:
                state.newest = max(state.newest, int(times[j]))
                placed[j] = max(int(times[j]), state.newest - self.disorder_us)
            else:
                placed[j] = state.newest

    def _keep(self, state: _Stream, events: pl.DataFrame, placed: Ints) -> None:
        if events.is_empty():
            return
        order = pl.Series("order_time", placed, dtype=pl.Int64).cast(TIME)
        state.frames.append(events.with_columns(order))

    def watermark(self, live: Mapping[str, bool]) -> int:
        """No event with an order_time below this can still come. `live` maps each stream to "more may come".

        What an ended stream held for confirmation is taken as it is: nothing will confirm it, and it must not be late.
        """
        self._confirm(name for name, more in live.items() if not more)
        marks = [
            (self._streams[name].newest if name in self._streams else NEVER) - self.disorder_us
            for name, more in live.items()
            if more
        ]
        return min(marks, default=ALWAYS)

    def marks(self, watermark: int, rows: int) -> list[int]:
        """Watermarks on the way to `watermark`, each of which releases about `rows` events more than the one before."""
        waiting = [f["order_time"].to_physical().to_numpy() for s in self._streams.values() for f in s.frames]
        times = np.concatenate(waiting) if waiting else np.empty(0, np.int64)
        due = times[times < watermark]
        steps = len(due) // rows  # none between for what is little more than `rows`
        if steps < 2:
            return []
        cuts = np.arange(1, steps) * rows
        return sorted(set(np.partition(due, cuts)[cuts].tolist()))

    def release(self, watermark: int) -> pl.DataFrame:
        """Every event with an order_time below `watermark`, in canonical order."""
        for name in sorted(self._streams):
            state = self._streams[name]
            if not state.frames:
                continue
            frame = pl.concat(state.frames) if len(state.frames) > 1 else state.frames[0]
            due = frame["order_time"].to_physical() < watermark
            self._out.append(frame.filter(due))
            rest = few_pieces(frame.filter(~due))
            state.frames = [rest] if len(rest) else []
        return self._drain()

    def confirm(self) -> None:
        """The streams have ended for now: take what was held for confirmation as it is.

        A leap of more than thirty days that nothing confirms stays an outlier.
        """
        self._confirm(self._streams)

    def _confirm(self, streams: Iterable[str]) -> None:
        for state in [self._streams[name] for name in streams if name in self._streams]:
            if state.held.is_empty():
                continue
            events, state.held = state.held, empty(EVENT)
            times = events["time"].to_physical().to_numpy()
            placed = np.empty(len(times), dtype=np.int64)
            believable = state.newest == NEVER or int(times[0]) - state.newest <= MAX_UNCONFIRMED_LEAP_US
            self._settle(state, times, placed, 0, len(times), confirmed=believable)
            self._keep(state, events, placed)

    def _drain(self) -> pl.DataFrame:
        frames, self._out = [f for f in self._out if len(f)], []
        if not frames:
            return empty(EVENT)
        merged = pl.concat(frames) if len(frames) > 1 else frames[0]
        times = merged["order_time"].to_physical().to_numpy()
        if len(frames) == 1 and not (np.diff(times) < 0).any():
            return merged
        return merged.sort("order_time", "source", maintain_order=True)

    def snapshot(self) -> Frames:
        """Clocks, and the events that wait."""
        rows = [(n, s.newest, s.back, s.late) for n, s in sorted(self._streams.items())]
        waiting = [f for s in self._streams.values() for f in s.frames]
        held = [s.held for s in self._streams.values() if len(s.held)]
        return {
            "clocks": pl.DataFrame(
                rows,
                schema={"stream": pl.String, "newest": pl.Int64, "back": pl.Int64, "late": pl.Int64},
                orient="row",
            ),
            "waiting": pl.concat(waiting) if waiting else empty(EVENT),
            "held": pl.concat(held) if held else empty(EVENT),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._streams = {n: _Stream(newest=t, back=b, late=late) for n, t, b, late in frames["clocks"].iter_rows()}
        for (source,), part in frames["waiting"].group_by("source", maintain_order=True):
            self._streams.setdefault(str(source), _Stream()).frames = [conform(part, EVENT)]
        for (source,), part in frames["held"].group_by("source", maintain_order=True):
            self._streams.setdefault(str(source), _Stream()).held = conform(part, EVENT)


def _runs(flags: npt.NDArray[np.bool_], before: int) -> tuple[int, int]:
    """The longest run of true flags, and the run at their end; `before` of them came just before the first."""
    breaks = np.flatnonzero(~flags)
    if not len(breaks):
        return before + len(flags), before + len(flags)
    inner = int(np.diff(breaks).max(initial=1)) - 1
    return max(before + int(breaks[0]), inner, len(flags) - 1 - int(breaks[-1])), len(flags) - 1 - int(breaks[-1])
