"""A topic as one device: the partitions of `topic/0`, `topic/1` … hold one device's lines between them.

What is counted per device (canary numbers, the server's counters, hours of coverage) is counted over the topic. Within
a partition lines keep their order; over the topic there is only the canonical order, which is that of time.
"""

from __future__ import annotations

from typing import Final

import polars as pl

_PARTITION: Final = r"/[0-9]+$"


def by_topic(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows with the topic as `source`."""
    return frame.with_columns(pl.col("source").str.replace(_PARTITION, ""))


def told_by_topics(operations: pl.DataFrame) -> pl.DataFrame:
    """OPERATION rows whose `devices` are topics."""
    topics = pl.col("devices").list.eval(pl.element().str.replace(_PARTITION, "")).list.unique(maintain_order=True)
    return operations.with_columns(topics)
