"""What operations and SLI windows add to the metrics: counts by bounded words, and by the names of a few mounts.

No label is a principal, a secret or a path. A mount gets a label once something in it has succeeded, so that a path
made up, or a token pasted into one, never becomes a name; past `MOUNTS` of them, and until then, it is `other`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline.core.metrics import LATENCIES
from pipeline.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.metrics import Metrics

MOUNTS: Final = 100
OTHER: Final = "other"
FAST_SHARE: Final = 0.95  # of operations below M2's objective: what a p95 promises
NO_SHARE: Final = frozenset({"M5", "M8"})  # their objectives are a count and seconds
_NAME_MAX: Final = 100
_PLACE: Final = ("store", "namespace", "mount")
_BOUNDS: Final = np.array(LATENCIES)


class Exported:
    """Counts what the line judges, for `core.metrics`. `known_until_us`: SLI windows that start by then were counted by
    an earlier process, as far as anybody scraped it."""

    def __init__(self, metrics: Metrics) -> None:
        self.known_until_us = -(1 << 62)
        self._metrics = metrics
        self._mounts: dict[tuple[str, str, str], str] = {}

    def operations(self, operations: pl.DataFrame) -> None:
        """New operations, OPERATION rows."""
        if operations.is_empty():
            return
        words = operations.group_by("store", "operation", "outcome").len()
        for store, operation, outcome, count in words.iter_rows():
            self._metrics.operations.labels(store or "", operation or "", outcome or "").inc(count)
        self._by_mount(operations)
        for (store,), timed in operations.filter(pl.col("latency_ms").is_not_nan()).group_by("store"):
            seconds = timed["latency_ms"].to_numpy() / 1000
            counts = np.bincount(np.searchsorted(_BOUNDS, seconds), minlength=len(_BOUNDS) + 1)
            self._metrics.latencies.add(str(store or ""), counts.tolist(), float(seconds.sum()))

    def window(self, row: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
        """An SLI row of a whole store; `before` is the row that it replaces."""
        if row["good"] is None or row["total"] is None:
            return
        sli, store, objective = row["sli"], row["store"], row["objective"]
        wanted = FAST_SHARE if sli == "M2" else objective
        if wanted is not None and sli not in NO_SHARE:
            self._metrics.sli_objective.labels(sli, store).set(wanted)
        if before is None and _micros(row["window_start"]) <= self.known_until_us:
            return
        for name, counter in (("good", self._metrics.sli_good), ("total", self._metrics.sli_events)):
            told = 0.0 if before is None else before[name] or 0.0
            counter.labels(sli, store).inc(max(row[name] - told, 0.0))

    def _by_mount(self, operations: pl.DataFrame) -> None:
        there = operations.select(*_PLACE, "outcome").filter(pl.col("mount") != "")
        if there.is_empty():
            return
        counts = there.with_columns(pl.col("namespace").fill_null("")).group_by(*_PLACE, "outcome").len()
        if len(self._mounts) < MOUNTS:
            self._admit(counts.filter(outcome="success").sort(*_PLACE))
        known = [(*place, name) for place, name in self._mounts.items()]
        names = pl.DataFrame(known, schema=[*_PLACE, "name"], schema_overrides=_TEXTS, orient="row")
        named = counts.join(names, on=list(_PLACE), how="left").with_columns(pl.col("name").fill_null(OTHER))
        for store, name, outcome, count in named.group_by("store", "name", "outcome").agg(pl.sum("len")).iter_rows():
            self._metrics.mounts.labels(store or "", name, outcome or "").inc(count)

    def _admit(self, succeeded: pl.DataFrame) -> None:
        for store, namespace, mount in succeeded.select(_PLACE).iter_rows():
            if len(self._mounts) >= MOUNTS:
                return
            path = f"{namespace}/{mount}" if namespace else mount
            self._mounts.setdefault((store, namespace, mount), visible(path.rstrip("/"), _NAME_MAX))


_TEXTS: Final = dict.fromkeys((*_PLACE, "name"), pl.String())


def _micros(moment: Any) -> int:
    return int(moment.timestamp() * 1_000_000)
