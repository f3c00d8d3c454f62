"""Entries whose time lies behind, or far ahead of, that of their neighbours in the stream (V10).

    late        one or two entries: something was slow
    clock_step  more of them, or entries ahead of all others: a clock was set
    reordered   the same entries stand elsewhere on a second device: this stream's lines were moved

A store stamps an entry before it takes the file's lock, so time steps back by milliseconds; below two seconds nothing
is said. A run of such entries is judged a minute after it began, when all its operations are known: entries that other
devices told long before were moved, entries that this stream itself told before are duplicates and told as those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.clock import ALWAYS
from pipeline.core.schema import INTEGRITY, empty
from pipeline.integrity.pairing import HOLD_US, PAIR_TIMEOUT_US
from pipeline.integrity.places import HONEST_US, Row, first_and_last, frame, moment, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.model import Frames, Ints

    Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
    from pipeline.integrity.pairing import Paired

AHEAD_US: Final = 3_600_000_000
SUSTAINED: Final = 3  # entries in a row; fewer are `late`, not a clock that was set
JUDGED_US: Final = PAIR_TIMEOUT_US + 2 * HOLD_US  # after this long the operations of a run's entries are known
KEPT: Final = 10_000  # entries of a run that are known one by one

NEW, MOVED, AGAIN = 0, 1, 2  # what an entry turned out to be
_ENTRY: Final = pl.Schema(
    {
        "source": pl.String(), "run": pl.String(), "uid": pl.String(), "order": pl.Int64(), "time": pl.Int64(),
        "position": pl.Int64(), "kind": pl.Int8(), "ready": pl.Int64(),
    }
)  # fmt: skip
_RUN: Final = pl.Schema(
    {
        "source": pl.String(), "uid": pl.String(), "file": pl.String(), "ahead": pl.Boolean(), "newest": pl.Int64(),
        "leap_position": pl.Int64(), "leap_time": pl.Int64(), "count": pl.Int64(), "to_position": pl.Int64(),
        "to_time": pl.Int64(), "closed": pl.Int64(), "verdict": pl.String(), "told": pl.Int64(),
    }
)  # fmt: skip


@dataclass(slots=True)
class Run:
    """Odd entries of one stream, until its time has caught up; times in µs. `uid` is that of the first."""

    source: str
    uid: str
    file: str
    ahead: bool
    newest: int  # the stream's newest time when it began
    leap_position: int = -1  # the entry of that time; it stands before the run
    leap_time: int = 0
    count: int = 0
    to_position: int = 0
    to_time: int = 0
    closed: int = ALWAYS  # place in the canonical order of the entry after it
    verdict: str = ""
    told: int = 0  # how many entries were told
    entries: pl.DataFrame = field(default_factory=lambda: empty(_ENTRY))  # the first KEPT

    @property
    def start(self) -> int:
        """Where it begins in the canonical order."""
        return int(self.entries["order"][0])

    @property
    def due(self) -> int:
        """When it is judged first."""
        return self.start + JUDGED_US

    @property
    def over(self) -> int:
        """When nothing of it can change any more."""
        return ALWAYS if self.closed == ALWAYS else max(self.due, self.closed + JUDGED_US)


class Clocks:
    """Finds the runs in the canonical order and judges them by the operations their entries told of."""

    def __init__(self, disorder_us: int = HOLD_US) -> None:
        self.disorder_us = disorder_us  # that of the canonical order
        self._runs: list[Run] = []

    def push(self, released: pl.DataFrame, paired: Paired, watermark_us: int) -> pl.DataFrame:
        """INTEGRITY rows of the runs that are due. `released` is in canonical order, `paired` what became whole."""
        if released["probe"].any():
            released = released.filter(~pl.col("probe").fill_null(value=False))  # they are of no operation
        behind = (released["order_time"] - released["time"]).dt.total_microseconds().to_numpy()
        odd = (behind + self.disorder_us > HONEST_US) | (behind < -AHEAD_US)
        if not odd.any() and not self._runs:
            return empty(INTEGRITY)
        touched = {run.source for run in self._runs} | set(released.filter(pl.Series(odd))["source"].unique())
        for source in sorted(touched):
            mine = (released["source"] == source).to_numpy()
            self._follow(source, released.filter(pl.Series(mine)), behind[mine], odd[mine])
        self._resolve(paired)
        rows = [row for run in self._runs for row in self._judge(run, watermark_us)]
        self._runs = [run for run in self._runs if run.over >= watermark_us]
        return frame(first_and_last(rows))

    def _follow(self, source: str, events: pl.DataFrame, behind: Ints, odd: Flags) -> None:
        """Begin, grow and close the runs of one stream."""
        orders, times = (events[name].to_physical().to_numpy() for name in ("order_time", "time"))
        run = next((run for run in self._runs if run.source == source and run.closed == ALWAYS), None)
        at = 0
        while at < len(events):
            if run is None:
                start = at + _first(odd[at:])
                if start == len(events):
                    return
                first = events.row(start, named=True)
                newest = int(orders[start]) + self.disorder_us
                run = Run(source, first["uid"], first["file"], bool(behind[start] < 0), newest)
                self._runs.append(run)
                at = start
            end = at + _first(~odd[at:] if run.ahead else times[at:] >= run.newest)
            _grow(run, events[at:end].filter(pl.Series(odd[at:end])))
            if end < len(events):
                run.closed = int(orders[end])
                if times[end] == run.newest and not run.ahead:
                    run.leap_position, run.leap_time = int(events["position"][end]), run.newest
                run = None
            at = end

    def _resolve(self, paired: Paired) -> None:
        """What the entries of runs turned out to be, now that their operations are known."""
        wanted = [run.entries.filter(pl.col("kind").is_null())["uid"] for run in self._runs]
        if not any(map(len, wanted)):
            return
        told = paired.entries.filter(pl.col("uid").is_in(pl.concat(wanted).implode()))
        if told.is_empty():
            return
        again = pl.col("uid").is_in(paired.repeats["uid"].implode())
        kind = pl.when(again).then(AGAIN).when("copy").then(MOVED).otherwise(NEW).cast(pl.Int8)
        found = told.select("uid", kind_=kind, ready_=pl.col("complete_time").to_physical()).unique("uid", keep="first")
        for run in self._runs:
            joined = run.entries.join(found, on="uid", how="left", maintain_order="left")
            run.entries = joined.with_columns(
                kind=pl.coalesce("kind", "kind_"), ready=pl.coalesce("ready", "ready_")
            ).select(_ENTRY.names())

    def _judge(self, run: Run, watermark_us: int) -> Iterator[Row]:
        restarted = watermark_us < run.start - HONEST_US  # the order began anew: it does not reach `due` for long
        if not run.verdict:
            if run.due >= watermark_us and not restarted:
                return
            yield from self._tell(run, run.start if restarted else run.due, as_of=run.due)
        if run.over < watermark_us or watermark_us >= ALWAYS:
            yield from self._tell(run, min(run.over, run.due if run.closed == ALWAYS else run.over), as_of=ALWAYS)
        elif run.verdict not in ("", "duplicate") and run.told < run.count:
            yield _row(run, run.verdict, run.count, run.due)

    def _tell(self, run: Run, known: int, as_of: int) -> Iterator[Row]:
        """What a run is by what was known at `as_of`, if that is not what was told already."""
        seen = run.entries.filter(pl.col("order") <= as_of)
        kinds = seen.filter((pl.col("ready") <= as_of).fill_null(value=False))["kind"]
        again, moved = int((kinds == AGAIN).sum()), int((kinds == MOVED).sum())
        count = run.count if as_of >= ALWAYS or run.count > KEPT else len(seen)
        if again >= len(seen):
            verdict = "duplicate"
        elif moved > 0 and 2 * moved >= len(seen) - again:
            verdict = "reordered"
        else:
            verdict = "clock_step" if run.ahead or count >= SUSTAINED else "late"
        if (verdict, count) != (run.verdict, run.told):
            run.verdict, run.told = verdict, count
            if verdict != "duplicate":
                yield _row(run, verdict, count, known)

    def snapshot(self) -> Frames:
        """The runs that may still change."""
        rows = [tuple(getattr(run, name) for name in _RUN) for run in self._runs]
        entries = [run.entries.with_columns(run=pl.lit(run.uid)) for run in self._runs]
        return {
            "runs": pl.DataFrame(rows, schema=_RUN, orient="row"),
            "entries": pl.concat([empty(_ENTRY), *entries]),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._runs = [
            Run(**row, entries=frames["entries"].filter(source=row["source"], run=row["uid"]))
            for row in frames["runs"].to_dicts()
        ]


def _first(flags: Flags) -> int:
    """The place of the first true one; behind the last where there is none."""
    return int(flags.argmax()) if flags.any() else len(flags)


def _grow(run: Run, part: pl.DataFrame) -> None:
    """Add odd entries."""
    if part.is_empty():
        return
    rows = part.head(max(0, KEPT - len(run.entries))).select(
        "source", "uid", "position", run=pl.lit(run.uid), order=pl.col("order_time").to_physical(),
        time=pl.col("time").to_physical(), kind=pl.lit(None, pl.Int8), ready=pl.lit(None, pl.Int64),
    )  # fmt: skip
    run.entries = pl.concat([run.entries, rows.select(_ENTRY.names())])
    run.count += len(part)
    run.to_position, run.to_time = int(part["position"][-1]), int(part["time"].to_physical()[-1])


def _row(run: Run, verdict: str, count: int, known: int) -> Row:
    position, time = (int(run.entries[name][0]) for name in ("position", "time"))
    last, until = run.to_position, run.to_time
    if count < run.count:
        last, until = (int(run.entries[name][count - 1]) for name in ("position", "time"))
    if verdict == "reordered" and 0 <= run.leap_position < position:
        position = run.leap_position
    where = "ahead of" if run.ahead else "behind"
    evidence = f"{count} entries {where} their neighbours"
    if verdict == "reordered":
        evidence += ", which other devices have in their place"
    low, high = sorted((time, until))
    return {
        "source": run.source, "verdict": verdict, "from_position": position, "to_position": last,
        "from_time": moment(low), "to_time": moment(high), "count": count, "evidence": evidence, "file": run.file,
        "cause": "order" if verdict == "reordered" else "clock", "uid": place(run.source, "clock", run.uid),
        "known": moment(known),
    }  # fmt: skip
