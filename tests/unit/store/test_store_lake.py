from __future__ import annotations

import datetime as dt
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.core import schema
from pipeline.core.errors import ConfigError, FencedError, NoInputError, StoreError
from pipeline.core.model import Commit, Position
from pipeline.store import Lake, StoreConfig, query
from pipeline.store.tables import TABLES, VIEWS
from tests.unit.store.store_frames import at, commit_of, events, operations, raw, slis, uid

CONFIG = StoreConfig(publish_seconds=0)
NOW = 1_800_000_000_000_000_000
ROOT = Path(__file__).parents[3]


def writer(path: Path, config: StoreConfig = CONFIG, worker: str = "main") -> Lake:
    return Lake.open(path, config, writer=True, clock=lambda: NOW, worker=worker)


def count(path: Path, table: str) -> int:
    return int(query(path, f"SELECT count(*) AS n FROM {table}").to_pylist()[0]["n"])


def fill(lake: Lake, numbers: range) -> None:
    lake.write("events", events(numbers))
    lake.write("operations", operations(numbers))
    lake.write("raw", raw(numbers))


def test_rows_are_visible_with_their_commit_and_not_before(tmp_path: Path) -> None:
    """Rows written are in no view until commit, then in all at once, with their values unchanged."""
    with writer(tmp_path / "lake") as lake:
        fill(lake, range(100))
        assert count(lake.path, "events") == 0
        assert lake.commit(commit_of(100)) == 1
        assert [count(lake.path, t) for t in ("events", "operations", "raw")] == [100, 50, 100]
        stored = pl.concat(lake.read("events")).sort("leaf_index")
        assert stored.equals(events(range(100)).select(schema.EVENTS_VIEW))
        assert pl.concat(lake.read("raw")).sort("leaf_index").equals(raw(range(100)))
        assert pl.concat(lake.read("operations")).sort("time").equals(operations(range(100)))


def test_many_batches_and_row_groups_keep_every_row_once(tmp_path: Path) -> None:
    """However writes are coalesced into row groups and files, each row is stored exactly once."""
    config = StoreConfig(publish_seconds=0, group_rows=40, compact_rows=300, queue_frames=2)
    with writer(tmp_path / "lake", config) as lake:
        for start in range(0, 2000, 25):
            lake.write("events", events(range(start, start + 25)))
        lake.commit(commit_of(1))
        files = list((lake.path / "data" / "events").iterdir())
        assert len(files) > 1
        assert sorted(pl.concat(lake.read("events"))["leaf_index"]) == list(range(2000))


def test_a_reopened_lake_goes_on_from_its_last_commit(tmp_path: Path) -> None:
    """Positions, states, ledger head and sequence are those of the newest commit, also for a reader."""
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(5, ledger={"size": 5, "root": b"\x00\xff", "note": "a\n"}))
        lake.commit(commit_of(9, states={"pairing": {"open": pl.DataFrame({"a": [1]})}}))
    for write in (True, False):
        with Lake.open(tmp_path / "lake", CONFIG, writer=write, clock=lambda: NOW) as lake:
            assert lake.positions() == [Position("audit.log", "inode-1", 9, {"size": 900})]
            assert lake.ledger_head() == {"size": 5, "root": b"\x00\xff", "note": "a\n"}
            assert lake.states()["pairing"]["open"].to_dicts() == [{"a": 1}]
            assert (lake.meta("sequence"), lake.meta("committed_ns"), lake.meta("nothing")) == ("2", str(NOW), None)


