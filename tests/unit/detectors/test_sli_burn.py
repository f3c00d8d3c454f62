"""Burn rates from running sums, against the formula on all rows."""

from __future__ import annotations

import numpy as np
import polars as pl

from detectors import sli_burn
from detectors.sli_burn.ring import Ring
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, SLI, conform, empty
from tests.burn_oracle import Rule, burn

SIZE = 300_000_000
START = 1_772_409_600_000_000


def slis(failed: np.ndarray, total: int = 400) -> pl.DataFrame:
    """M1 of one store: a row a window."""
    rows = pl.DataFrame(
        {
            "window_start": START + SIZE * np.arange(len(failed)),
            "good": total - failed.astype(float),
            "total": np.full(len(failed), float(total)),
        }
    )
    told = rows.with_columns(
        sli=pl.lit("M1"), store=pl.lit("vault"), scope=pl.lit("store"), window_seconds=300, objective=0.999
    )
    return conform(told, SLI)


def window(rows: pl.DataFrame) -> Window:
    return Window(0, 0, empty(OPERATION), empty(INTEGRITY), None, closed=True, slis=rows)


def test_a_burn_is_told_when_the_formula_says_it_begins() -> None:
    """Bursts of failures over two days: the same beginnings as from all rows, for both windows of a pager."""
    rng = np.random.default_rng(5)
    bursts = np.repeat(rng.choice([0, 0, 0, 8, 60], 24), 24)
    rows = slis(rng.poisson(bursts + 0.2))
    detector = sli_burn.create(sli_burn.Config())
    found = pl.concat([detector.inspect(window(part)) for part in rows.iter_slices(7)])
    for number, hours in enumerate((1, 6)):
        rule = Rule("high", (0.02, 0.05)[number], hours * 3600)
        begun, last = [], -(10**9)
        for at in range(hours * 6 - 1, len(rows) - 1):
            fires = burn(rows, START + (at + 1) * SIZE, rules=[rule])["firing"][0]
            if fires and at - last > hours * 12:
                begun.append(at)
            last = at if fires else last
        mine = found.filter(pl.col("message").str.contains(f" failed in {hours} h"))
        assert ((mine["time"].to_physical() - START) // SIZE).to_list() == begun
        assert begun, "a case without a burn would prove nothing"


def test_late_rows_replace_those_they_correct() -> None:
    """A window is judged when the next but one has come, with the last row that was told of it."""
    rows = slis(np.zeros(40))
    bad = slis(np.r_[np.zeros(30), np.full(10, 90.0)])
    detector = sli_burn.create(sli_burn.Config())
    assert detector.inspect(window(bad[:31])).is_empty()  # the bad window waits
    assert detector.inspect(window(pl.concat([rows[30:31], rows[31:]]))).is_empty()


def test_ring_forgets_what_falls_out_and_the_key_that_rests_longest() -> None:
    """Sums reach back as far as asked and no further; past the limit the longest idle key gives way."""
    ring = Ring(2)
    for at in range(100):
        ring.advance(at)
        ring.add(("M1", "vault", "store"), 1.0, 10.0)
        if at == 50:
            ring.add(("M1", "vault", "mount:a/"), 5.0, 5.0)
    assert ring.over(12)[0].tolist() == [12.0, 120.0]
    assert ring.over(12)[1].tolist() == [0.0, 0.0]
    assert ring.over(72)[1].tolist() == [5.0, 5.0]
    ring.add(("M2", "vault", "store"), 2.0, 3.0)
    assert ("M1", "vault", "mount:a/") not in ring.keys
    assert ring.over(72)[1].tolist() == [2.0, 3.0]
    ring.advance(5_000)
    assert ring.over(288).sum() == 0
