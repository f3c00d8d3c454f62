"""Verification: each kind of tampering is found, named and located; what is whole stays clean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.core.schema import INTEGRITY
from pipeline.ledger import FileGuard, keys, leaf, merkle, note, redaction, seal
from pipeline.ledger.verify import Report, Snapshot, Unreadable, verify
from tests.unit.ledger.small_lake import SmallLake, broken, records

Edit = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def lake(tmp_path: Path) -> SmallLake:
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(300))
    lake.write(records(500, 300), redacted=[4, 5], control=[(leaf.CONFIG, {"config": "abc"})])
    lake.write(records(7, 800))
    return lake


def places(report: Report) -> list[tuple[Any, ...]]:
    rows = report.rows.filter(~pl.col("verdict").is_in(["ok", "redacted"]))
    return list(rows.select("source", "verdict", "from_position", "to_position", "count").iter_rows())


def edit(lake: SmallLake, name: str, change: Edit) -> None:
    path = lake.folder / name
    frame = pl.read_parquet(path)
    change(frame).write_parquet(path)


def set_at(column: str, row: int, value: Any) -> Edit:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        values = frame[column].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))

    return change


def test_an_untouched_lake_is_clean(lake: SmallLake) -> None:
    """One ok row for the whole, redactions at ingest told apart, and notes for what nobody vouches for."""
    report = lake.verify()
    assert (report.exit_code, report.size, report.leaves) == (0, 808, 807)
    assert report.rows.schema == INTEGRITY
    told = report.rows.select("source", "verdict", "from_position", "to_position", "count").rows()
    assert told == [
        ("raw-000000300.parquet", "redacted", 304, 305, 2),
        ("ledger/checkpoint", "ok", 0, 807, 808),
    ]
    assert any("no witness" in text for text in report.notes)
    assert any("no kept head" in text for text in report.notes)


ROW = {
    "raw": b"forged",
    "salt": bytes(16),
    "position": 1,
    "source": "other.log",
    "leaf": b"al1\x00" + bytes(58),
    "redacted": True,
}


@pytest.mark.parametrize("column", ROW)
def test_an_edited_row_is_located(lake: SmallLake, column: str) -> None:
    """Whatever the leaf commits to, a change of it in one row is told with file and leaf."""
    edit(lake, "raw-000000300.parquet", set_at(column, 100, ROW[column]))
    report = lake.verify()
    assert report.exit_code == 10
    assert places(report) == [("raw-000000300.parquet", "altered", 400, 400, 1)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: f.filter(pl.col("leaf_index") != 17), [("raw", "gap", 17, 17, 1)]),
        (lambda f: f.head(290), [("raw", "gap", 290, 299, 10)]),
        (lambda f: pl.concat([f, f[5:8]]), [("raw-000000000.parquet", "duplicate", 5, 7, 3)]),
        (lambda f: pl.concat([f, f[5:6].with_columns(leaf_index=pl.lit(900, pl.Int64))]),
         [("raw-000000000.parquet", "unsigned", 900, 900, 1)]),
        (set_at("raw", 9, None), [("raw-000000000.parquet", "altered", 9, 9, 1)]),
        (lambda f: set_at("salt", 9, None)(set_at("raw", 9, None)(f)), [("raw-000000000.parquet", "altered", 9, 9, 1)]),
        (set_at("leaf", 9, b"short"), [("raw-000000000.parquet", "altered", 9, 9, 1)]),
        (set_at("leaf", 9, None), [("raw-000000000.parquet", "altered", 9, 9, 1)]),
        (set_at("salt", 9, b"short"), [("raw-000000000.parquet", "altered", 9, 9, 1)]),
        (lambda f: f.with_columns(leaf_index=pl.when(pl.col("leaf_index") == 3).then(4)
                                  .when(pl.col("leaf_index") == 4).then(3).otherwise("leaf_index")),
         [("raw-000000000.parquet", "altered", 3, 4, 2)]),
        (lambda f: f.clear(), [("raw", "gap", 0, 299, 300)]),
    ],
    ids=["deleted", "cut", "duplicated", "forged", "erased", "erased-whole", "leaf-cut", "leaf-gone", "salt-cut",
         "swapped", "emptied"],
)  # fmt: skip
def test_rows_that_are_gone_doubled_forged_or_swapped_are_told(lake: SmallLake, change: Edit, expected: Any) -> None:
    """Each with its own verdict and its exact place."""
    edit(lake, "raw-000000000.parquet", change)
    report = lake.verify()
    assert (report.exit_code, places(report)) == (10, expected)


def test_a_file_swapped_for_another_is_told(lake: SmallLake) -> None:
    """Rows that are genuine elsewhere do not stand in for others."""
    shutil.copy(lake.folder / "raw-000000801.parquet", lake.folder / "raw-000000000.parquet")
    assert places(lake.verify()) == [
        ("raw-000000801.parquet", "duplicate", 801, 807, 7),
        ("raw", "gap", 0, 299, 300),
    ]


def test_rows_in_any_order_and_any_cut_are_the_same_rows(lake: SmallLake) -> None:
    """The reader need not sort."""
    rows = pl.concat(lake.rows()).sample(fraction=1.0, shuffle=True, seed=3)
    whole = verify(lake.folder, lake.ledger.verifier, lambda: Snapshot(lake.head(), [rows]))
    single = (rows[i : i + 7] for i in range(0, len(rows), 7))
    cut = verify(lake.folder, lake.ledger.verifier, lambda: Snapshot(lake.head(), single))
    assert (whole.exit_code, cut.exit_code, cut.leaves) == (0, 0, 807)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("tile/entries/001", 64 * 3 + 20, [("ledger/tile/entries/001", "altered", 259, 259, 1)]),
        ("tile/entries/001", 1, [("ledger/tile/entries/001", "altered", 256, 511, 256)]),
        ("tile/entries/003.p/40", 64 + 5, [("ledger/tile/entries/003.p/40", "altered", 769, 769, 1)]),
        ("tile/0/001", 32 * 3, [("ledger/tile/0/001", "altered", 259, 259, 1)]),
        ("tile/0/003.p/40", 32 * 3, [("ledger/tile/0/003.p/40", "altered", 771, 771, 1)]),
        ("tile/1/000.p/3", 32 * 2, [("ledger/tile/1/000.p/3", "altered", 512, 767, 256)]),
        ("ctl.jsonl", 12, [("ledger/ctl.jsonl", "altered", 800, 800, 1)]),
    ],
)
def test_a_flipped_byte_of_the_ledger_is_located(lake: SmallLake, name: str, at: int, expected: Any) -> None:
    """The file at fault is named, not its neighbours, and rows that are right are not blamed."""
    flip(lake.folder / "ledger" / name, at)
    report = lake.verify()
    assert (report.exit_code, places(report)) == (10, expected)


def test_an_entry_and_its_hash_changed_together_are_found(lake: SmallLake) -> None:
    """The tile above does not have them."""
    folder = lake.folder / "ledger"
    bundle = bytearray((folder / "tile/entries/001").read_bytes())
    bundle[64 * 3 + 20] ^= 1
    (folder / "tile/entries/001").write_bytes(bundle)
    hashes = bytearray((folder / "tile/0/001").read_bytes())

    hashes[96:128] = merkle.leaf_hash(bytes(bundle[64 * 3 + 2 : 64 * 4]))
    (folder / "tile/0/001").write_bytes(hashes)
    found = broken(lake.verify())
    assert ("ledger/tile/0/001", "altered") in found


@pytest.mark.parametrize(
    "name",
    ["tile/entries/001", "tile/entries/003.p/40", "tile/0/001", "tile/0/003.p/40", "tile/1/000.p/3", "ctl.jsonl"],
)
def test_a_missing_file_of_the_ledger_is_told(lake: SmallLake, name: str) -> None:
    """Missing is gap, with the leaves it stood for."""
    (lake.folder / "ledger" / name).unlink()
    assert broken(lake.verify()) == {(f"ledger/{name}", "gap")}


def test_another_key_does_not_open_the_ledger(lake: SmallLake, tmp_path: Path) -> None:
    """A ledger re-signed by whoever holds the lake is not what was pinned."""
    other = note.verifier_of(keys.create(tmp_path / "other.key", lake.signer.name))
    report = verify(lake.folder, other, lake.snapshot)
    assert report.exit_code == 10
    assert ("ledger/checkpoint", "unverifiable") in broken(report)
    assert ("ledger/policy", "altered") in broken(report)


@pytest.mark.parametrize("name", ["checkpoint", "checkpoints/300", "policy"])
@pytest.mark.parametrize("at", [0, 30, -30, -2])
def test_a_flipped_byte_of_a_signed_file_is_told(lake: SmallLake, name: str, at: int) -> None:
    """Origin, size, root and signature alike."""
    flip(lake.folder / "ledger" / name, at)
    assert {source for source, _ in broken(lake.verify())} == {f"ledger/{name}"}


def test_a_kept_head_shows_a_rollback(lake: SmallLake) -> None:
    """Lake, ledger and record beside the key all put back: only what was kept elsewhere tells."""
    backup = lake.folder.parent / "backup"
    lake.close()
    shutil.copytree(lake.folder, backup)
    again = SmallLake(lake.folder)
    again.write(records(5))
    kept = (again.folder / "ledger/checkpoint").read_bytes()
    again.close()
    shutil.rmtree(lake.folder)
    shutil.copytree(backup, lake.folder)
    shutil.rmtree(again.key.parent / "absent", ignore_errors=True)
    old = SmallLake.__new__(SmallLake)
    old.__dict__.update({**again.__dict__, "_db": __import__("sqlite3").connect(lake.folder / "control.sqlite")})
    report = verify(lake.folder, note.verifier_of(again.signer), old.snapshot, since_heads=[kept])
    assert places(report) == [("retained head", "truncated", 808, 812, 5)]
    guarded = verify(lake.folder, note.verifier_of(again.signer), old.snapshot, guard=again.guard)
    assert places(guarded) == [("record of what was signed", "truncated", 808, 812, 5)]


def test_a_kept_head_of_another_history_is_a_fork(lake: SmallLake, tmp_path: Path) -> None:
    """The same key has signed two logs of one name: whoever kept the other head sees it."""
    twin = SmallLake(tmp_path / "twin", key=lake.key)
    twin.ledger = type(twin.ledger).open(tmp_path / "twin2", lake.signer, head=None, guard=FileGuard(tmp_path / "g"))
    twin.folder = tmp_path / "twin2"
    twin.folder.mkdir(exist_ok=True)
    twin.write(records(50, 9000))
    head = (tmp_path / "twin2/ledger/checkpoint").read_bytes()
    assert places(lake.verify(since_heads=[head])) == [("retained head", "altered", 0, 49, 50)]


def test_a_kept_head_that_the_key_does_not_open_is_unverifiable(lake: SmallLake) -> None:
    """A head that proves nothing must not look like one that does."""
    kept = (lake.folder / "ledger/checkpoints/300").read_bytes()
    assert lake.verify(since_heads=[kept]).exit_code == 0
    assert not any("no kept head" in text for text in lake.verify(since_heads=[kept]).notes)
    assert broken(lake.verify(since_heads=[kept.replace(b"300", b"301")])) == {("retained head", "unverifiable")}
    assert broken(lake.verify(since_heads=[b"rubbish"])) == {("retained head", "unverifiable")}


def test_a_commit_that_is_not_published_yet_is_clean_and_said(lake: SmallLake) -> None:
    """After a crash between commit and publication, before the next run."""
    lake.ledger.append_control(leaf.CONFIG, {})
    head = lake.ledger.prepare()
    report = verify(lake.folder, lake.ledger.verifier, lambda: Snapshot(head, lake.rows()))
    assert (report.exit_code, report.size) == (0, 809)
    assert any("not published yet" in text for text in report.notes)
    forged = {**head, "intent": head["intent"].replace("809", "808")}
    report = verify(lake.folder, lake.ledger.verifier, lambda: Snapshot(forged, lake.rows()))
    assert broken(report) == {("ledger head of the last commit", "unverifiable")}


def test_an_empty_lake_is_clean(tmp_path: Path) -> None:
    """Nothing was promised, nothing is broken."""
    lake = SmallLake(tmp_path / "lake")
    report = lake.verify()
    assert (report.exit_code, report.size) == (0, 0)


def test_an_uncommitted_tail_of_control_records_is_not_blamed(lake: SmallLake) -> None:
    """A crash leaves a torn line behind the last committed record."""
    with (lake.folder / "ledger/ctl.jsonl").open("ab") as file:
        file.write(b'{"body":{"torn')
    assert lake.verify().exit_code == 0


def test_a_declared_erasure_is_clean_and_an_undeclared_one_is_not(lake: SmallLake) -> None:
    """Raw and salt go, the leaf stays, every other row still verifies."""

    def erase(frame: pl.DataFrame) -> pl.DataFrame:
        gone = pl.col("leaf_index").is_in([10, 11, 12])
        return frame.with_columns(
            pl.when(gone).then(None).otherwise(name).alias(name) for name in ("raw", "salt")
        ).with_columns(redacted=gone)

    edit(lake, "raw-000000000.parquet", erase)
    assert places(lake.verify()) == [("raw-000000000.parquet", "altered", 10, 12, 3)]
    body = redaction.redaction_body(redaction.ERASED, [10, 11, 12], reason="art-17", authority="dpo")
    lake.write(records(1), control=[(leaf.REDACTION, body)])
    report = lake.verify()
    assert report.exit_code == 0
    told = report.rows.filter(cause="erased").select("from_position", "to_position").rows()
    assert told == [(10, 12)]


def test_what_was_redacted_at_ingest_and_then_erased_is_told_as_erased(lake: SmallLake) -> None:
    """The later of the two is what is true of the row; gone without a record it is altered, as any other."""

    def erase(frame: pl.DataFrame) -> pl.DataFrame:
        gone = pl.col("leaf_index") == 304
        return frame.with_columns(pl.when(gone).then(None).otherwise(name).alias(name) for name in ("raw", "salt"))

    edit(lake, "raw-000000300.parquet", erase)
    assert places(lake.verify()) == [("raw-000000300.parquet", "altered", 304, 304, 1)]
    body = redaction.redaction_body(redaction.ERASED, [304], reason="art-17", authority="dpo")
    lake.write(records(1), control=[(leaf.REDACTION, body)])
    report = lake.verify()
    assert report.exit_code == 0
    told = report.rows.filter(verdict="redacted").select("cause", "from_position", "to_position").rows()
    assert sorted(told) == [("erased", 304, 304), ("ingest", 305, 305)]


def test_a_declared_expiry_is_clean_and_an_undeclared_one_is_not(lake: SmallLake) -> None:
    """Whole files may go when the log says so; a record cannot excuse leaves that come after it."""
    (lake.folder / "raw-000000000.parquet").unlink()
    assert places(lake.verify()) == [("raw", "gap", 0, 299, 300)]
    body = redaction.redaction_body(redaction.EXPIRED, range(200), reason="retention", authority="policy")
    lake.write(records(1), control=[(leaf.REDACTION, body)])
    assert places(lake.verify()) == [("raw", "gap", 200, 299, 100)]
    body = redaction.redaction_body(redaction.EXPIRED, range(5000), reason="retention", authority="policy")
    lake.write(records(1), control=[(leaf.REDACTION, body)])
    assert lake.verify().exit_code == 0
    (lake.folder / lake.files()[-1]).unlink()
    lake.write(records(1))
    assert lake.verify().exit_code == 0
    (lake.folder / lake.files()[-1]).unlink()
    assert [row[1] for row in places(lake.verify())] == ["gap"]


def test_seals_cover_whole_files(lake: SmallLake) -> None:
    """Any byte of a sealed file, a missing one and one that nobody sealed are told; replacing is declared."""
    files = lake.files()
    lake.ledger.append_control(leaf.SEAL, seal.body(lake.folder, files))
    lake.write(records(1))
    assert broken(lake.verify()) == {(lake.files()[-1], "unsigned")}
    lake.ledger.append_control(leaf.SEAL, seal.body(lake.folder, lake.files()[-1:]))
    head = lake.ledger.prepare()

    def check() -> set[tuple[str, str]]:
        return broken(verify(lake.folder, lake.ledger.verifier, lambda: Snapshot(head, lake.rows(), lake.files())))

    assert check() == set()
    flip(lake.folder / files[0], -60)
    assert (files[0], "altered") in check()
    flip(lake.folder / files[0], -60)
    (lake.folder / files[0]).rename(lake.folder / "elsewhere")
    assert (files[0], "gap") in check()


def test_a_rule_on_the_other_columns_is_applied(lake: SmallLake) -> None:
    """What follows from a row's bytes but is not in the leaf, such as the uid, can be checked too."""

    def rule(frame: pl.DataFrame) -> pl.Series:
        return frame["uid"].str.slice(24).str.to_integer(base=16) == frame["position"]

    assert lake.verify(rule=rule).exit_code == 0
    edit(lake, "raw-000000801.parquet", set_at("uid", 2, "0" * 32))
    assert places(lake.verify(rule=rule)) == [("raw-000000801.parquet", "altered", 803, 803, 1)]


