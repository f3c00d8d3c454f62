from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.core.errors import ConfigError, StoreError
from pipeline.store import Lake, StoreConfig, query
from tests.unit.store.store_frames import commit_of, events, operations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.store.catalogue import LiveFile

CONFIG = StoreConfig(publish_seconds=0)
NOW = 1_800_000_000_000_000_000
ROOT = Path(__file__).parents[3]
query_module = importlib.import_module("pipeline.store.query")  # its name in the package is the function


def filled(path: Path, rows: int = 100) -> Path:
    with Lake.open(path, CONFIG, writer=True, clock=lambda: NOW) as lake:
        lake.write("events", events(range(rows)))
        lake.write("operations", operations(range(rows)))
        lake.commit(commit_of(rows))
    return path


def contents(lake: Path) -> dict[str, str]:
    """Every data file and what it holds."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in lake.rglob("*.parquet")}


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'x.csv'",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "PRAGMA database_list",
        "CREATE TABLE t (i INT)",
        "INSERT INTO events VALUES (1)",
        "DELETE FROM events",
        "EXPORT DATABASE 'x'",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'",
        "USE temp",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
        "SELEC 1",
        "SELECT nothing FROM events",
        "FROM no_such_view",
        "PIVOT events ON phase USING count(*)",
        "WITH a AS (INSERT INTO events VALUES (1) RETURNING *) SELECT * FROM a",
        "SELECT (WITH a AS (DELETE FROM events RETURNING *) SELECT count(*) FROM a)",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM duckdb_secrets()",
    ],
)
def test_whatever_does_not_only_read_the_views_is_refused(tmp_path: Path, sql: str) -> None:
    """Writes, settings, other files, other databases, several statements and wrong SQL end in a ConfigError."""
    lake = filled(tmp_path / "lake", 10)
    with pytest.raises(ConfigError):
        query(lake, sql)


def test_a_copy_hidden_in_a_query_cannot_touch_a_data_file(tmp_path: Path) -> None:
    """A COPY inside a CTE, which DuckDB counts as a SELECT, is refused, and every file stays as it is."""
    lake = filled(tmp_path / "lake")
    before = contents(lake)
    target = next(iter(before))
    for to in (target, str(tmp_path / "out.parquet"), str(lake / "commit.sqlite")):
        hidden = f"WITH a AS (COPY (SELECT 1) TO '{to}' (FORMAT parquet, USE_TMP_FILE false)) SELECT 1"
        for sql in (hidden, f"SELECT ({hidden})", f"SELECT * FROM ({hidden}) UNION ALL SELECT 2"):
            with pytest.raises(ConfigError, match="COPY is refused"):
                query(lake, sql)
    assert contents(lake) == before
    assert not (tmp_path / "out.parquet").exists()


def test_only_the_files_of_the_commit_are_within_reach(tmp_path: Path) -> None:
    """The commit file, with undelivered alerts in it, cannot be read through SQL; views and their files can."""
    lake = filled(tmp_path / "lake")
    with pytest.raises(ConfigError, match="Permission"):
        query(lake, f"SELECT * FROM read_blob('{lake / 'commit.sqlite'}')")
    file = next((lake / "data" / "events").iterdir())
    assert query(lake, f"SELECT count(*) AS n FROM read_parquet('{file}')").to_pylist() == [{"n": 100}]


def test_statements_that_read_are_answered(tmp_path: Path) -> None:
    """SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE, SHOW, recursion, comments and parameters work."""
    lake = filled(tmp_path / "lake")
    assert query(lake, "from Events select count(*) n -- all;").to_pylist() == [{"n": 100}]
    assert (
        query(lake, "SELECT count(*) n FROM events WHERE position > ? AND phase = ?", [5_000, "request"])["n"][
            0
        ].as_py()
        == 24
    )
    assert query(lake, "SELECT $a + 1 AS n", {"a": 1}).to_pylist() == [{"n": 2}]
    assert (
        query(lake, "WITH e AS (FROM events) SELECT count(*) AS n FROM e JOIN operations USING (uid);")["n"][0].as_py()
        == 50
    )
    recursive = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT max(n) AS n FROM t"
    assert query(lake, recursive).to_pylist() == [{"n": 5}]
    for sql, rows in (("SHOW TABLES", 12), ("DESCRIBE events", 26), ("SUMMARIZE coverage", 7), ("VALUES (1), (2)", 2)):
        assert query(lake, sql).num_rows == rows
    assert query(lake, "SELECT view_name FROM duckdb_views() WHERE NOT internal").num_rows == 12
    assert query(lake, "PIVOT events ON phase IN ('request', 'response') USING count(*)").num_rows > 0
    assert str(query(lake, "SELECT max(time) AS t FROM events").schema.field("t").type) == "timestamp[us, tz=UTC]"


def test_callers_variables_are_not_tables(tmp_path: Path) -> None:
    """A name that is no view is not looked for among Python's variables."""
    secrets = events(range(1)).to_arrow()
    with pytest.raises(ConfigError, match="secrets"):
        query(filled(tmp_path / "lake"), "SELECT * FROM secrets")
    assert secrets.num_rows == 1


