"""A range of the lake replayed with full state under one configuration or two, and what would have been sent.

Operations come in the canonical order and pass the same windows, detectors, baselines and router as when they were
read; what lies before the range is learned from. Nothing is written to the lake.
"""

from pipeline.backtest.compare import Difference, alert_rows, caught, compare, summary
from pipeline.backtest.replay import Replayed, replay

__all__ = ["Difference", "Replayed", "alert_rows", "caught", "compare", "replay", "summary"]
