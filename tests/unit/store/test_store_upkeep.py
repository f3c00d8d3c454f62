from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline.core import schema
from pipeline.core.errors import StoreError
from pipeline.store import Lake, StoreConfig, query
from pipeline.store.publish import FILE
from tests.unit.store.store_frames import START_US, at, commit_of, events, operations, raw, slis, uid

NOW = 1_800_000_000_000_000_000
SMALL = StoreConfig(publish_seconds=0, compact_rows=400, compact_files=3, fold_files=3, group_rows=50)
KEEP = StoreConfig(publish_seconds=0, compact_files=10_000, fold_files=10_000)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def fill(lake: Lake, numbers: range) -> None:
    lake.write("events", events(numbers))
    lake.write("operations", operations(numbers))
    lake.write("raw", raw(numbers))
    lake.commit(commit_of(numbers.stop))


def column(lake: Path, sql: str) -> list[object]:
    return [next(iter(row.values())) for row in query(lake, sql).to_pylist()]


def live(lake: Lake, table: str) -> list[int]:
    return [file.segment.rows for file in lake._catalogue.files(table)]


def test_small_files_are_merged_and_no_row_is_lost(tmp_path: Path) -> None:
    """A table never has many more small files than allowed, and its rows are those that were written."""
    with Lake.open(tmp_path / "lake", SMALL, writer=True, clock=Clock()) as lake:
        for start in range(0, 200, 10):
            fill(lake, range(start, start + 10))
            assert sum(rows < 25 for rows in live(lake, "events")) <= 4
        assert len(live(lake, "events")) < 10
        assert pl.concat(lake.read("raw")).sort("leaf_index").equals(raw(range(200)))
        assert column(lake.path, "SELECT leaf_index FROM events ORDER BY 1") == list(range(200))
        assert lake.upkeep_failure == ""


def test_replacement_rows_are_folded_into_the_rows_they_replace(tmp_path: Path) -> None:
    """After folding there are no replacement files, and the answers are the same as before."""
    questions = (
        "SELECT * FROM operations ORDER BY time", "SELECT * FROM slis ORDER BY window_start",
        "SELECT count FROM integrity ORDER BY count",
    )  # fmt: skip
    with Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock()) as lake:
        fill(lake, range(100))
        fill(lake, range(100, 200))
        for turn in range(3):
            changed = operations(range(20 * turn, 20 * turn + 40)).with_columns(outcome=pl.lit(f"turn {turn}"))
            new = operations(range(1000 + turn * 2, 1002 + turn * 2))
            verdict = schema.conform(pl.DataFrame({"uid": ["v", f"w{turn}"], "count": turn}), schema.INTEGRITY)
            revise = {
                "operations": pl.concat([changed, new]),
                "slis": slis(range(turn, turn + 2), turn),
                "integrity": verdict,
            }
            lake.commit(commit_of(300 + turn, revise=revise))
        before = [query(lake.path, sql).to_pylist() for sql in questions]
        assert lake.compact() > 0
        assert {file.segment.kind for file in lake._catalogue.files()} == {"rows"}
        assert [query(lake.path, sql).to_pylist() for sql in questions] == before
        lake.compact()
        assert [query(lake.path, sql).to_pylist() for sql in questions] == before
    assert len(before[0]) == 103
    assert [row["good"] for row in before[1]] == [0, 1, 2, 2]


def test_folding_leaves_files_alone_that_hold_none_of_the_rows(tmp_path: Path) -> None:
    """Only the file that holds a replaced operation is written anew."""
    with Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock()) as lake:
        fill(lake, range(100))
        fill(lake, range(100, 200))
        kept = lake._catalogue.files("operations")[1].segment.path
        lake.commit(commit_of(201, revise={"operations": operations(range(4)).with_columns(outcome=pl.lit("denied"))}))
        lake.compact()
        assert kept in {file.segment.path for file in lake._catalogue.files("operations")}
        assert column(lake.path, "SELECT count(*) FROM operations WHERE outcome = 'denied'") == [2]


