"""Prints what SLIs cost per operation at 100 k-operation batches. Run: python tests/bench/bench_sli.py [batches]"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.core.schema import OPERATION, TIME, conform
from pipeline.sli import Config, Slis

ROWS = 100_000
START = 1_700_000_000_000_000
STEPS = (20_000, 2_000)  # µs between operations: 50 and 500 a second


def batch(index: int, step: int) -> pl.DataFrame:
    """Operations of 3 namespaces x 30 mounts with log-normal latencies, 500 sessions reading 3,000 secrets."""
    rng = np.random.default_rng(index)
    times = pl.Series(START + (index * ROWS + np.arange(ROWS)) * step).cast(TIME)
    place = rng.integers(0, 90, ROWS)
    frame = pl.DataFrame(
        {
            "time": times,
            "complete_time": times,
            "latency_ms": rng.lognormal(1.0, 1.0, ROWS),
            "store": ["vault"] * ROWS,
            "operation": rng.choice(["read", "list", "auth"], ROWS, p=[0.8, 0.1, 0.1]),
            "outcome": rng.choice(["success", "denied", "not_found", "failure"], ROWS, p=[0.95, 0.03, 0.01, 0.01]),
            "namespace": pl.Series(place % 3).cast(pl.String),
            "mount": pl.Series(place // 3).cast(pl.String),
            "secret": pl.Series(rng.integers(0, 100, ROWS)).cast(pl.String),
            "secret_version": rng.integers(1, 3, ROWS),
            "session": pl.Series(rng.integers(0, 500, ROWS)).cast(pl.String),
            "principal": pl.Series(rng.integers(0, 200, ROWS)).cast(pl.String),
            "api_operation": ["read"] * ROWS,
        }
    ).with_columns(
        namespace="team-" + pl.col("namespace"),
        mount="kv-" + pl.col("mount") + "/",
        secret="kv-" + pl.col("mount") + "/prod/payments/service-" + pl.col("secret"),
        session="hmac-sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789" + pl.col("session"),
        principal="approle/service-" + pl.col("principal"),
        discloses_value=(pl.col("operation") == "read") & (pl.col("outcome") == "success"),
    )
    return conform(frame, OPERATION)


def main(batches: int, step: int) -> None:
    """Push, time, report."""
    slis, spent, height = Slis(Config()), [], 0
    for index in range(batches):
        operations = batch(index, step)
        begin = time.perf_counter()
        height += slis.push(operations, START + (index + 1) * ROWS * step).height
        spent.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    frames = slis.snapshot()
    took = time.perf_counter() - begin
    size = sum(frame.estimated_size() for frame in frames.values()) / 1e6
    print(
        f"{1_000_000 // step} operations a second: {statistics.median(spent) / ROWS * 1e6:.2f} µs an operation, "
        f"{height:,} rows; snapshot {took * 1e3:.1f} ms, {size:.1f} MB"
    )


if __name__ == "__main__":
    for gap in STEPS:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 12, gap)
