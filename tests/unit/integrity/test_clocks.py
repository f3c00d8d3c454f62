"""Runs of entries out of their time: late, a clock that was set, or lines that were moved."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from pipeline.core.schema import INTEGRITY, OPERATION, empty
from pipeline.integrity.clocks import Clocks
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Pairing
from tests.streams import START, entry, frame

Rows = list[dict[str, object]]


def pairs(source: str, start: int, stop: int, offset: float = 0.0) -> Rows:
    """A request a second with its answer; `offset` moves the times, not the names."""
    return [
        entry(source, f"r{n}", phase, n + offset + (0.01 if phase == "response" else 0))
        for n in range(start, stop)
        for phase in ("request", "response")
    ]


def told(streams: dict[str, Rows], cut: int | None = None, reload: bool = False) -> pl.DataFrame:
    """Every row told, the streams read side by side in batches of `cut`; the lake answers what was handed on."""
    order, clocks = Sequencer(), Clocks()
    kept: list[pl.DataFrame] = [empty(OPERATION)]

    def recall(ids: pl.Series, low: int, high: int) -> pl.DataFrame:
        return pl.concat(kept).filter(
            pl.col("correlation_uid").is_in(ids.implode()), pl.col("time").to_physical().is_between(low, high)
        )

    pairing = Pairing(recall)
    frames = {name: frame(rows) for name, rows in streams.items()}
    at, live = dict.fromkeys(frames, 0), dict.fromkeys(frames, True)
    parts = [empty(INTEGRITY)]
    while any(live.values()):
        name = min((order.progress().get(s, -1), s) for s in frames if live[s])[1]
        size = cut or len(frames[name])
        order.push(name, frames[name][at[name] : at[name] + size])
        at[name] += size
        live[name] = at[name] < len(frames[name])
        if not any(live.values()):
            order.confirm()
        mark = order.watermark(live)
        released = order.release(mark)
        paired = pairing.push(released, mark)
        kept.append(paired.operations)
        parts.append(clocks.push(released, paired, mark))
        if reload:
            saved, clocks = clocks.snapshot(), Clocks()
            clocks.restore(saved)
    return pl.concat(parts)


def places(found: pl.DataFrame) -> list[tuple[object, ...]]:
    """(source, verdict, count, from, to) of each place in the end; positions count lines."""
    last = found.unique("uid", keep="last", maintain_order=True).sort("source", "from_position")
    return [
        (source, verdict, count, low // 100, high // 100)
        for source, verdict, count, low, high in last.select(
            "source", "verdict", "count", "from_position", "to_position"
        ).iter_rows()
    ]


def moved(source: str, start: int, stop: int, behind: int) -> Rows:
    """A stream of 200 requests in which the requests `start` to `stop` stand behind request `behind`."""
    rows = pairs(source, 0, 200)
    return rows[: 2 * start] + rows[2 * stop : 2 * behind] + rows[2 * start : 2 * stop] + rows[2 * behind :]


CUTS = pytest.mark.parametrize(
    ("cut", "reload"), [(None, False), *(pytest.param(cut, cut == 7, marks=pytest.mark.slow) for cut in (7, 1))]
)


@CUTS
def test_lines_that_another_device_has_in_their_place_were_moved(cut: int | None, reload: bool) -> None:
    """A stretch that stands later on one device only is reordered there, from the last line before it."""
    found = told({"a": pairs("a", 0, 200, 0.001), "b": moved("b", 50, 60, 90)}, cut, reload)
    assert places(found) == [("b", "reordered", 20, 159, 179)]
    assert set(found["verdict"]) == {"reordered"}


@CUTS
def test_the_same_regression_without_a_witness_is_a_clock(cut: int | None, reload: bool) -> None:
    """On a single device the same lines are a clock that was set."""
    assert places(told({"b": moved("b", 50, 60, 90)}, cut, reload)) == [("b", "clock_step", 20, 160, 179)]


@CUTS
def test_a_clock_set_back_is_a_step_on_every_device(cut: int | None, reload: bool) -> None:
    """Devices that step back together were stamped by a clock that was set."""
    streams = {
        name: [*pairs(name, 0, 100, late), *pairs(name, 100, 160, late - 30)]
        for name, late in (("a", 0.0), ("b", 0.001))
    }
    found = told(streams, cut, reload)
    assert [row[:2] for row in places(found)] == [("a", "clock_step"), ("b", "clock_step")]
    assert {row[3] for row in places(found)} == {200}


@CUTS
def test_two_lines_far_apart_that_changed_places(cut: int | None, reload: bool) -> None:
    """The place reaches from the one line to the other."""
    rows = pairs("b", 0, 200)
    rows[100], rows[160] = rows[160], rows[100]
    found = places(told({"a": pairs("a", 0, 200, 0.001), "b": rows}, cut, reload))[0]
    assert found[:2] == ("b", "reordered")
    assert found[3:] == (100, 160)


def test_a_single_entry_behind_is_late() -> None:
    """One or two entries behind their neighbours are no clock."""
    slow = [{**row, "correlation_uid": "slow"} for row in pairs("a", 10, 11, 0.5)]
    assert places(told({"a": [*pairs("a", 0, 30), *slow]})) == [("a", "late", 2, 60, 61)]


def test_entries_ahead_of_all_others_are_a_step() -> None:
    """A clock a day ahead for a few entries is told, and only they."""
    far = [{**row, "time": row["time"] + dt.timedelta(days=1)} for row in pairs("a", 30, 32)]  # type: ignore[operator]
    assert places(told({"a": [*pairs("a", 0, 30), *far, *pairs("a", 32, 90)]})) == [("a", "clock_step", 4, 60, 63)]


def test_lines_told_again_are_left_to_the_duplicates() -> None:
    """A block that the same stream told before is no clock."""
    rows = pairs("a", 0, 100)
    assert told({"a": [*rows, *rows[20:40], *pairs("a", 100, 180)]}, 7).is_empty()


def test_a_run_is_told_with_the_time_of_its_entries() -> None:
    """From the earliest to the latest time of what is out of place, which is what a person looks for."""
    row = told({"b": moved("b", 50, 60, 90)}).row(-1, named=True)
    assert [(t - START).total_seconds() for t in (row["from_time"], row["to_time"])] == [50, 59.01]
