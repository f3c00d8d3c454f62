"""Running the whole line in tests, and comparing what it left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import config as conf
from pipeline.app import RunOptions
from pipeline.job import Run
from pipeline.store import query

SHARED = Path(os.environ.get("KEYTRAIL_SHARED", Path(__file__).parents[2] / "shared")) / "real_logs"
SAMPLES = Path(__file__).parents[1] / "sample_logs"

# What differs from run to run by design: salts, times of ingestion, and what is made of them.
UNREPEATABLE = {"raw": ("salt", "leaf")}
VIEWS = (
    "events", "operations", "slis", "baselines", "findings", "alerts", "integrity", "coverage", "rejected", "raw",
)  # fmt: skip


def real_logs(name: str) -> Path:
    """A folder of recorded logs; the test is skipped, saying so, where they are not at hand."""
    folder = SHARED / name
    if not folder.exists():
        pytest.skip(f"no recorded logs at {folder}; set KEYTRAIL_SHARED")
    return folder


def run(
    lake: Path, *paths: Path, batch: int | None = None, tables: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """One run of the line over `paths` into `lake`, keys beside it; the summary."""
    chosen = RunOptions(
        tuple(map(str, paths)), lake, batch_entries=batch, signing_key=str(lake.parent / "signing.key"), **options
    )
    return Run(chosen, conf.Settings(None, tables or {})).execute()


def view(lake: Path, name: str) -> pl.DataFrame:
    """A view's rows in an order of their own, without what cannot repeat."""
    frame = pl.DataFrame(pl.from_arrow(query(lake, f"SELECT * FROM {name}")))
    kept = frame.drop(UNREPEATABLE.get(name, ()))
    keys = [c for c, kind in kept.schema.items() if not kind.is_nested()]
    return kept.sort(keys)


def differences(left: Path, right: Path) -> list[str]:
    """The views in which two lakes differ."""
    return [name for name in VIEWS if not view(left, name).equals(view(right, name))]