def test_states_come_back_exactly(tmp_path: Path) -> None:
    """State frames keep names, order, rows and types, also without rows, and a part without frames stays a part."""
    kinds = pl.Schema(
        {
            "u8": pl.UInt8(), "f32": pl.Float32(), "text": pl.String(), "bytes": pl.Binary(), "day": pl.Date(),
            "time": schema.TIME, "span": pl.Duration("us"), "list": pl.List(pl.Float64()), "yes": pl.Boolean(),
            "pair": pl.Struct({"a": pl.Int64(), "b": pl.String()}), "array": pl.Array(pl.Int64(), 2),
            "word": pl.Enum(["a", "b"]), "u64": pl.UInt64(),
        }
    )  # fmt: skip
    row = {
        "u8": 255, "f32": 0.5, "text": "", "bytes": b"\x00", "day": dt.date(2026, 1, 1),
        "span": dt.timedelta(seconds=1), "time": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "list": [0.1, None], "yes": None, "pair": {"a": 1, "b": None},
        "array": [1, 2], "word": "b", "u64": 2**64 - 1,
    }  # fmt: skip
    states = {"x": {"full": pl.DataFrame([row], schema=kinds), "none": pl.DataFrame(schema=kinds)}, "y": {}}
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, states=states))
        found = lake.states()
    assert list(found) == ["x", "y"]
    assert found["y"] == {}
    for name, frame in states["x"].items():
        assert found["x"][name].schema == frame.schema
        assert found["x"][name].equals(frame)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_cut_is_what_a_commit_holds(tmp_path: Path, rows: int) -> None:
    """Rows written after the cut are the next commit's, and arrays that states stand in may go on changing."""
    counts, spans = np.arange(rows), np.arange(rows)
    frame = pl.DataFrame({"n": counts, "at": pl.Series(spans).cast(schema.TIME), "text": ["a"] * rows})
    before = frame.to_dict(as_series=False)
    commit = commit_of(1, states={"part": {"frame": frame}})
    with writer(tmp_path / "lake") as lake:
        fill(lake, range(10))
        cut = lake.cut(commit)
        counts += 100
        spans += 100
        fill(lake, range(10, 30))
        lake.commit(commit, cut=cut)
        assert count(lake.path, "events") == 10
        assert lake.states()["part"]["frame"].to_dict(as_series=False) == before
        lake.commit(commit_of(2))
        assert count(lake.path, "events") == 30


def test_a_part_of_the_state_that_is_not_given_stays(tmp_path: Path) -> None:
    """A commit replaces the parts it names, whole; old state files go once nothing in them is needed."""
    with writer(tmp_path / "lake") as lake:
        lake.commit(
            commit_of(1, states={"a": {"f": pl.DataFrame({"v": [1]}), "g": pl.DataFrame()}, "b": {"f": pl.DataFrame()}})
        )
        lake.commit(commit_of(2, states={"a": {"f": pl.DataFrame({"v": [2]})}}))
        lake.commit(commit_of(3))
        found = lake.states()
        assert {part: sorted(frames) for part, frames in found.items()} == {"a": ["f"], "b": ["f"]}
        assert found["a"]["f"]["v"].to_list() == [2]
        assert len(list((lake.path / "state").iterdir())) == 2
        lake.commit(commit_of(4, states={"b": {"f": pl.DataFrame({"v": [3]})}}))
        assert len(list((lake.path / "state").iterdir())) == 2


def test_a_damaged_state_file_is_not_believed(tmp_path: Path) -> None:
    """A state whose bytes changed on the disk is refused."""
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, states={"a": {"f": pl.DataFrame({"v": list(range(100))})}}))
        file = next((lake.path / "state").iterdir())
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(StoreError, match="damaged"):
            lake.states()


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """One lake has one writer per worker name: the second is told who holds it, and a reader is not in the way."""
    with writer(tmp_path / "lake") as first:
        with pytest.raises(StoreError, match=f"written by process {os.getpid()} as worker 'main'"):
            writer(tmp_path / "lake")
        with Lake.open(tmp_path / "lake", CONFIG, writer=False, clock=lambda: NOW) as reader:
            assert reader.positions() == []
        first.commit(commit_of(1))
    writer(tmp_path / "lake").close()


