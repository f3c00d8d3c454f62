"""What a replay costs: `python -m tests.bench.bench_backtest [days]`.

A lake of days of a million events (half a million operations, by 1,000 principals on 5,000 secrets) is replayed with
the whole suite, and then held against a configuration with another threshold of one detector.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from pipeline import config as conf
from pipeline.backtest import replay
from pipeline.core.clock import HOUR_US, system_clock
from pipeline.core.model import Commit
from pipeline.store import Lake, StoreConfig
from tests.bench import peak
from tests.bench.bench_detectors import START_US, operations

HOURLY, MONTH = 500_000 // 24, 30


def filled(folder: Path, days: int) -> Path:
    """A lake with an hour of operations a commit."""
    rng = np.random.default_rng(7)
    with Lake.open(folder, StoreConfig(), writer=True, clock=system_clock) as lake:
        for hour in range(24 * days):
            rows = operations(rng, START_US + hour * HOUR_US, HOURLY, 1_000, 5_000)
            uid = pl.concat_str(pl.lit(f"{hour:08x}"), pl.int_range(pl.len()).cast(pl.String).str.zfill(24))
            lake.write("operations", rows.with_columns(uid=uid).sort("complete_time", "uid"))
            lake.commit(Commit(()))
    return folder


def main() -> None:
    """See the module."""
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with tempfile.TemporaryDirectory() as folder:
        lake = filled(Path(folder) / "lake", days)
        plain = conf.Settings(None, {})
        changed = conf.Settings(None, {"detectors": {"breadth": {"least": 20}}})
        for title, settings in (("one configuration", (plain,)), ("held against another", (plain, changed))):
            began = time.perf_counter()
            with Lake.open(lake, StoreConfig(), writer=False, clock=system_clock) as opened:
                done = replay(opened, settings, (None, None), None)
            seconds = time.perf_counter() - began
            rate = done.operations / seconds
            print(
                f"{title}: {done.operations:,} operations of {days} days in {seconds:.1f} s, {rate:,.0f} a second"
                f" ({2 * rate:,.0f} events); {MONTH} days would take {seconds / days * MONTH / 60:.1f} min"
            )
        most = peak.own()
        print(f"peak memory {most:,.0f} MB, {done.told[0].findings} findings, {len(done.told[0].alerts)} alerts")


if __name__ == "__main__":
    main()
