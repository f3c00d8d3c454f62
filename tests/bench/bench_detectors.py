"""What the suite costs: `python tests/bench/bench_detectors.py [windows]`.

Large: windows of 100,000 operations by 10,000 principals on 20,000 secrets. Small: windows of 500 operations. Each
detector sees windows in order while the profiles learn; the first quarter, in which everything is new, is left out.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.baselines import Baselines, Config
from pipeline.core import plugins
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, conform, empty
from pipeline.windows import count

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_US = 3_600_000_000
START_US = 1_772_409_600_000_000 // HOUR_US * HOUR_US


def operations(rng: np.random.Generator, start_us: int, rows: int, principals: int, secrets: int) -> pl.DataFrame:
    """OPERATION rows: every principal in a team of twenty, reading mostly its team's secrets."""
    who = np.minimum(rng.zipf(1.2, rows) * 7919 % principals, principals - 1)
    team = who % max(principals // 20, 1)
    what = (team * 40 + rng.integers(0, 40, rows)) % secrets
    kind = rng.choice(["read", "auth", "list", "write"], rows, p=[0.75, 0.2, 0.03, 0.02])
    at = start_us + np.sort(rng.integers(0, HOUR_US, rows))
    frame = pl.DataFrame(
        {"who": who, "team": team, "what": what, "operation": kind, "time": at, "denied": rng.random(rows) < 0.003}
    )
    secret = pl.when(pl.col("operation") == "auth").then(pl.lit("")).otherwise(
        pl.format("kv/team{}/app/s{}", "team", "what"))  # fmt: skip
    return conform(
        frame.with_columns(
            uid=pl.format("{}{}", pl.lit(str(start_us)), pl.int_range(pl.len())),
            principal=pl.format("kubernetes/team{}/svc{}", "team", "who"),
            principal_type=pl.lit("service"),
            store=pl.lit("vault"),
            namespace=pl.lit(""),
            mount=pl.lit("kv/"),
            mount_type=pl.lit("kv"),
            secret=secret,
            path=pl.when(secret == "").then(pl.lit("auth/token/renew-self")).otherwise(secret),
            api_operation=pl.col("operation"),
            outcome=pl.when("denied").then(pl.lit("denied")).otherwise(pl.lit("success")),
            client_ip=pl.format("10.1.{}.{}", pl.col("team") % 50, pl.col("who") % 250),
            zone=pl.format("10.1.{}.0/24", pl.col("team") % 50),
            session=pl.format("s{}", "who"),
            discloses_value=pl.col("operation") == "read",
            complete_time="time",
            clear=pl.lit(value=False),
        ),
        OPERATION,
    )


def windows(number: int, rows: int, principals: int, secrets: int) -> Iterator[tuple[pl.DataFrame, int]]:
    rng = np.random.default_rng(7)
    for i in range(number):
        start = START_US + i * HOUR_US
        yield operations(rng, start, rows, principals, secrets), start


def run(title: str, number: int, rows: int, principals: int, secrets: int) -> None:
    kinds = plugins.kinds("detectors")
    detectors = {}
    for kind in kinds:
        module = plugins.load("detectors", kind)
        detectors[kind] = module.create(module.Config())
    profiles, spent, found = Baselines(Config()), defaultdict(list), 0
    for frame, start in windows(number, rows, principals, secrets):
        counted = count(frame)
        for kind, detector in detectors.items():
            seen = frame if detector.info.cadence == "operation" else counted
            window = Window(start, start + HOUR_US, seen, empty(INTEGRITY), profiles, closed=True)
            began = time.process_time()
            found += len(detector.inspect(window))
            spent[kind].append(time.process_time() - began)
        profiles.learn(Window(start, start + HOUR_US, counted, empty(INTEGRITY), profiles, closed=True))
    print(f"{title}: {number} windows of {rows:,} operations ({len(counted):,} counted rows), {found} findings")
    total = 0.0
    for kind, seconds in spent.items():
        late = seconds[number // 4 :]
        mean = sum(late) / len(late)
        total += mean
        print(f"  {kind:16} {mean * 1e3:8.2f} ms a window   {mean / rows * 1e6:7.3f} µs an operation")
    print(f"  {'suite':16} {total * 1e3:8.2f} ms a window   {total / rows * 1e6:7.3f} µs an operation")


if __name__ == "__main__":
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    run("small", many or 200, 500, 60, 400)
    run("large", many or 30, 100_000, 10_000, 20_000)
