"""The lake on disk: Parquet files, one SQLite file as the only commit, and SQL views for auditors."""

from pipeline.store import letters
from pipeline.store.config import StoreConfig
from pipeline.store.lake import Lake
from pipeline.store.query import query

__all__ = ["Lake", "StoreConfig", "letters", "query"]
