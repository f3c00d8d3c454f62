"""Prints what baselines cost: ms per 100 k-operation window against a million keys, bytes per key, RSS growth.

Run: python tests/bench/bench_baselines.py [edges]
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.baselines import Baselines, Config
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, TIME, conform, empty

HOUR = 3_600_000_000
START = 1_700_000_000_000_000 // HOUR * HOUR
ROWS = 100_000


def window(index: int, principals: np.ndarray, secrets: np.ndarray) -> Window:
    """One hour of reads, one per pair given."""
    start = START + index * HOUR
    count = len(principals)
    times = start + np.arange(count) * (HOUR // count)
    frame = pl.DataFrame(
        {
            "time": pl.Series(times).cast(TIME),
            "complete_time": pl.Series(times).cast(TIME),
            "principal": pl.Series(principals).cast(pl.String),
            "secret": pl.Series(secrets).cast(pl.String),
            "client_ip": pl.Series(principals % 4096).cast(pl.String),
        }
    ).with_columns(
        principal="kubernetes-prod/team-" + pl.col("principal") + "/service-account",
        secret="kv/team-" + pl.col("secret") + "/database/password",
        client_ip="10.0.7." + pl.col("client_ip"),
        principal_type=pl.lit("pod"),
        outcome=pl.lit("success"),
    )
    return Window(start, start + HOUR, conform(frame, OPERATION), empty(INTEGRITY), None, closed=True)


def rss() -> float:
    """Resident MB now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def pairs(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges number `first` to `first + count`: 5 k principals x 100 k secrets, spread."""
    edge = np.arange(first, first + count)
    return edge % 5_003, edge * 7919 % 100_003


def against(baselines: Baselines, edges: int, distinct: int) -> None:
    """Look up and learn windows that touch `distinct` of the edges."""
    rng = np.random.default_rng(1)
    learn, look, keys = [], [], 0
    for i in range(edges // ROWS + 1, edges // ROWS + 11):
        touched = rng.choice(edges, distinct, replace=False)
        edge = touched[rng.integers(0, len(touched), ROWS)]
        now = window(i, edge % 5_003, edge * 7919 % 100_003)
        pairs_asked = now.operations.select("principal", "secret").unique()
        asked = {s: pairs_asked.select(s).unique() for s in pairs_asked.columns} | {"edge": pairs_asked}
        begin = time.perf_counter()
        for scope, questions in asked.items():
            baselines.lookup(scope, questions, now.start_us)
        middle = time.perf_counter()
        baselines.learn(now)
        learn.append(time.perf_counter() - middle)
        look.append(middle - begin)
        keys = sum(questions.height for questions in asked.values())
    print(
        f"window of {ROWS:,} operations, {keys:,} keys of all scopes: learn {statistics.median(learn) * 1e3:.1f} ms, "
        f"look-up {statistics.median(look) * 1e3:.1f} ms"
    )


def main(edges: int) -> None:
    """Fill, then measure."""
    baselines = Baselines(Config())
    baselines.learn(window(0, *pairs(0, ROWS)))
    gc.collect()
    before, count = rss(), len(baselines)
    for i in range(1, edges // ROWS + 1):
        baselines.learn(window(i, *pairs(i * ROWS, ROWS)))
    gc.collect()
    keys, grown = len(baselines) - count, rss() - before
    print(f"{len(baselines):,} keys; RSS +{grown:.0f} MB for {keys:,} of them: {grown * 1e6 / keys:.0f} bytes a key")
    for distinct in (10_000, 30_000):
        against(baselines, edges, distinct)
    begin = time.perf_counter()
    frames = baselines.snapshot()
    middle = time.perf_counter()
    Baselines(Config()).restore(frames)
    print(
        f"snapshot {1e3 * (middle - begin):.0f} ms, {sum(f.estimated_size() for f in frames.values()) / 1e6:.0f} MB; "
        f"restore {1e3 * (time.perf_counter() - middle):.0f} ms"
    )
    for rate in (0.05, 0.001):
        begin = time.perf_counter()
        found = baselines.active("edge", rate, START + 40 * HOUR)
        print(f"sweep {1e3 * (time.perf_counter() - begin):.0f} ms, {found.height:,} edges above {rate} an hour")
    begin = time.perf_counter()
    rows = baselines.view()
    print(f"view {1e3 * (time.perf_counter() - begin):.0f} ms for {rows.height:,} keys")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