def test_many_broken_places_are_counted_and_not_all_listed(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded whatever was done to the lake."""
    monkeypatch.setattr("pipeline.ledger.places.LIMIT", 10)
    edit(lake, "raw-000000000.parquet", lambda f: f.filter(pl.col("leaf_index") % 2 == 0))
    report = lake.verify()
    assert (len(report.rows), report.exit_code) == (10, 10)
    assert any("140 more places" in text or "141 more places" in text for text in report.notes)


def test_rows_are_json_ready(lake: SmallLake) -> None:
    """What is printed with --format json."""
    edit(lake, "raw-000000000.parquet", set_at("raw", 3, b"x"))
    row = lake.verify().rows.row(0, named=True)
    assert json.loads(json.dumps(row))["file"] == "raw-000000000.parquet"
    assert b"x" not in row["evidence"].encode().split()


def test_progress_is_told_up_to_the_last_entry(lake: SmallLake) -> None:
    """A long verification can show how far it is: leaves, then rows, then kept checkpoints, never backwards."""
    seen: list[tuple[int, int]] = []
    lake.verify(progress=lambda done, total: seen.append((done, total)))
    copies = len(list((lake.folder / "ledger" / "checkpoints").iterdir()))
    assert copies > 0
    assert {total for _, total in seen} == {2 * 808 + copies}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    assert any(808 < done < 2 * 808 for done, _ in seen)  # rows move it as well


def test_a_file_that_cannot_be_read_is_told_with_the_leaves_it_held(lake: SmallLake) -> None:
    """Verification goes on to the end."""
    rows = [Unreadable("raw-000000000.parquet", "no footer"), *list(lake.rows())[1:]]
    report = verify(lake.folder, lake.ledger.verifier, lambda: Snapshot(lake.head(), rows))
    assert places(report) == [
        ("raw-000000000.parquet", "altered", None, None, 1),
        ("raw", "gap", 0, 299, 300),
    ]
