"""Windows of event time: whole ones come out in order, late operations go where they can, a clock set back ends one."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.core.schema import OPERATION, TIME, conform
from pipeline.windows import Windows, count

HOUR = 3_600_000_000


def operations(*seconds: float) -> pl.DataFrame:
    """Operations complete so many seconds after 1970."""
    times = pl.Series([int(s * 1e6) for s in seconds], dtype=pl.Int64)
    rows = pl.DataFrame(
        {"uid": [f"u{s}" for s in seconds], "secret": ["kv/a"] * len(seconds), "time": times.cast(TIME)}
    )
    return conform(rows.with_columns(complete_time="time"), OPERATION)


def opened(windows: Windows) -> tuple[int, int] | None:
    """Start in hours and operations of the open window."""
    current = windows.current()
    return None if current is None else (current.start_us // HOUR, int(current.operations["n"].sum()))


def test_a_window_is_whole_when_time_passes_it() -> None:
    """A window comes out once the watermark reaches its end, and says it is closed."""
    windows = Windows(3600)
    assert list(windows.push(operations(10, 20), 3599 * 10**6)) == []
    (whole,) = windows.push(operations(3700), 3600 * 10**6)
    assert (whole.start_us, whole.end_us, whole.closed, int(whole.operations["n"].sum())) == (0, HOUR, True, 2)
    assert opened(windows) == (1, 1)


def test_a_late_operation_is_seen_in_the_open_window() -> None:
    """What is complete before the open window began is counted in it: no window comes twice."""
    windows = Windows(3600)
    assert list(windows.push(operations(3700), 3700 * 10**6)) == []
    assert list(windows.push(operations(3000, 3800), 3800 * 10**6)) == []
    assert opened(windows) == (1, 3)


def test_a_clock_set_back_ends_the_window() -> None:
    """After a turn the next window may begin before the last one."""
    windows = Windows(3600)
    list(windows.push(operations(7300), 7300 * 10**6))
    (over,) = windows.turn()
    assert (over.start_us // HOUR, over.closed) == (2, True)
    assert list(windows.turn()) == []
    assert list(windows.push(operations(100), 100 * 10**6)) == []
    assert opened(windows) == (0, 1)


def test_a_snapshot_goes_on() -> None:
    """Restored from a snapshot, the open window holds what it held."""
    windows, again = Windows(3600), Windows(3600)
    list(windows.push(operations(10, 20, 20), 30 * 10**6))
    again.restore(windows.snapshot())
    assert opened(again) == opened(windows) == (0, 3)
    again.restore(Windows(3600).snapshot())
    assert opened(again) is None


@pytest.mark.parametrize("disorder", ["none", "times", "turns", "uids"])
def test_rows_are_counted_in_the_order_of_time_and_uid(disorder: str) -> None:
    """Whatever order many rows came in, also where times are equal and only uids are out of order."""
    times = [float(i // 2) for i in range(3_000)]
    rows = operations(*times).with_columns(uid=pl.format("{}", pl.int_range(10_000, 13_000)))
    place = pl.int_range(pl.len())
    rows = rows.with_columns(secret=pl.format("kv/{}", place % 1_000))
    mixed = {"none": place, "times": -place, "turns": place % 2 * 10_000 + place, "uids": place + 1 - 2 * (place % 2)}
    counted = count(rows.sort(mixed[disorder]))
    assert counted.equals(count(rows))
    assert counted["uid"][0] == "10000"
