"""What a run has done, counted once: for its summary, and for its metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.exported import Exported

if TYPE_CHECKING:
    import polars as pl

    from pipeline.core.metrics import Metrics


@dataclass(slots=True)
class Totals:
    """What came, what became of it, and what was said of it."""

    metrics: Metrics
    entries: int = 0
    bytes: int = 0
    operations: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, tuple[str, int]] = field(default_factory=dict)  # uid of the place -> verdict, count
    alerts: dict[str, str] = field(default_factory=dict)  # uid -> severity
    slis: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    exported: Exported = field(init=False)

    def __post_init__(self) -> None:
        self.exported = Exported(self.metrics)

    def took(self, entries: int, size: int, rejected: pl.DataFrame) -> None:
        """A batch of so many entries and bytes; REJECTED rows of it."""
        reasons = dict(rejected["reason"].value_counts().iter_rows())
        self.entries += entries
        self.bytes += size
        self.rejected.update(reasons)
        self.metrics.entries.inc(entries)
        self.metrics.bytes.inc(size)
        self.metrics.count_rejected(reasons)

    def judged(self, operations: pl.DataFrame, verdicts: pl.DataFrame) -> None:
        """New OPERATION rows, and INTEGRITY rows: a place that is told of again counts once."""
        self.operations += len(operations)
        self.exported.operations(operations)
        for uid, verdict, count in verdicts.select("uid", "verdict", "count").iter_rows():
            if uid not in self.verdicts:
                self.metrics.verdicts.labels(verdict).inc()
            self.verdicts[uid] = (verdict, count)

    def measured(self, slis: pl.DataFrame) -> None:
        """SLI rows; those of whole stores are kept, the newest of each window."""
        for row in slis.filter(scope="store").iter_rows(named=True):
            key = (row["sli"], row["store"], row["window_start"])
            self.exported.window(row, self.slis.get(key))
            self.slis[key] = row

    def told(self, alerts: pl.DataFrame) -> None:
        """ALERT rows, made or changed."""
        for uid, severity, detectors, revision in alerts.select("uid", "severity", "detectors", "revision").iter_rows():
            if uid not in self.alerts and revision >= 1:
                self.metrics.alerts.labels(detectors[0] if detectors else "", severity).inc()
            self.alerts[uid] = severity
