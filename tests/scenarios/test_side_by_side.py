"""Several processes on one lake: a writer that follows, readers of two kinds, and a writer too many."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import duckdb
import pytest

from pipeline.store import query
from tests.lakes import run, view
from tests.processes import keytrail, start
from tests.scenarios.vault_lines import pairs

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`run --follow` over a log that holds ten operations, publishing as often as it commits."""
    (tmp_path / "audit.log").write_bytes(pairs(range(10)))
    (tmp_path / "keytrail.toml").write_text(
        "[line]\ncommit_seconds = 0.1\nidle_seconds = 0.2\n[store]\npublish_seconds = 0\n"
    )
    process = start(
        "run", "audit.log", "--follow", "--lake", "lake", "--config", "keytrail.toml", home=tmp_path
    )  # fmt: skip
    try:
        wait_for(tmp_path, process, 10)
        yield process
    finally:
        process.kill()
        process.communicate()


def count(home: Path) -> int:
    """Operations that a plain DuckDB sees."""
    path = home / "lake" / "audit.duckdb"
    if not path.exists():
        return 0
    with duckdb.connect(str(path), read_only=True) as connection:
        ((rows, uids),) = connection.sql("SELECT count(*), count(DISTINCT uid) FROM operations").fetchall()
    assert rows == uids
    return int(rows)


def asked(home: Path) -> int:
    """Operations that `keytrail query` sees."""
    table = query(home / "lake", "SELECT count(*) AS n, count(DISTINCT uid) AS u FROM operations")
    (row,) = table.to_pylist()
    assert row["n"] == row["u"]
    return int(row["n"])


def wait_for(home: Path, process: subprocess.Popen[str], wanted: int, seen: Callable[[Path], int] = count) -> None:
    """Until so many operations are seen; a minute at most."""
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(f"it ended: {process.communicate()}")
        if seen(home) >= wanted:
            return
        time.sleep(0.1)
    raise AssertionError(f"only {seen(home)} of {wanted} operations")


def test_readers_see_whole_commits_while_it_is_written(follower: subprocess.Popen[str], tmp_path: Path) -> None:
    """`keytrail query` and a plain DuckDB, asked again and again while the log grows, never fail and never go back."""
    seen = {"duckdb": 10, "query": 10}
    for turn in range(1, 9):
        with (tmp_path / "audit.log").open("ab") as log:
            log.write(pairs(range(turn * 10, turn * 10 + 10), start=turn * 10))
        for _ in range(4):
            now = {"duckdb": count(tmp_path), "query": asked(tmp_path)}
            assert all(now[reader] >= seen[reader] for reader in now)
            seen = now
    with (tmp_path / "audit.log").open("ab") as log:  # time goes on, so that the last ones are known to be whole
        log.write(pairs(range(100, 102), start=200))
    wait_for(tmp_path, follower, 90)
    answer = keytrail("query", "SELECT count(*) AS n FROM events", "--format", "csv", "--lake", "lake", home=tmp_path)
    assert (answer.returncode, answer.stdout) == (0, "n\n184\n")


def test_a_reader_keeps_what_it_opened(follower: subprocess.Popen[str], tmp_path: Path) -> None:
    """A DuckDB that holds an older audit.duckdb open goes on reading that state while newer ones are published."""
    with duckdb.connect(str(tmp_path / "lake" / "audit.duckdb"), read_only=True) as held:
        before = held.sql("SELECT count(*) FROM operations").fetchall()
        with (tmp_path / "audit.log").open("ab") as log:
            log.write(pairs(range(10, 60), start=100))
        wait_for(tmp_path, follower, 50, asked)
        assert held.sql("SELECT count(*) FROM operations").fetchall() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_follower_told_to_stop(follower: subprocess.Popen[str], tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end with code 0 and a summary; what was taken is in the lake, and the next run goes on."""
    with (tmp_path / "audit.log").open("ab") as log:
        log.write(pairs(range(10, 15), start=20))
    wait_for(tmp_path, follower, 14)
    follower.send_signal(number)
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == 0, err
    assert "15 operations" in out or "14 operations" in out
    assert "Traceback" not in err
    again = run(tmp_path / "again", tmp_path / "audit.log")
    assert again["operations"] == 15
    done = keytrail("run", "audit.log", "--lake", "lake", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert view(tmp_path / "lake", "operations")["correlation_uid"].n_unique() == 15


def test_a_second_writer_is_refused(follower: subprocess.Popen[str], tmp_path: Path) -> None:
    """A lake that is being written takes no other run: code 1, and which process has it."""
    done = keytrail("run", "audit.log", "--lake", "lake", home=tmp_path)
    assert done.returncode == 1
    (told,) = done.stderr.splitlines()
    assert f"process {follower.pid}" in told
    assert follower.poll() is None


def test_a_lake_of_a_newer_make(tmp_path: Path) -> None:
    """A lake that a newer keytrail made is neither written nor read, and the message says why."""
    (tmp_path / "audit.log").write_bytes(pairs(range(3)))
    run(tmp_path / "lake", tmp_path / "audit.log")
    with contextlib.closing(sqlite3.connect(tmp_path / "lake" / "commit.sqlite")) as sql:
        sql.execute("UPDATE meta SET value = '999' WHERE key = 'format'")
        sql.commit()
    for words in (("run", "audit.log"), ("query", "SELECT 1"), ("alerts",)):
        done = keytrail(*words, "--lake", "lake", home=tmp_path)
        assert done.returncode == 1, done.stderr
        assert "999" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_lake_that_is_none(tmp_path: Path) -> None:
    """A file where the lake should be, a folder that may not be written: one line and no traceback."""
    (tmp_path / "audit.log").write_bytes(pairs(range(3)))
    (tmp_path / "file").write_text("not a lake")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "commit.sqlite").write_bytes(b"SQLite format 3\x00" + b"\xff" * 4000)
    for name, code in (("file", 1), ("broken", 10)):  # a lake's own file that is none may have been tampered with
        done = keytrail("run", "audit.log", "--lake", name, home=tmp_path)
        assert done.returncode == code, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert name in done.stderr