def test_a_reader_of_the_old_catalogue_is_not_disturbed(tmp_path: Path) -> None:
    """Files that compaction replaced stay for readers that have the old audit.duckdb open, then they go."""
    clock = Clock()
    config = StoreConfig(publish_seconds=0, keep_removed_seconds=100)
    with Lake.open(tmp_path / "lake", config, writer=True, clock=clock) as lake:
        for start in range(0, 50, 10):
            fill(lake, range(start, start + 10))
        with duckdb.connect(str(lake.path / FILE), read_only=True) as reader:
            old = {file.segment.path for file in lake._catalogue.files("events")}
            lake.compact()
            fill(lake, range(50, 60))
            assert reader.sql("SELECT count(*) FROM events").fetchall() == [(50,)]
            clock.now += 99 * 10**9
            fill(lake, range(60, 70))
            assert all((lake.path / path).exists() for path in old)
        clock.now += 2 * 10**9
        fill(lake, range(70, 80))
        assert not any((lake.path / path).exists() for path in old)
        assert column(lake.path, "SELECT count(*) FROM events") == [80]
        assert len(list((lake.path / "data" / "events").iterdir())) == 4


def test_files_that_no_catalogue_ever_named_go_sooner(tmp_path: Path) -> None:
    """A snapshot that was replaced before it was published does not take up space for an hour."""
    clock = Clock()
    row = schema.conform(pl.DataFrame({"key": ["k"]}), schema.BASELINE)
    config = StoreConfig(publish_seconds=1e6, keep_removed_seconds=1000, keep_unpublished_seconds=10)
    with Lake.open(tmp_path / "lake", config, writer=True, clock=clock) as lake:
        for number in range(5):
            lake.commit(commit_of(number, snapshot={"baselines": row.with_columns(operations=pl.lit(number))}))
        assert len(list((lake.path / "data" / "baselines").iterdir())) == 5
        lake.publish()
        lake.commit(commit_of(6, snapshot={"baselines": row}))
        clock.now += 11 * 10**9
        lake.commit(commit_of(7))
        assert len(list((lake.path / "data" / "baselines").iterdir())) == 2


def test_retention_removes_old_rows_and_their_raw_entries(tmp_path: Path) -> None:
    """Rows before the cut go from events, operations, rejected and raw; files wholly older are dropped."""
    refused = schema.conform(
        pl.DataFrame({"source": "audit.log", "file": "audit.log", "position": [-5, -6], "reason": "torn"}),
        schema.REJECTED,
    ).with_columns(time=pl.Series([at(10), at(250)], dtype=pl.Int64).cast(schema.TIME))
    lines = raw(range(2)).with_columns(
        uid=pl.Series(["x", "y"]), position=pl.Series([-5, -6]), leaf_index=pl.Series([9_000, 9_001])
    )
    with Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock()) as lake:
        for start in range(0, 300, 100):
            lake.write("raw", raw(range(start, start + 100)))  # raw first: it waits for no event
            lake.commit(commit_of(start))
        for start in range(0, 300, 100):
            lake.write("events", events(range(start, start + 100)))
            lake.write("operations", operations(range(start, start + 100)))
            lake.commit(commit_of(300 + start))
        lake.write("rejected", refused)
        lake.write("raw", lines)
        lake.commit(commit_of(1000, revise={"operations": operations(range(2)).with_columns(outcome=pl.lit("denied"))}))
        newest = {file.segment.path for file in lake._catalogue.files("events")[-1:]}
        assert lake.retain(at(150)) > 0
        assert column(lake.path, "SELECT leaf_index FROM events ORDER BY 1") == list(range(150, 300))
        assert column(lake.path, "SELECT leaf_index FROM raw ORDER BY 1") == [*range(150, 300), 9_001]
        assert column(lake.path, "SELECT epoch_us(min(time)) FROM operations") == [at(150)]
        assert column(lake.path, "SELECT count(*) FROM operations") == [75]
        assert column(lake.path, "SELECT position FROM rejected") == [-6]
        assert newest <= {file.segment.path for file in lake._catalogue.files("events")}
        assert lake.retain(at(150)) == 0
        lake.retain(at(10_000))
        assert [live(lake, table) for table in ("events", "operations", "raw", "rejected")] == [[], [], [], []]


