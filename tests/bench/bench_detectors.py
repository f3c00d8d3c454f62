"""What the suite costs: `python tests/bench/bench_detectors.py [windows]`.

Large: windows of 100,000 operations by 10,000 principals on 20,000 secrets. Small: windows of 500 operations. Each
detector sees windows in order while the profiles learn; the first quarter, in which everything is new, is left out.
Full: what a batch of 100,000 entries (50,000 operations) costs once a million keys are known, and what those weigh.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pipeline.baselines import Baselines, Config
from pipeline.core import plugins
from pipeline.core.clock import HOUR_US
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, conform, empty
from pipeline.windows import count

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def suite() -> dict[str, Any]:
    """Every detector of the product as it comes."""
    modules = {kind: plugins.load("detectors", kind) for kind in plugins.kinds("detectors")}
    return {kind: module.create(module.Config()) for kind, module in modules.items()}


def judged(
    detectors: dict[str, Any], profiles: Baselines, frame: pl.DataFrame, start: int
) -> tuple[dict[str, float], int, int]:
    """One window through count, every detector and learning: CPU seconds of each, counted rows, findings."""
    spent, found, began = {}, 0, time.process_time()
    counted = count(frame)
    spent["count"] = time.process_time() - began
    memo: dict[str, Any] = {}
    for kind, detector in detectors.items():
        seen = frame if detector.info.cadence == "operation" else counted
        shared = memo if seen is counted else {}
        window = Window(start, start + HOUR_US, seen, empty(INTEGRITY), profiles, closed=True, memo=shared)
        began = time.process_time()
        found += len(detector.inspect(window))
        spent[kind] = time.process_time() - began
    began = time.process_time()
    profiles.learn(Window(start, start + HOUR_US, counted, empty(INTEGRITY), profiles, closed=True, memo=memo))
    spent["learn"] = time.process_time() - began
    return spent, len(counted), found


def told(title: str, rows: int, spent: list[dict[str, float]]) -> None:
    """Per part and in all: milliseconds a window, µs an operation."""
    print(title)
    means = {name: sum(one[name] for one in spent) / len(spent) for name in spent[0]}
    means["all detectors"] = sum(means[name] for name in means if name not in {"count", "learn"})
    means["all"] = means["all detectors"] + means["count"] + means["learn"]
    for name, mean in means.items():
        print(f"  {name:16} {mean * 1e3:8.2f} ms a window   {mean / rows * 1e6:7.3f} µs an operation")


def run(title: str, number: int, rows: int, principals: int, secrets: int) -> None:
    """Windows of one size, with the profiles that come of them."""
    detectors, profiles, spent, found = suite(), Baselines(Config()), [], 0
    for frame, start in windows(number, rows, principals, secrets):
        one, counted, more = judged(detectors, profiles, frame, start)
        spent.append(one)
        found += more
    title = f"{title}: {number} windows of {rows:,} operations ({counted:,} counted rows), {found} findings"
    told(title, rows, spent[number // 4 :])


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def held(part: Any) -> int:
    """Bytes of what a part remembers."""
    return sum(frame.estimated_size() for frame in part.snapshot().values())


def edges_of(numbers: np.ndarray, start_us: int) -> pl.DataFrame:
    """OPERATION rows of edges by number: twenty secrets of its team for each of 40,000 principals."""
    rng = np.random.default_rng(start_us // HOUR_US)
    frame = operations(rng, start_us, len(numbers), 40_000, 200_000)
    who, nth = numbers // 20, numbers % 20
    names = pl.DataFrame({"who": who, "team": who // 20, "what": (who % 5) * 20 + nth})
    own = names.select(
        principal=pl.format("kubernetes/team{}/svc{}", "team", "who"),
        secret=pl.format("kv/team{}/app/s{}", "team", "what"),
        session=pl.format("s{}", "who"),
        client_ip=pl.format("10.1.{}.{}", pl.col("who") // 20 % 50, pl.col("who") % 250),
        zone=pl.format("10.1.{}.0/24", pl.col("who") // 20 % 50),
    )
    same = pl.lit("success").alias("outcome"), pl.lit("read").alias("operation")
    return frame.with_columns(own.get_columns()).with_columns(*same, path="secret", api_operation=pl.lit("read"))


def full(rows: int = 50_000, edges: int = 800_000) -> None:
    """A million keys: 800,000 edges of 40,000 principals to 200,000 secrets."""
    detectors, profiles, start = suite(), Baselines(Config()), START_US
    judged(detectors, profiles, edges_of(np.arange(1_000), start), start)
    before = resident()
    for first in range(0, edges, 100_000):
        start += HOUR_US
        judged(detectors, profiles, edges_of(np.arange(first, first + 100_000), start), start)
    gc.collect()
    keys, grown = len(profiles), resident() - before
    known, seen = held(profiles), sum(held(one) for one in detectors.values() if hasattr(one, "snapshot"))
    print(f"full: {keys:,} keys; bytes of each: {known / keys:.0f} of its profile, {seen / keys:.0f} in all detectors;")
    print(f"  the process grew by {grown >> 20} MiB, {grown / keys:.0f} B a key")
    rng = np.random.default_rng(11)
    draws = {
        "some": lambda: rng.integers(0, edges, 16_000)[np.minimum(rng.zipf(1.3, rows), 16_000) - 1],
        "all different": lambda: rng.choice(edges, rows, replace=False),
    }
    for name, draw in draws.items():
        spent = []
        for _ in range(8):
            start += HOUR_US
            frame = edges_of(draw(), start)
            spent.append(judged(detectors, profiles, frame, start)[0])
        told(f"full, {name}: windows of {rows:,} operations, {2 * rows:,} entries", rows, spent[2:])


if __name__ == "__main__":
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    run("small", many or 200, 500, 60, 400)
    run("large", many or 30, 100_000, 10_000, 20_000)
    full()
