"""Sigma correlations of every type: pieces and restarts against one piece, and order within a piece, decide nothing."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from detectors.sigma import Config, create
from pipeline.core.model import Window
from pipeline.core.schema import FINDING, INTEGRITY, OPERATION, conform, empty

if TYPE_CHECKING:
    from detectors.sigma import Sigma

START = 1_772_409_600_000_000
ASKED: dict[str, dict[str, Any]] = {
    "event_count": {"condition": {"gte": 3}},
    "value_count": {"condition": {"field": "secret", "gte": 3}},
    "temporal": {},
    "temporal_ordered": {},
    "value_sum": {"condition": {"field": "latency_ms", "gte": 100}},
    "value_sum exact": {"condition": {"field": "latency_ms", "eq": 40}},
    "value_avg": {"condition": {"field": "latency_ms", "gt": 33.3}},
    "value_median": {"condition": {"field": "latency_ms", "lt": 25}},
    "value_percentile": {"condition": {"field": "latency_ms", "percentile": 80, "gte": 60}},
}


def _rules() -> list[dict[str, Any]]:
    source = {"product": "vault", "service": "audit"}
    plain = [
        {"title": act, "name": act, "logsource": source, "detection": {"s": {"operation": act}, "condition": "s"}}
        for act in ("read", "list")
    ]
    together = [
        {
            "title": name,
            "name": name,
            "correlation": {
                "type": name.split()[0],
                "rules": ["list", "read"],
                "timespan": "10m",
                "group-by": ["principal"],
                **more,
            },
        }
        for name, more in ASKED.items()
    ]
    return [*plain, *together]


def _made(correlated: int) -> Sigma:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yml"
        file.write_text("\n---\n".join(map(json.dumps, _rules())))
        made = create(Config(rules=(str(file),), correlated=correlated))
    assert not made.problems
    return made


MADE = {correlated: (_made(correlated), _made(correlated)) for correlated in (200_000, 6)}
BLANK = MADE[6][0].snapshot()
AMOUNTS = [name for name in ASKED if name in {"value_avg", "value_median", "value_percentile"}]
STEP = st.tuples(
    st.sampled_from(["read", "read", "list"]),
    st.sampled_from([0, 1, 60_000_000, 200_000_000, 599_999_999]),  # µs since the one before
    st.integers(0, 1),  # whose
    st.sampled_from([None, -1.0, 0.0, 7.125, 20.0, 33.3, 60.0, 1e12]),
)


def operations(steps: list[tuple[str, int, int, float | None]]) -> pl.DataFrame:
    rows, at = [], START
    for number, (act, pause, who, latency) in enumerate(steps):
        at += pause
        rows.append(
            {
                "uid": f"{number:032x}", "time": at, "complete_time": at, "store": "vault", "operation": act,
                "principal": f"approle/{who}", "secret": f"kv/{number % 4}", "latency_ms": latency,
            }
        )  # fmt: skip
    return conform(pl.DataFrame(rows, infer_schema_length=None), OPERATION)


def findings(rows: pl.DataFrame, sizes: list[int], correlated: int) -> pl.DataFrame:
    """What is found in pieces of these sizes, the rows of each the other way round, with a restart after each."""
    one, other = MADE[correlated]
    one.restore(BLANK)
    found, at = [empty(FINDING)], 0
    for size in [*sizes, len(rows)]:
        part = rows[at : at + size].reverse()
        at += size
        found.append(one.inspect(Window(0, 1, part, empty(INTEGRITY), None, closed=True)))
        other.restore(one.snapshot())
        one, other = other, one
    return pl.concat(found).sort("ready", "cause", "uid")


@given(st.lists(STEP, min_size=5, max_size=50), st.lists(st.integers(1, 9), max_size=20))
def test_cuts_decide_nothing(steps: list[tuple[str, int, int, float | None]], sizes: list[int]) -> None:
    """In pieces or whole, all eight types find the same, field for field."""
    rows = operations(steps)
    assert findings(rows, sizes, 200_000).equals(findings(rows, [], 200_000))


@given(st.lists(STEP, min_size=20, max_size=50), st.lists(st.integers(1, 9), max_size=20))
def test_cuts_decide_nothing_where_more_came_than_is_remembered(
    steps: list[tuple[str, int, int, float | None]], sizes: list[int]
) -> None:
    """An average and a percentile of the newest operations is that however they were cut."""
    rows = operations(steps)
    cut, whole = (findings(rows, some, 6).filter(pl.col("cause").is_in(AMOUNTS)) for some in (sizes, []))
    assert cut.equals(whole)