def test_retention_goes_by_the_times_in_a_file(tmp_path: Path) -> None:
    """A catalogue that calls young rows old, or old ones young, makes nothing go that is young."""
    with Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock()) as lake:
        lake.write("events", events(range(200, 300)))
        lake.commit(commit_of(0))
        with closing(sqlite3.connect(lake.path / "commit.sqlite")) as db, db:
            db.execute("UPDATE files SET min_time = 1, max_time = 2")
        lake.retain(at(150))
        assert column(lake.path, "SELECT leaf_index FROM events ORDER BY 1") == list(range(200, 300))
        assert dict(lake.misdescribed("main")) == {}  # written anew, and described as it is


def test_retention_by_days_runs_by_itself(tmp_path: Path) -> None:
    """With retention_days a commit forgets what has become too old since, at most once an hour."""
    clock = Clock()
    clock.now = (START_US + 86_400 * 10**6) * 1000 + 50 * 10**9
    config = StoreConfig(publish_seconds=0, retention_days=1)
    with Lake.open(tmp_path / "lake", config, writer=True, clock=clock) as lake:
        fill(lake, range(100))
        assert column(lake.path, "SELECT min(leaf_index) FROM events") == [50]
        clock.now += 20 * 10**9
        fill(lake, range(100, 110))
        assert column(lake.path, "SELECT min(leaf_index) FROM events") == [50]
        clock.now += 3_600 * 10**9
        fill(lake, range(7_300, 7_310))
        assert column(lake.path, "SELECT min(leaf_index) FROM events") == [7_300]


def test_a_clock_that_goes_forward_does_not_empty_the_lake(tmp_path: Path) -> None:
    """Retention waits a day for a clock that went a year ahead within a run; set right again, it goes on at once."""
    clock, steady = Clock(), Clock()
    clock.now = (START_US + 86_400 * 10**6) * 1000 + 50 * 10**9
    config = StoreConfig(publish_seconds=0, retention_days=1)
    with Lake.open(tmp_path / "lake", config, writer=True, clock=clock) as lake:
        lake._upkeep._steady, lake._upkeep._ahead_ns = steady, clock.now - steady.now
        fill(lake, range(100))

        def first_left(numbers: range, *, forward: int, real: int) -> int:
            clock.now += forward * 10**9
            steady.now += real * 10**9
            fill(lake, numbers)
            return int(column(lake.path, "SELECT min(leaf_index) FROM events")[0])

        year, day = 365 * 86_400, 86_400
        assert first_left(range(100, 110), forward=year, real=10) == 50
        assert "retention waits" in lake.upkeep_failure
        assert first_left(range(3_800, 3_810), forward=3_700 - year, real=3_690) == 3_800
        assert lake.upkeep_failure == ""
        assert first_left(range(3_810, 3_820), forward=year, real=3_690) == 3_800
        newest = 3_800 + year + day + 90
        assert first_left(range(newest, newest + 10), forward=day + 90, real=day + 90) == newest


def test_upkeep_goes_on_by_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """What failed is tried again, and what is old forgotten, though both were last done in what is the future now."""
    clock = Clock()
    clock.now = (START_US + 86_400 * 10**6) * 1000 + 50 * 10**9
    config = StoreConfig(publish_seconds=0, retention_days=1)
    with Lake.open(tmp_path / "lake", config, writer=True, clock=clock) as lake:
        fill(lake, range(10))
        lake._upkeep._note(StoreError("a disk that was full"))
        lake._upkeep._retained_ns = clock.now
        clock.now -= 7 * 10**9
        fill(lake, range(10, 100))
        assert lake.upkeep_failure == ""
        assert column(lake.path, "SELECT min(leaf_index) FROM events") == [43]