def test_memory_is_limited(tmp_path: Path) -> None:
    """A query that needs more memory than allowed ends with an error, not with the machine."""
    with pytest.raises(ConfigError, match=r"[Mm]emory"):
        query(filled(tmp_path / "lake"), "SELECT list(range) FROM range(100000000)", memory_limit="50MB")


def test_odd_folder_names_are_only_names(tmp_path: Path) -> None:
    """Quotes, spaces and pattern characters in the lake's path mean nothing to the SQL."""
    for name in ("it's a lake", "lake[1]*", "см;--", 'a"b'):
        lake = filled(tmp_path / name, 10)
        assert query(lake, "SELECT count(*) AS n FROM events").to_pylist() == [{"n": 10}]
    with pytest.raises(ConfigError, match="may not contain"):
        filled(tmp_path / "lake?")


def test_a_path_that_is_no_utf8_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    """By a writer before it makes the folder, by a reader of a lake that was moved there, by whatever way it goes."""
    lake, there = filled(tmp_path / "lake", 10), tmp_path / "lak\udce9"
    with pytest.raises(ConfigError, match="not UTF-8"):
        filled(there)
    assert not there.exists()
    lake.rename(there)
    (tmp_path / "link").symlink_to(there)
    for path in (there, tmp_path / "link"):
        with pytest.raises(ConfigError, match="not UTF-8"):
            filled(path)
        with pytest.raises(ConfigError, match="not UTF-8"):
            query(path, "SELECT count(*) AS n FROM events")
        with pytest.raises(ConfigError, match="not UTF-8"):
            Lake.open(path, CONFIG, writer=False, clock=lambda: NOW)


def test_a_reader_sees_whole_commits_while_the_writer_goes_on(tmp_path: Path) -> None:
    """Every answer is of one commit: events and operations in step, never a part of either."""
    path = filled(tmp_path / "lake", 10)
    stop = threading.Event()
    config = StoreConfig(publish_seconds=0.01, compact_files=2, keep_unpublished_seconds=0, keep_removed_seconds=0)

    def write() -> None:
        with Lake.open(path, config, writer=True, clock=lambda: NOW) as lake:
            done = 10
            while not stop.is_set():
                lake.write("events", events(range(done, done + 10)))
                lake.write("operations", operations(range(done, done + 10)))
                done += 10
                lake.commit(commit_of(done))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = [
            query(
                path, "SELECT (SELECT count(*) FROM events) AS e, (SELECT count(*) FROM operations) AS o"
            ).to_pylist()[0]
            for _ in range(30)
        ]
    finally:
        stop.set()
        thread.join()
    assert all(row["e"] == 2 * row["o"] and row["e"] % 10 == 0 for row in seen)
    assert seen[-1]["e"] > seen[0]["e"]


def test_a_file_that_goes_while_it_is_asked_for_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice in a row a commit's files are replaced before they are opened; the third answer is whole."""
    lake, known, asked = filled(tmp_path / "lake"), query_module._files, []

    def stale(path: Path) -> list[LiveFile]:
        first, *rest = known(path)
        asked.append(first)
        gone = replace(first, segment=replace(first.segment, path=f"{first.segment.path}.gone"))
        return [gone if len(asked) < 3 else first, *rest]

    expected = query(lake, "SELECT count(*) AS n FROM events").to_pylist()
    monkeypatch.setattr(query_module, "_files", stale)
    assert query(lake, "SELECT count(*) AS n FROM events").to_pylist() == expected
    assert len(asked) == 3


def test_a_missing_file_is_an_error_not_an_empty_answer(tmp_path: Path) -> None:
    """A data file that somebody removed is reported as such."""
    lake = filled(tmp_path / "lake")
    next((lake / "data" / "events").iterdir()).unlink()
    with pytest.raises(StoreError, match="reading"):
        query(lake, "SELECT * FROM events")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter: pytest's own are closed again whenever another session starts."""
    with tempfile.TemporaryDirectory(prefix="keytrail-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a user who may only read")
def test_somebody_who_may_only_read_can_query(open_folder: Path) -> None:
    """A user without write permission on the lake can query it once its owner lets him read."""
    lake = filled(open_folder / "lake")
    for folder in (lake, *lake.rglob("*")):
        folder.chmod(0o755 if folder.is_dir() else 0o644)
    script = f"""
        from pathlib import Path
        from pipeline.store import query
        import duckdb, polars, pyarrow.parquet, os
        os.setgid(65534); os.setuid(65534)
        print(query(Path({str(lake)!r}), "SELECT count(*) AS n FROM events").to_pylist())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[{'n': 100}]\n", "")


def test_no_part_of_duckdb_draws_progress_on_stdout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A question that takes its time writes nothing of its own to stdout, where its answer goes."""
    lake = filled(tmp_path / "lake")
    setting = query(lake, "SELECT current_setting('enable_progress_bar') AS drawn").to_pylist()
    assert setting == [{"drawn": False}]
    places = [path for path in (ROOT / "pipeline").rglob("*.py") if "duckdb.connect(" in path.read_text("utf-8")]
    told = [path.name for path in places if "enable_progress_bar" not in path.read_text("utf-8")]
    assert (len(places) > 3, told) == (True, [])
    assert capfd.readouterr().out == ""
