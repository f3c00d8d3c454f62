"""The writer: heads, publication, resuming, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.ledger import FileGuard, ForkError, Ledger, LedgerError, keys, leaf, note
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.control import canonical
from pipeline.ledger.tiles import TileReader
from pipeline.ledger.verify import Snapshot, verify
from tests.unit.ledger.small_lake import SmallLake, broken, records


def test_the_head_is_published_only_after_its_commit(tmp_path: Path) -> None:
    """prepare writes tiles and an intent and no checkpoint; publish writes it and its immutable copy."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10), prepare_only=True)
    folder = tmp_path / "lake" / "ledger"
    assert not (folder / "checkpoint").exists()
    head = lake.ledger.prepare()
    text = lake.ledger.publish()
    opened = checkpoints.open_checkpoint(text.encode(), [lake.ledger.verifier])
    assert (opened.size, opened.root.hex()) == (10, head["root_hex"])
    assert (folder / "checkpoint").read_text() == text == (folder / "checkpoints" / "10").read_text()
    assert TileReader(folder, 10).root() == opened.root


def test_preparing_and_publishing_again_changes_nothing(tmp_path: Path) -> None:
    """Both can be repeated after a failure that was not one."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10))
    folder = tmp_path / "lake" / "ledger"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert lake.ledger.prepare() == lake.head()
    lake.ledger.publish()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_publishing_without_preparing_is_refused(tmp_path: Path) -> None:
    """There is nothing that a commit could have covered."""
    lake = SmallLake(tmp_path / "lake")
    with pytest.raises(LedgerError, match="nothing was prepared"):
        lake.ledger.publish()


def test_a_reopened_log_goes_on_where_its_commit_stands(tmp_path: Path) -> None:
    """Leaves prepared without a commit are gone, tiles and all, and the tree grows on from the committed head."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(250))
    lake.write(records(600), prepare_only=True)
    lake.close()
    again = SmallLake(tmp_path / "lake")
    assert again.ledger.size == 250
    assert not (tmp_path / "lake" / "ledger" / "tile" / "0" / "000").exists()
    again.write(records(3))
    report = again.verify()
    assert (report.exit_code, report.size) == (0, 253)


def test_the_result_does_not_depend_on_how_appends_are_cut(tmp_path: Path) -> None:
    """One commit of many records and many commits of one have the same tree of the same entries."""
    lines = records(600)
    lake = SmallLake(tmp_path / "one")
    lake.write(lines)
    entries = TileReader(tmp_path / "one" / "ledger", 600)
    many = SmallLake(tmp_path / "many", key=lake.key)

    for index in range(600):
        many.ledger.add(leaf.single(leaf.unpack(entries.entry(index))))
        if index % 97 == 0:
            many.ledger.prepare()
    assert many.ledger.prepare()["root_hex"] == lake.head()["root_hex"]  # type: ignore[index]


def test_a_lake_put_back_to_an_older_state_is_not_written_to(tmp_path: Path) -> None:
    """The record beside the key remembers what was signed, though the lake's own files are all from the backup."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10))
    lake.close()
    shutil.copytree(tmp_path / "lake", tmp_path / "backup")
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10))
    lake.close()
    shutil.rmtree(tmp_path / "lake")
    shutil.copytree(tmp_path / "backup", tmp_path / "lake")
    with pytest.raises(ForkError, match="10 ledger entries, but 20 are signed"):
        SmallLake(tmp_path / "lake")


def test_a_lake_whose_last_commit_is_lost_is_not_written_to(tmp_path: Path) -> None:
    """Even without the record beside the key, the lake's own checkpoint tells."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10))
    for head in (None, {}):
        with pytest.raises(ForkError):
            Ledger.open(tmp_path / "lake", lake.signer, head=head, guard=FileGuard(tmp_path / "elsewhere"))


def test_another_history_of_the_same_size_is_not_signed(tmp_path: Path) -> None:
    """Two trees of one size under one key: the second is refused before a signature exists."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10))
    twin = Ledger.open(tmp_path / "twin", lake.signer, head=None, guard=FileGuard(tmp_path / "empty"))
    twin._guard = lake.guard
    lake.close()
    twin.append_control(7, {"other": "history"})
    for _ in range(9):
        twin.append_control(7, {})
    twin.prepare()
    with pytest.raises(ForkError, match="already signed"):
        twin.publish()
    assert not (tmp_path / "twin" / "ledger" / "checkpoint").exists()


@pytest.mark.parametrize("what", ["tile", "intent", "size", "key", "control"])
def test_a_head_that_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    """Tiles, signature, numbers and control records must all be those of the last commit."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10), control=[(7, {"a": 1})])
    head = dict(lake.head() or {})
    signer = lake.signer
    if what == "tile":
        path = tmp_path / "lake" / "ledger" / "tile" / "0" / "000.p" / "11"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    elif what == "intent":
        head["intent"] = head["intent"].replace("intent/v1", "intent/v2")
    elif what == "size":
        head["size"] = 10
    elif what == "key":
        signer = keys.create(tmp_path / "other.key", lake.signer.name)
    else:
        (tmp_path / "lake" / "ledger" / "ctl.jsonl").write_bytes(b"")
    with pytest.raises(LedgerError):
        Ledger.open(tmp_path / "lake", signer, head=head, guard=lake.guard)