def test_a_failing_upkeep_is_told_and_the_commit_stands(tmp_path: Path) -> None:
    """When compaction cannot read a file the commit is good all the same; the failure is told and tried again later."""
    clock = Clock()
    with Lake.open(tmp_path / "lake", SMALL, writer=True, clock=clock) as lake:
        for start in range(0, 30, 10):
            fill(lake, range(start, start + 10))
        file = next((lake.path / "data" / "events").iterdir())
        good = file.read_bytes()
        file.write_bytes(b"damaged")
        fill(lake, range(30, 40))
        assert "reading" in lake.upkeep_failure
        assert lake.upkeep_failures == 1
        file.write_bytes(good)
        fill(lake, range(40, 50))
        assert lake.upkeep_failure != ""
        clock.now += 61 * 10**9
        fill(lake, range(50, 60))
        assert (lake.upkeep_failure, lake.upkeep_failures) == ("", 1)
        assert column(lake.path, "SELECT leaf_index FROM events ORDER BY 1") == list(range(60))


def test_two_workers_do_not_compact_the_same_file_twice(tmp_path: Path) -> None:
    """A pass that finds one of its files replaced meanwhile takes itself back and leaves nothing behind."""
    with (
        Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock(), worker="a") as a,
        Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock(), worker="b") as b,
    ):
        for start in range(0, 30, 10):
            fill(a, range(start, start + 10))
        seen = a._catalogue.files()
        a.compact()
        from pipeline.store.compact import Compactor  # noqa: PLC0415  only here

        files = len(list(tmp_path.rglob("*.parquet")))
        late = Compactor(b.path, KEEP, b._steps.name, b._upkeep._swap)
        assert late.run(seen, everything=True) == 0
        assert len(list(tmp_path.rglob("*.parquet"))) == files
        assert column(a.path, "SELECT leaf_index FROM events ORDER BY 1") == list(range(30))


def test_the_published_file_shows_the_newest_commit_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """audit.duckdb has all twelve views, is complete after close, and opens from any working folder."""
    config = StoreConfig(publish_seconds=3600)
    monkeypatch.chdir(tmp_path)
    with Lake.open(Path("lake"), config, writer=True, clock=Clock()) as lake:
        fill(lake, range(10))
        fill(lake, range(10, 20))
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    with duckdb.connect(str(tmp_path / "lake" / FILE), read_only=True) as reader:
        views = [name for (name,) in reader.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()]
        counts = {name: reader.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in views}
    assert len(counts) == 12
    assert (counts["events"], counts["operations"], counts["raw"], counts["inventory"]) == (20, 10, 20, 10)


def test_publishing_is_throttled_and_catches_up_by_itself(tmp_path: Path) -> None:
    """Many commits in a row publish seldom; the last of them is shown within the time set, without another commit."""
    with (
        Lake.open(tmp_path / "lake", StoreConfig(publish_seconds=0.2), writer=True, clock=Clock()) as lake,
        (lake.path / FILE).open("rb") as first,  # held open, so that its inode is not given to a later file
    ):
        for start in range(0, 50, 10):
            fill(lake, range(start, start + 10))
        timer = lake._publisher._timer
        assert timer is not None
        timer.join()
        fill(lake, range(50, 60))
        timer = lake._publisher._timer
        assert timer is not None
        timer.join()
        assert lake._publisher.sequence == 6
        assert (lake.path / FILE).stat().st_ino != os.fstat(first.fileno()).st_ino
        with duckdb.connect(str(lake.path / FILE), read_only=True) as reader:
            assert reader.sql("SELECT count(*) FROM events").fetchall() == [(60,)]


