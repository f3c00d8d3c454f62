"""`audit.duckdb` in the DuckDBs that auditors already have, as PyPI gives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pipeline.store import Lake, StoreConfig
from pipeline.store.tables import VIEWS
from tests.components import from_pypi
from tests.unit.store.store_frames import commit_of, events, operations, raw, slis

READ = """
import duckdb, json, sys
c = duckdb.connect(sys.argv[1], read_only=True)
views = [v for (v,) in c.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()]
counts = {v: c.sql(f"SELECT count(*) FROM {v}").fetchone()[0] for v in views}
changed = c.sql("SELECT count(*) FROM operations WHERE outcome = 'denied'").fetchone()[0]
kind = c.sql("SELECT typeof(time) FROM events LIMIT 1").fetchone()[0]
one = c.sql("SELECT count(*) FROM raw WHERE uid = (SELECT min(uid) FROM events)").fetchone()[0]
print(json.dumps([duckdb.__version__, counts, changed, kind, one]))
"""


@pytest.mark.integration
@pytest.mark.parametrize("release", ["1.2.2", "1.5.5"])
def test_an_older_duckdb_reads_every_view(release: str, tmp_path: Path) -> None:
    """The oldest and the newest of the 1.x line open the file and answer from every view, replaced rows in force."""
    older = from_pypi(f"duckdb=={release}")
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=True, clock=lambda: 1) as lake:
        for name, frame in (
            ("events", events(range(50))),
            ("operations", operations(range(50))),
            ("raw", raw(range(50))),
        ):
            lake.write(name, frame)
        lake.commit(commit_of(50, revise={"slis": slis(range(3))}))
        changed = operations(range(4)).with_columns(outcome=pl.lit("denied"))
        lake.commit(commit_of(51, revise={"operations": changed, "slis": slis(range(1, 4))}))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "lake" / "audit.duckdb")],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(older)},
    )  # fmt: skip
    assert done.stderr == ""
    version, counts, denied, kind, one = json.loads(done.stdout)
    assert version == release
    assert set(counts) == set(VIEWS)
    assert (counts["events"], counts["operations"], counts["raw"], counts["slis"], denied) == (50, 25, 50, 4, 2)
    assert (kind, one) == ("TIMESTAMP WITH TIME ZONE", 1)
