"""`audit.duckdb` in the DuckDB that an auditor already has. KEYTRAIL_OLD_DUCKDB: a Python with duckdb 1.2 to 1.5."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import polars as pl
import pytest

from pipeline.store import Lake, StoreConfig
from pipeline.store.tables import VIEWS
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
def test_an_older_duckdb_reads_every_view(tmp_path: Path) -> None:
    """A DuckDB of the 1.x line opens the file and answers from every view, with replaced rows in force."""
    python = os.environ.get("KEYTRAIL_OLD_DUCKDB", "")
    if not python:
        pytest.skip("KEYTRAIL_OLD_DUCKDB is not set: the path of a Python with duckdb 1.2 to 1.5")
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
        [python, "-c", READ, str(tmp_path / "lake" / "audit.duckdb")], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    version, counts, denied, kind, one = json.loads(done.stdout)
    assert version.startswith("1.")
    assert set(counts) == set(VIEWS)
    assert (counts["events"], counts["operations"], counts["raw"], counts["slis"], denied) == (50, 25, 50, 4, 2)
    assert (kind, one) == ("TIMESTAMP WITH TIME ZONE", 1)
