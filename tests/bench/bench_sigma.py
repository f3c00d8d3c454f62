"""What 300 Sigma rules cost: `python -m tests.bench.bench_sigma [rules]`.

Batches of 50,000 operations (two entries each) of an hour of 10,000 principals on 20,000 secrets, as in
bench_detectors. Rules are of the usual kinds (paths by prefix, part and regular expression, with operation, outcome and
principal), a tenth of them under correlations. The first batch, in which all is new, is told apart. Then what one
correlation costs at the worst: over every operation, with as many in its window as are remembered.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from detectors.sigma import Config, create
from pipeline.baselines import Baselines
from pipeline.baselines import Config as BaselinesConfig
from pipeline.core.clock import HOUR_US
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, empty
from tests.bench.bench_detectors import START_US, operations

BATCH, BATCHES = 50_000, 12


def rule(number: int) -> dict[str, object]:
    """One of six shapes, each asking something else."""
    team = number % 480
    shapes: tuple[dict[str, object], ...] = (
        {"request.path|startswith": f"kv/team{team}/app/s9", "operation": ["read", "list"], "outcome": "denied"},
        {"secret|contains": f"team{team}/", "principal|endswith": f"svc{number}", "outcome": "denied"},
        {"request.path|re": f"^kv/team{team}/app/s[0-9]+7$", "principal_type": "human"},
        {"path|contains|all": [f"team{team}", "/app/"], "request.remote_address|cidr": f"10.{number % 200 + 2}.0.0/16"},
        {"request.path": f"kv/team{team}/app/s{number}", "principal|contains": f"team{(number + 1) % 480}/"},
        {"request.operation": "delete", "request.path|startswith": f"sys/policies/acl/p{number}"},
    )  # fmt: skip
    return {
        "title": f"Rule {number}", "name": f"rule_{number}", "level": "low", "status": "test",
        "logsource": {"product": "vault", "service": "audit"},
        "detection": {"sel": shapes[number % len(shapes)], "condition": "sel"},
    }  # fmt: skip


def correlation(number: int) -> dict[str, object]:
    return {
        "title": f"Many of rule {number}", "name": f"many_{number}", "level": "medium",
        "correlation": {
            "type": "event_count", "rules": [f"rule_{number}"], "group-by": ["principal"], "timespan": "10m",
            "condition": {"gte": 5},
        },
    }  # fmt: skip


WORST: dict[str, dict[str, object]] = {
    "event_count": {"gte": 1_000_000},
    "value_sum": {"field": "latency_ms", "gte": 1_000_000_000},
    "value_avg": {"field": "latency_ms", "gte": 1_000},
    "value_percentile": {"field": "latency_ms", "percentile": 99, "gte": 1_000},
}


def worst(kind: str, rng: np.random.Generator) -> float:
    """Seconds for a batch, once the memory of a correlation over everything is full."""
    every = {**rule(0), "detection": {"sel": {"store": "vault"}, "condition": "sel"}}
    told = {
        "type": kind, "rules": ["rule_0"], "group-by": ["principal"], "timespan": "12h", "condition": WORST[kind],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yml"
        file.write_text(json.dumps(every) + "\n---\n" + json.dumps({"title": kind, "correlation": told}))
        detector = create(Config(rules=(str(file),)))
    spent = []
    for number in range(8):
        rows = operations(rng, START_US + number * HOUR_US, BATCH, 10_000, 20_000).sort("complete_time", "uid")
        rows = rows.with_columns(
            uid=pl.format("{}-{}", pl.lit(number), "uid"), latency_ms=pl.Series(rng.gamma(2.0, 4.0, BATCH)).round(3)
        )
        window = Window(0, HOUR_US, rows, empty(INTEGRITY), Baselines(BaselinesConfig()), closed=True)
        began = time.perf_counter()
        assert detector.inspect(window).is_empty()
        spent.append(time.perf_counter() - began)
    assert len(detector.snapshot()["windows"]) == Config().correlated
    return sum(spent[5:]) / len(spent[5:])


def main() -> None:
    """See the module."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    told = [rule(n) for n in range(many)] + [correlation(n) for n in range(0, many, 10)]
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yml"
        file.write_text("\n---\n".join(map(json.dumps, told)))
        began = time.perf_counter()
        detector = create(Config(rules=(str(file),)))
        print(f"{many} rules, {len(told) - many} correlations: read in {time.perf_counter() - began:.1f} s")
    assert not detector.problems, detector.problems
    spent, found = [], 0
    for number in range(BATCHES):
        rows = operations(rng, START_US + number * HOUR_US, BATCH, 10_000, 20_000).sort("complete_time", "uid")
        window = Window(0, HOUR_US, rows, empty(INTEGRITY), Baselines(BaselinesConfig()), closed=True)
        began = time.perf_counter()
        found += len(detector.inspect(window))
        spent.append(time.perf_counter() - began)
    mean = sum(spent[1:]) / len(spent[1:])
    distinct = rows["path"].n_unique()
    print(f"batches of {BATCH:,} operations on {distinct:,} paths, {found} findings; first {spent[0] * 1e3:.0f} ms")
    print(f"{mean * 1e3:.0f} ms a batch: {BATCH / mean:,.0f} operations or {2 * BATCH / mean:,.0f} entries a second")
    for kind in WORST:
        print(f"{kind} over everything, {Config().correlated:,} remembered: {worst(kind, rng) * 1e3:.0f} ms a batch")


if __name__ == "__main__":
    main()