def test_a_moved_lake_is_published_anew_when_it_is_opened(tmp_path: Path) -> None:
    """Published paths are absolute: opening a moved lake for writing makes them right, and `query` needs nothing."""
    with Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock()) as lake:
        fill(lake, range(10))
    (tmp_path / "lake").rename(tmp_path / "moved")
    assert column(tmp_path / "moved", "SELECT count(*) FROM events") == [10]
    Lake.open(tmp_path / "moved", KEEP, writer=True, clock=Clock()).close()
    with duckdb.connect(str(tmp_path / "moved" / FILE), read_only=True) as reader:
        assert reader.sql("SELECT count(*) FROM events").fetchall() == [(10,)]


def test_a_failed_publishing_is_told_and_made_up_for(tmp_path: Path) -> None:
    """When audit.duckdb cannot be written the commit stands, the failure is told, and the next commit publishes."""
    with Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock()) as lake:
        (lake.path / FILE).unlink()
        (lake.path / FILE).mkdir()
        (lake.path / FILE / "in the way").touch()
        fill(lake, range(10))
        assert "publishing" in lake.upkeep_failure
        (lake.path / FILE / "in the way").unlink()
        (lake.path / FILE).rmdir()
        fill(lake, range(10, 20))
        assert lake.upkeep_failure == ""
        assert (lake.path / FILE).is_file()


def test_the_inventory_says_who_owns_and_who_reads(tmp_path: Path) -> None:
    """Owner, consumers, ages and flags follow from successful operations, counted back from the newest of them."""
    day = 86_400 * 10**6
    rows = [
        ("kv/a", "read", "app-2", 0, "success", 1), ("kv/a", "read", "app-1", 95, "success", 2),
        ("kv/a", "write", "ci", 1, "success", 2), ("kv/a", "rotate", "ci", 2, "success", None),
        ("kv/a", "write", "app-1", 3, "success", 3), ("kv/a", "read", "mallory", 99, "denied", None),
        ("kv/b", "write", "ci", 0, "success", 1), ("", "auth", "ci", 100, "success", None),
        *(("kv/c", "read", f"p{n:02}", 100, "success", 1) for n in range(11)),
        ("kv/d", "read", "zoe", 5, "success", None), ("kv/d", "read", "abe", 5, "success", None),
        ("kv/d", "read", "zoe", 6, "success", None), ("kv/e", "read", "mallory", 100, "denied", None),
    ]  # fmt: skip
    frame = schema.conform(
        pl.DataFrame(
            rows, schema=["secret", "operation", "principal", "day", "outcome", "secret_version"], orient="row"
        ),
        pl.Schema({**schema.OPERATION, "day": pl.Int64()}),
    ).with_columns(
        uid=pl.Series([uid(n) for n in range(len(rows))]),
        time=(START_US + pl.col("day") * day).cast(schema.TIME),
        store=pl.lit("vault"),
        namespace=pl.lit(""),
    )
    with Lake.open(tmp_path / "lake", KEEP, writer=True, clock=Clock()) as lake:
        lake.write("operations", frame)
        lake.commit(commit_of(1))
        found = {row["secret"]: row for row in query(lake.path, "SELECT * FROM inventory").to_pylist()}

    def when(days: int) -> datetime:
        return datetime.fromtimestamp(START_US / 1e6 + days * 86_400, UTC)

    assert sorted(found) == ["kv/a", "kv/b", "kv/c", "kv/d"]
    a = found["kv/a"]
    assert (a["owner"], a["consumers"], a["versions"], a["readers_90d"]) == ("ci", ["app-1", "app-2"], 3, 1)
    assert (a["first_seen"], a["last_read"], a["last_write"], a["last_rotation"]) == (
        when(0),
        when(95),
        when(3),
        when(2),
    )
    assert (a["stale"], a["never_read"], a["over_shared"]) == (False, False, False)
    b = found["kv/b"]
    assert (b["consumers"], b["last_read"], b["stale"], b["never_read"]) == ([], None, True, True)
    assert (found["kv/c"]["over_shared"], found["kv/c"]["readers_90d"]) == (True, 11)
    assert (found["kv/d"]["owner"], found["kv/d"]["stale"]) == ("zoe", True)
