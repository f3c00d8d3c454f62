"""Looks at a window that goes on: when somebody does far more than ever, and the same however the stream is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from pipeline.core.schema import OPERATION
from pipeline.windows import Windows

HOUR, MINUTE = 3_600_000_000, 60_000_000


def operations(times_us: np.ndarray, who: str, secrets: int = 1, outcome: str = "success") -> pl.DataFrame:
    """OPERATION rows of one principal at these times, over so many secrets in turn."""
    count = len(times_us)
    return pl.DataFrame(
        {
            "uid": [f"{who}-{at}" for at in times_us.tolist()],
            "complete_time": times_us,
            "time": times_us,
            "principal": [who] * count,
            "secret": [f"kv/app/{i % secrets}" for i in range(count)],
            "operation": ["read"] * count,
            "outcome": [outcome] * count,
        }
    ).select(
        pl.col(name).cast(kind) if name in ("complete_time", "time") else pl.col(name)
        if name in ("uid", "principal", "secret", "operation", "outcome") else pl.lit(None, kind).alias(name)
        for name, kind in OPERATION.items()
    )  # fmt: skip


def spread(hour: float, minutes: float, count: int) -> np.ndarray:
    """That many moments, evenly from `hour` on."""
    return (hour * HOUR + np.arange(count) * minutes * MINUTE / count).astype(np.int64)


def told(windows: Windows, rows: pl.DataFrame, watermark_us: int) -> list[tuple[int, int | None, int]]:
    """Start in hours, minute of the look, operations of each window."""
    return [
        (w.start_us // HOUR, None if w.looked_us is None else (w.looked_us - w.start_us) // MINUTE,
         int(w.operations["n"].sum()))
        for w in windows.push(rows, watermark_us)
    ]  # fmt: skip


def in_order(*parts: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(parts).sort("complete_time", "uid")


QUIET = [operations(spread(hour, 60, 30), "approle/shop", 5) for hour in range(3)]


def test_what_is_usual_is_not_looked_at() -> None:
    """As many as in the hours before, however they are spaced."""
    rows = in_order(*QUIET, operations(spread(3, 4, 42), "approle/shop", 5))
    assert told(Windows(3600, 300), rows, 4 * HOUR) == [(0, None, 30), (1, None, 30), (2, None, 30), (3, None, 42)]


@pytest.mark.parametrize(
    ("burst", "count"),
    [
        (operations(spread(3.1, 3, 80), "approle/shop", 5), 80),
        (operations(spread(3.1, 3, 20), "approle/shop", 20), 20),
        (operations(spread(3.1, 3, 12), "approle/shop", 5, "denied"), 12),
        (operations(spread(3.1, 3, 12), "approle/newcomer", 12), 12),
    ],
)
def test_far_more_than_ever_is_shown_within_five_minutes(burst: pl.DataFrame, count: int) -> None:
    """Operations, different secrets or refusals; once, until it has doubled; and whole when the hour is over."""
    shown = told(Windows(3600, 300), in_order(*QUIET, burst), 4 * HOUR)
    assert shown[3:] == [(3, 10, count), (3, None, count)]


def test_it_is_shown_again_when_it_has_doubled() -> None:
    """A flood that goes on is looked at a few times, not twelve."""
    shown = told(Windows(3600, 300), in_order(*QUIET, operations(spread(3, 60, 600), "approle/shop", 5)), 4 * HOUR)
    assert [minute for hour, minute, _ in shown if hour == 3] == [5, 10, 20, 40, None]


def log_ins(times_us: np.ndarray, address: str) -> pl.DataFrame:
    """OPERATION rows of refused log-ins from one address, each to another account."""
    one = [operations(times_us[i : i + 1], f"userpass/u{i}", outcome="denied") for i in range(len(times_us))]
    return pl.concat(one).with_columns(operation=pl.lit("auth"), secret=pl.lit(""), client_ip=pl.lit(address))


def test_guessing_is_shown_though_nobody_is_refused_twice() -> None:
    """A dozen accounts tried from one address; as many from a dozen addresses are not one who guesses."""
    moments = spread(3.1, 3, 12)
    shown = told(Windows(3600, 300), in_order(*QUIET, log_ins(moments, "198.51.100.7")), 4 * HOUR)
    assert shown[3:] == [(3, 10, 12), (3, None, 12)]
    apart = [
        log_ins(moments, "198.51.100.7")[i : i + 1].with_columns(client_ip=pl.lit(f"10.0.0.{i}")) for i in range(12)
    ]
    assert told(Windows(3600, 300), in_order(*QUIET, *apart), 4 * HOUR)[3:] == [(3, None, 12)]


def test_looks_do_not_depend_on_the_cuts() -> None:
    """Cut anywhere, with a restart at every cut, the same windows are shown with the same rows."""
    rows = in_order(
        *QUIET,
        operations(spread(3.02, 50, 300), "approle/shop", 40),
        operations(spread(3.3, 9, 40), "userpass/ann", 3, "denied"),
        operations(spread(5.9, 20, 200), "userpass/ann", 30),
        log_ins(spread(6.6, 20, 40), "198.51.100.7"),
    )
    whole = told(Windows(3600, 300), rows, 8 * HOUR)
    assert sum(minute is not None for _, minute, _ in whole) > 4
    times = rows["complete_time"].to_physical().to_numpy()
    rng = np.random.default_rng(7)
    for pieces in (2, 7, 60):
        windows, shown = Windows(3600, 300), []
        cuts = [0, *sorted(rng.choice(len(rows), pieces, replace=False).tolist()), len(rows)]
        for low, high in pairwise(cuts):
            reached = int(times[high]) if high < len(rows) else 8 * HOUR
            shown += told(windows, rows[low:high], reached)
            again = Windows(3600, 300)
            again.restore(windows.snapshot())
            windows = again
        assert shown == whole