def test_a_disk_that_cannot_be_written_is_a_store_error_and_loses_nothing(tmp_path: Path) -> None:
    """The same prepare succeeds once the disk does."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10))
    lake.ledger.append_control(7, {})
    blocker = tmp_path / "lake" / "ledger" / "tile" / "0" / "000.p" / "11"
    blocker.mkdir()
    with pytest.raises(StoreError):
        lake.ledger.prepare()
    blocker.rmdir()
    assert lake.ledger.prepare()["size"] == 11


def test_a_rotated_key_is_followed_from_the_pinned_one(tmp_path: Path) -> None:
    """One head carries both signatures, later ones the new key's; verification with the old key still holds."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(5))
    new = keys.create(tmp_path / "new" / "signing.key", lake.signer.name)
    old = lake.ledger.verifier
    lake.ledger.rotate(new)
    with pytest.raises(LedgerError, match="under way"):
        lake.ledger.rotate(new)
    lake.write(records(5))
    both = note.parse((tmp_path / "lake" / "ledger" / "checkpoint").read_bytes())
    assert set(note.verify(both, [old, note.verifier_of(new)])) == {old, note.verifier_of(new)}
    lake.write(records(5))
    published = (tmp_path / "lake" / "ledger" / "checkpoint").read_bytes()
    with pytest.raises(LedgerError):
        checkpoints.open_checkpoint(published, [old])

    report = verify(tmp_path / "lake", old, lake.snapshot)
    assert (report.exit_code, report.size) == (0, 16)
    lake.close()
    again = SmallLake(tmp_path / "lake", key=tmp_path / "new" / "signing.key")
    again.write(records(1))
    assert broken(verify(tmp_path / "lake", old, again.snapshot)) == set()
    assert broken(verify(tmp_path / "lake", note.verifier_of(new), again.snapshot)) == set()


def test_a_key_that_was_handed_over_speaks_for_the_log_no_more(tmp_path: Path) -> None:
    """Whoever has the old key signs a head that verification refuses, whichever key is pinned."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(5))
    old, new = lake.signer, keys.create(tmp_path / "new" / "signing.key", lake.signer.name)
    lake.ledger.rotate(new)
    lake.write(records(5))
    lake.write(records(5))
    head = lake.head()
    assert head is not None
    stated = Checkpoint(new.name, head["size"], bytes.fromhex(head["root_hex"]))
    forged = {**head, "intent": checkpoints.sign_intent(stated, [old]).encode().decode()}
    for pinned in (old, new):
        report = verify(tmp_path / "lake", note.verifier_of(pinned), lambda: Snapshot(forged, lake.rows()))
        assert ("ledger head of the last commit", "unverifiable") in broken(report)


def test_control_bodies_are_canonical_json() -> None:
    """RFC 8785 for what records hold: keys in UTF-16 order, shortest escapes, no floats."""
    value = {"\u20ac": None, "\r": True, "\ufb33": [1, -2], "1": '\u0080\x1f"\\/', "\U0001f600": {}}
    assert canonical(value).decode() == (
        '{"\\r":true,"1":"\u0080\\u001f\\"\\\\/","\u20ac":null,"\U0001f600":{},"\ufb33":[1,-2]}'
    )
    for bad in ({"a": 1.5}, {"a": 1 << 53}, {1: 2}, {"a": b"bytes"}, "\ud800"):
        with pytest.raises(LedgerError):
            canonical(bad)


def test_a_second_worker_takes_over_where_the_first_committed(tmp_path: Path) -> None:
    """resume with the lake's newest head drops what was not committed and sees what another one did."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(5))
    other = Ledger.open(tmp_path / "lake", lake.signer, head=lake.head(), guard=lake.guard)
    lake.write(records(7))
    other.append_control(7, {"stale": True})
    other.resume(lake.head())
    assert other.size == 12
    other.append_control(7, {"fresh": True})
    assert other.prepare()["size"] == 13


def test_two_ledgers_of_one_lake_keep_apart(tmp_path: Path) -> None:
    """Workers that share a lake have a folder, a name and a history of their own."""
    path = tmp_path / "config" / "signing.key"
    for folder in ("ledger", "ledger/workers/b"):
        signer = keys.for_lake(path, tmp_path / "lake", folder=folder)
        ledger = Ledger.open(tmp_path / "lake", signer, head=None, guard=FileGuard(path.parent), folder=folder)
        ledger.append_control(leaf.CONFIG, {"worker": folder})
        head = ledger.prepare()
        ledger.publish()
        assert (tmp_path / "lake" / folder / "checkpoint").read_text().startswith(signer.name)
        report = verify(tmp_path / "lake", ledger.verifier, lambda head=head: Snapshot(head, []), folder=folder)
        assert report.exit_code == 0, report.rows
        assert report.rows["source"].to_list() == [f"{folder}/checkpoint"]
