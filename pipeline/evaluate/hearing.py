"""What the line hears of the twins: hour by hour, less than everything, by clocks that are off, where that is asked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.clock import HOUR_US
from pipeline.core.hashing import hash_texts
from pipeline.core.schema import OPERATION, empty
from pipeline.simulate import Plot, twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.evaluate.plan import Plan

Twins = tuple[pl.DataFrame, pl.DataFrame]  # without the attacks and with them; one object while they are the same

NODES: Final = 5  # of a cluster; each answers some of the principals, by a clock of its own
_MINUTE_US: Final = 60_000_000
_NEVER_US: Final = 1 << 62
_TIMES: Final = ("time", "complete_time")


def heard(plot: Plot, plan: Plan) -> Iterator[Twins]:
    """OPERATION rows of the twins, hour by hour, as `plan` has them heard."""
    hours = _lossy(twins(plot), plan.loss) if plan.loss else twins(plot)
    return _skewed(hours, plot.world.scenario.start_ns // 1000, plan.skew_minutes) if plan.skew_minutes else hours


def _lossy(hours: Iterator[Twins], loss: float) -> Iterator[Twins]:
    """The same operations are lost in both, since a uid is a lot drawn once."""
    kept = pl.col("uid").str.slice(-8).str.to_integer(base=16) >= loss * 2**32
    return (_both(pair, lambda rows: rows.filter(kept)) for pair in hours)


def _skewed(hours: Iterator[Twins], start_us: int, minutes: float) -> Iterator[Twins]:
    """Cut into hours anew by what the clocks show; what a fast one dated ahead waits for its hour.

    The clocks of the nodes lie evenly within `minutes` of the true time.
    """
    held, until_us = (empty(OPERATION),) * 2, start_us
    for pair in hours:
        plain, attacked = _both(pair, lambda rows: _shifted(rows, minutes))
        whole = pl.concat([held[0], plain])
        same = attacked is plain and held[0] is held[1]
        held = (whole, whole if same else pl.concat([held[1], attacked]))
        if until_us > start_us:  # of the first hour more may come, dated back
            yield _both(held, partial(_dated, low_us=0, high_us=until_us))
            held = _both(held, partial(_dated, low_us=until_us, high_us=_NEVER_US))
        until_us += HOUR_US
    yield _both(held, partial(_dated, low_us=0, high_us=_NEVER_US))


def _dated(rows: pl.DataFrame, low_us: int, high_us: int) -> pl.DataFrame:
    """Those that were complete from `low_us` on, before `high_us`, in order."""
    at = pl.col("complete_time").dt.epoch("us")
    return rows.filter((at >= low_us) & (at < high_us)).sort("time", maintain_order=True)


def _shifted(rows: pl.DataFrame, minutes: float) -> pl.DataFrame:
    names = rows["principal"].fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    node = hash_texts(names) % np.uint64(NODES)
    off_us = (node.astype(np.int64) * 2 - (NODES - 1)) * round(minutes * _MINUTE_US / (NODES - 1))
    off = pl.Series(off_us).cast(pl.Duration("us"))
    return rows.with_columns((pl.col(name) + off).alias(name) for name in _TIMES)


def _both(pair: Twins, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Twins:
    """Changed; what was one object is one still."""
    plain, attacked = pair
    changed = change(plain)
    return changed, changed if attacked is plain else change(attacked)
