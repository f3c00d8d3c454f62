"""The lake on disk: Parquet files, one SQLite file as the only commit, and SQL views for auditors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.clock import system_clock
from pipeline.store import letters
from pipeline.store.config import StoreConfig
from pipeline.store.lake import Lake
from pipeline.store.query import Ask, at_one_commit, query

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Ask", "Lake", "StoreConfig", "at_one_commit", "letters", "query", "reading"]


def reading(lake: Path) -> Lake:
    """A lake to be read only. Raises NoInputError, StoreError."""
    return Lake.open(lake, StoreConfig(), writer=False, clock=system_clock)