def test_a_killed_writer_leaves_the_lake_to_the_next(tmp_path: Path) -> None:
    """The lock dies with its process, and what that process had not committed is gone from the disk too."""
    script = f"""
        import time
        from pathlib import Path
        from tests.unit.store.test_store_lake import fill, writer
        lake = writer(Path({str(tmp_path / "lake")!r}))
        fill(lake, range(100))
        lake._writer.roll("events")
        print("ready", flush=True)
        time.sleep(60)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(StoreError, match=f"process {child.pid}"):
            writer(tmp_path / "lake")
        child.send_signal(signal.SIGKILL)
    assert any((tmp_path / "lake" / "data" / "events").iterdir())
    with writer(tmp_path / "lake") as lake:
        assert not any((lake.path / "data" / "events").iterdir())
        assert count(lake.path, "events") == 0


def test_an_older_epoch_is_fenced(tmp_path: Path) -> None:
    """A writer that another one replaced behind its back cannot commit, and nothing of it is ever visible."""
    old = writer(tmp_path / "lake")
    old.commit(commit_of(1))
    fill(old, range(10))
    (tmp_path / "lake" / "writer.lock").unlink()  # as on a shared disk without working locks
    with writer(tmp_path / "lake") as new:
        with pytest.raises(FencedError, match="another process"):
            old.commit(commit_of(2))
        with pytest.raises(StoreError, match="open it again"):
            old.write("events", events(range(1)))
        old.close()
        fill(new, range(4))
        new.commit(commit_of(2))
        assert count(new.path, "events") == 4


def test_two_workers_cannot_both_read_on_from_one_place(tmp_path: Path) -> None:
    """When a partition changes hands, only one of two workers that go on from the same offset can commit."""
    with writer(tmp_path / "lake", worker="a") as a, writer(tmp_path / "lake", worker="b") as b:
        fill(a, range(10))
        a.commit(commit_of(10))
        fill(b, range(10))
        with pytest.raises(FencedError, match=r"audit\.log"):
            b.commit(commit_of(10))
        assert count(a.path, "events") == 10
    with writer(tmp_path / "lake", worker="b") as b:
        assert b.positions()[0].offset == 10
        fill(b, range(10, 20))
        b.commit(commit_of(20))
        assert count(b.path, "events") == 20


def test_each_worker_keeps_its_own_state_and_snapshot(tmp_path: Path) -> None:
    """Workers of one lake share rows and positions; states, ledger heads, slis and baselines are their own."""
    row = schema.conform(pl.DataFrame({"scope": ["secret"], "key": ["kv/a"]}), schema.BASELINE)
    with writer(tmp_path / "lake", worker="a") as a, writer(tmp_path / "lake", worker="b") as b:
        a.commit(
            commit_of(1, states={"p": {"f": pl.DataFrame({"v": [1]})}}, ledger={"size": 1}, snapshot={"baselines": row})
        )
        b.positions()
        b.commit(commit_of(2, revise={"slis": slis(range(1))}, snapshot={"baselines": row}))
        a.positions()
        a.commit(commit_of(3, revise={"slis": slis(range(1), good=2.0)}, snapshot={"baselines": row}))
        assert (b.states(), b.ledger_head()) == ({}, {})
        assert a.ledger_head() == {"size": 1}
        found = query(a.path, "SELECT worker, good FROM slis ORDER BY worker").to_pylist()
        assert found == [{"worker": "a", "good": 2.0}, {"worker": "b", "good": 1.0}]
        assert count(a.path, "baselines") == 2


def test_the_lake_is_private(tmp_path: Path) -> None:
    """Folders are 0700 and files 0600, whatever the umask, SQLite's and DuckDB's own files too."""
    before = os.umask(0)
    try:
        with writer(tmp_path / "new" / "lake") as lake:
            fill(lake, range(10))
            lake.commit(commit_of(1, revise={"slis": slis(range(1))}, states={"a": {"f": pl.DataFrame()}}))
            found = {stat.S_IMODE(p.stat().st_mode) for p in lake.path.rglob("*") if p.is_file()}
            folders = {stat.S_IMODE(p.stat().st_mode) for p in (lake.path, *lake.path.rglob("*")) if p.is_dir()}
    finally:
        os.umask(before)
    assert (found, folders) == ({0o600}, {0o700})


def test_every_view_has_its_columns_and_types_from_the_start(tmp_path: Path) -> None:
    """An empty lake and a filled one describe every view alike."""

    def described(path: Path) -> dict[str, list[tuple[str, str]]]:
        return {
            view: [(row["column_name"], row["column_type"]) for row in query(path, f"DESCRIBE {view}").to_pylist()]
            for view in VIEWS
        }

    with writer(tmp_path / "lake") as lake:
        empty = described(lake.path)
        for name, table in TABLES.items():
            row = pl.DataFrame({"uid": ["u"]}) if "uid" in table.columns else pl.DataFrame({"source": ["s"]})
            frame = schema.conform(row, table.columns)
            if table.append:
                lake.write(name, frame)
        row = pl.DataFrame({"store": ["s"], "uid": ["u"]})
        revise = {name: schema.conform(row, table.columns) for name, table in TABLES.items() if table.keys}
        baseline = schema.conform(pl.DataFrame({"key": ["k"]}), schema.BASELINE)
        lake.commit(commit_of(1, revise=revise, snapshot={"baselines": baseline}))
        assert described(lake.path) == empty
    assert [name for name, _ in empty["events"]] == list(schema.EVENTS_VIEW)
    assert [name for name, _ in empty["operations"]] == list(schema.OPERATIONS_VIEW)
    assert dict(empty["events"])["time"] == "TIMESTAMP WITH TIME ZONE"
    assert dict(empty["raw"])["raw"] == "BLOB"
    assert dict(empty["findings"])["evidence"] == "VARCHAR[]"


def test_rows_are_replaced_by_their_key(tmp_path: Path) -> None:
    """Of rows with one key the newest is shown, in one frame, over commits, and where part of the key is null."""
    coverage = schema.conform(pl.DataFrame({"source": ["a", None], "completeness": "unknown"}), schema.COVERAGE)
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, revise={"slis": slis(range(3)), "coverage": coverage}))
        newer = coverage.with_columns(completeness=pl.lit("proven"))
        twice = pl.concat([slis(range(2, 4), good=5.0), slis(range(2, 3), good=6.0)])
        lake.commit(commit_of(2, revise={"slis": twice, "coverage": newer}))
        assert query(lake.path, "SELECT good FROM slis ORDER BY window_start")["good"].to_pylist() == [1, 1, 6, 5]
        assert query(lake.path, "SELECT completeness FROM coverage")["completeness"].to_pylist() == ["proven"] * 2
        assert sorted(pl.concat(lake.read("slis"))["good"]) == [1, 1, 5, 6]


def test_an_operation_is_corrected_by_its_uid(tmp_path: Path) -> None:
    """A replacement row stands for the operation from its commit on, in views, in reads and when it is recalled."""
    fixed = operations(range(10)).head(1).with_columns(outcome=pl.lit("denied"))
    with writer(tmp_path / "lake") as lake:
        fill(lake, range(100))
        lake.commit(commit_of(1))
        lake.commit(commit_of(2, revise={"operations": fixed}))
        found = query(lake.path, "SELECT uid, outcome FROM operations ORDER BY time").to_pylist()
        assert len(found) == 50
        assert [row["uid"] for row in found if row["outcome"] == "denied"] == [uid(0)]
        recalled = lake.recall(pl.Series([uid(0, "request"), uid(1, "request")]), at(0), at(100))
        assert sorted(recalled["outcome"]) == ["denied", "success"]


def test_a_snapshot_replaces_the_table_whole(tmp_path: Path) -> None:
    """Baselines are those of the newest commit that carried them, none if it carried none."""
    rows = schema.conform(pl.DataFrame({"key": ["a", "b"], "hours_of_week": [[0.5] * 168] * 2}), schema.BASELINE)
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, snapshot={"baselines": rows}))
        lake.commit(commit_of(2, snapshot={"baselines": rows.tail(1)}))
        lake.commit(commit_of(3))
        assert query(lake.path, "SELECT key FROM baselines")["key"].to_pylist() == ["b"]
        lake.commit(commit_of(4, snapshot={"baselines": rows.clear()}))
        assert count(lake.path, "baselines") == 0


def test_operations_are_recalled_with_all_their_columns(tmp_path: Path) -> None:
    """Recall finds committed and just written rows by correlation uid within the time asked for, and nothing else."""
    wanted = pl.Series([uid(n, "request") for n in (0, 7, 60, 999)] + [None], dtype=pl.String)
    with writer(tmp_path / "lake") as lake:
        assert lake.recall(wanted, at(0), at(200)).schema == schema.OPERATION
        fill(lake, range(100))
        lake.commit(commit_of(1))
        fill(lake, range(100, 200))
        found = lake.recall(wanted, at(0), at(200)).sort("time")
        assert found.equals(operations(range(200)).filter(pl.col("correlation_uid").is_in(wanted.implode())))
        assert found.height == 3
        assert lake.recall(wanted, at(14), at(100))["correlation_uid"].to_list() == [uid(7, "request")]
        lake.commit(commit_of(2))
        assert count(lake.path, "operations") == 100
    with Lake.open(tmp_path / "lake", CONFIG, writer=False, clock=lambda: NOW) as reader:
        assert reader.recall(wanted, at(0), at(200)).height == 3


def test_tables_are_used_as_they_are_meant(tmp_path: Path) -> None:
    """Appending to a revised table, revising an appended one, and unknown tables or workers are refused in words."""
    with writer(tmp_path / "lake") as lake:
        with pytest.raises(StoreError, match="'slis' are revised"):
            lake.write("slis", slis(range(1)))
        with pytest.raises(StoreError, match="no table 'event'; there are: events"):
            lake.write("event", events(range(1)))
    for parts in ({"revise": {"events": events(range(1))}}, {"snapshot": {"slis": slis(range(1))}}):
        with writer(tmp_path / "lake") as lake, pytest.raises(StoreError, match="not a table"):
            lake.commit(commit_of(1, **parts))
    with pytest.raises(ConfigError, match="worker"):
        writer(tmp_path / "lake", worker="../x")
    with pytest.raises(ConfigError, match="worker"):
        writer(tmp_path / "lake", worker="a--b")
    with Lake.open(tmp_path / "lake", CONFIG, writer=False, clock=lambda: NOW) as reader:
        with pytest.raises(StoreError, match="for reading"):
            reader.write("events", events(range(1)))
        with pytest.raises(StoreError, match="for reading"):
            reader.commit(commit_of(1))


def test_a_frame_that_cannot_be_stored_fails_the_commit_without_its_content(tmp_path: Path) -> None:
    """What the writing thread runs into is raised by a later call, says no value, and leaves the last commit."""
    with writer(tmp_path / "lake") as lake:
        fill(lake, range(10))
        lake.commit(commit_of(10))
        lake.write("events", pl.DataFrame({"position": ["hvs.SECRET"]}))
        with pytest.raises(StoreError, match="writing events") as failure:
            lake.commit(commit_of(20))
        assert "SECRET" not in str(failure.value)
        with pytest.raises(StoreError, match="open it again"):
            lake.commit(commit_of(20))
    with writer(tmp_path / "lake") as lake:
        assert lake.positions()[0].offset == 10
        fill(lake, range(10, 20))
        lake.commit(commit_of(20))
        assert count(lake.path, "events") == 20


def test_there_must_be_a_lake_to_read(tmp_path: Path) -> None:
    """Reading what is not there, or what another format wrote, is refused by name and creates nothing."""
    with pytest.raises(NoInputError, match="no lake in"):
        Lake.open(tmp_path / "none", CONFIG, writer=False, clock=lambda: NOW)
    assert not (tmp_path / "none").exists()
    with writer(tmp_path / "lake") as lake, lake._catalogue.changing() as sql:
        sql.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    with pytest.raises(StoreError, match="format 99"):
        writer(tmp_path / "lake")
    with pytest.raises(StoreError, match="format 99"):
        query(tmp_path / "lake", "SELECT 1")


def test_asking_for_positions_does_not_hide_that_another_worker_was_faster(tmp_path: Path) -> None:
    """A worker with uncommitted rows stays fenced by what it saw when it read them, even if it asks in between."""
    with writer(tmp_path / "lake", worker="a") as a, writer(tmp_path / "lake", worker="b") as b:
        fill(b, range(10))
        fill(a, range(10))
        a.commit(commit_of(10))
        assert b.positions()[0].offset == 10
        with pytest.raises(FencedError):
            b.commit(commit_of(10))


def test_a_defect_in_a_commit_stops_the_writer_too(tmp_path: Path) -> None:
    """After any exception in a commit, a programming error too, the rows it held cannot slip into a later commit."""
    with writer(tmp_path / "lake") as lake:
        fill(lake, range(10))
        with pytest.raises(TypeError):
            lake.commit(Commit([Position("audit.log", "p", 1, {"bad": b"bytes are not JSON"})]))
        with pytest.raises(StoreError, match="open it again, after: TypeError"):
            lake.commit(commit_of(10))
        assert count(lake.path, "events") == 0


def test_files_of_an_older_version_are_read_beside_new_ones(tmp_path: Path) -> None:
    """A column that older files lack is null in their rows, in views, in reads, and after compaction."""
    with writer(tmp_path / "lake") as lake:
        for numbers in (range(10), range(10, 20)):
            lake.write("events", events(numbers))
            lake.commit(commit_of(numbers.stop))
        old = lake.path / lake._catalogue.files("events")[0].segment.path
        pl.read_parquet(old).drop("path", "file").write_parquet(old)
        with lake._catalogue.changing() as sql:
            sql.execute("UPDATE files SET layout = 1 WHERE path LIKE ?", (f"%{old.name}",))
        question = "SELECT leaf_index, file FROM events ORDER BY leaf_index"
        wanted = [{"leaf_index": n, "file": None if n < 10 else "audit.log"} for n in range(20)]
        assert query(lake.path, question).to_pylist() == wanted
        assert pl.concat(lake.read("events"))["file"].null_count() == 10
        lake.compact()
        assert query(lake.path, question).to_pylist() == wanted
