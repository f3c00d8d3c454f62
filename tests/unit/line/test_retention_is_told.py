"""What retention removes, the ledger says: verify knows expired entries from missing ones."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from pipeline import config as conf
from pipeline.app import RunOptions
from pipeline.job import Run
from pipeline.store import Lake, StoreConfig, query
from pipeline.verification import verify_lake
from tests.lakes import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

LOGS = SAMPLES / "vault" / "audit_off"


def count(lake: Path, view: str) -> int:
    """Rows of a view."""
    return int(query(lake, f"SELECT count(*) FROM {view}").column(0)[0].as_py())


@pytest.mark.parametrize(
    ("days", "hours", "left"),
    [
        pytest.param(1, 36, False, marks=pytest.mark.slow),
        (1, 22, True),
        pytest.param(3, 36, True, marks=pytest.mark.slow),
    ],
)
def test_expired_entries_are_not_missing(days: int, hours: int, left: bool, tmp_path: Path) -> None:
    """A lake that has forgotten what is older than some days verifies, and holds only the rest: some or nothing."""
    newest = dt.datetime(2026, 3, 5, tzinfo=dt.UTC) + dt.timedelta(hours=hours)
    settings = conf.Settings(None, {"store": {"retention_days": days}})
    options = RunOptions((str(LOGS),), tmp_path / "lake", signing_key=str(tmp_path / "key"))
    told = Run(options, settings, lambda: int(newest.timestamp() * 1e9)).execute()
    assert (count(tmp_path / "lake", "raw") > 0) is left
    assert count(tmp_path / "lake", "raw") < told["entries"]
    report = verify_lake(tmp_path / "lake", None, (), None)[0].report
    assert report.exit_code == 0, report.rows.rows()
    assert report.leaves == count(tmp_path / "lake", "raw")


def test_entries_that_go_untold_are_missing(tmp_path: Path) -> None:
    """The same removal without a word to the ledger is found."""
    options = RunOptions((str(LOGS),), tmp_path / "lake", signing_key=str(tmp_path / "key"))
    Run(options, conf.Settings()).execute()
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=True, clock=lambda: 0) as lake:
        lake.retain(int(dt.datetime(2026, 3, 4, tzinfo=dt.UTC).timestamp() * 1e6))
    report = verify_lake(tmp_path / "lake", None, (), None)[0].report
    assert report.exit_code == 10
