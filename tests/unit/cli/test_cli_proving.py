"""`keytrail verify`, `proof` and `verify proof`: what holds exits 0, what does not exits 10, and says what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pipeline.ledger import keys, note
from tests.command import keytrail
from tests.lakes import SAMPLES, run
from tests.unit.cli.test_cli_query import VIEWS

HEAD = "ledger/checkpoint"


@pytest.fixture
def lake(small_lake: Path, tmp_path: Path) -> Path:
    """A copy to tamper with, its key beside it."""
    shutil.copytree(small_lake.parent, tmp_path / "copy")
    return tmp_path / "copy" / "lake"


@pytest.fixture(scope="module")
def later(small_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small lake after one more log."""
    folder = tmp_path_factory.mktemp("later")
    shutil.copytree(small_lake.parent, folder, dirs_exist_ok=True)
    log = folder / "more.log"
    log.write_bytes((SAMPLES / "vault" / "quiet_days" / "audit.log").read_bytes())
    run(folder / "lake", log)
    return folder / "lake"


def vkey(lake: Path) -> str:
    """The verifier key that the lake names."""
    return (lake / "ledger" / "policy").read_text().split("log ")[1].split("\n")[0].strip()


def uid(lake: Path) -> str:
    """The first event of a lake."""
    return str(
        keytrail("query", "SELECT uid FROM raw ORDER BY leaf_index", "--lake", lake, "--format", "json").rows[5]["uid"]
    )


def change_a_line(lake: Path) -> None:
    """One stored line becomes another, its salt and leaf as they were."""
    path = next((lake / "data" / "raw").glob("*.parquet"))
    frame = pl.read_parquet(path)
    raw = frame["raw"].to_list()
    raw[3] = raw[3][:-1] + b" "
    frame.with_columns(raw=pl.Series(raw, dtype=pl.Binary)).write_parquet(path)


def test_a_whole_lake_holds(small_lake: Path) -> None:
    """Exit 0; people read size, root, key and what nobody vouches for."""
    done = keytrail("verify", "--lake", small_lake)
    assert done.code == 0
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == ["ledger", "lake", "key", "from", "note", "note", "verified"]
    assert vkey(small_lake) in done.stdout


def test_json_rows_are_integrity(small_lake: Path) -> None:
    """The view's columns, sources relative to the lake, positions counted in leaves; torn remains are kept redacted."""
    rows = keytrail("verify", "--lake", small_lake, "--format", "json").rows
    assert list(rows[0]) == [*VIEWS["integrity"].split(), "file", "cause"]
    assert {row["verdict"] for row in rows} == {"ok", "redacted"}
    assert all((small_lake / row["source"]).exists() for row in rows)
    assert max(row["to_position"] for row in rows if row["to_position"] is not None) == 91 - 1


def test_a_changed_line_is_found(lake: Path) -> None:
    """Exit 10 with the verdict, the file and the leaf."""
    change_a_line(lake)
    done = keytrail("verify", "--lake", lake, "--format", "json")
    assert done.code == 10
    (row,) = [row for row in done.rows if row["verdict"] not in {"ok", "redacted"}]
    assert (row["verdict"], row["from_position"], row["to_position"]) == ("altered", 3, 3)
    assert "NO" in keytrail("verify", "--lake", lake).stdout


def test_a_kept_head_of_the_same_history_holds(small_lake: Path, later: Path) -> None:
    """The lake may have grown since the head was kept."""
    for kept in (small_lake, later):
        done = keytrail("verify", "--lake", later, "--since-head", kept / HEAD)
        assert done.code == 0
        assert "kept head" not in done.stdout


def test_a_rollback_is_found_by_the_kept_head(small_lake: Path, later: Path) -> None:
    """A lake set back to an earlier, whole state is truncated against a later head."""
    done = keytrail("verify", "--lake", small_lake, "--since-head", later / HEAD, "--format", "json")
    assert done.code == 10
    assert "truncated" in {row["verdict"] for row in done.rows}


def test_a_head_of_another_log_is_told(small_lake: Path, tmp_path: Path) -> None:
    """A head that the pinned key does not open shows nothing: unverifiable."""
    run(tmp_path / "lake", SAMPLES / "vault" / "torn_file")
    done = keytrail("verify", "--lake", small_lake, "--since-head", tmp_path / "lake" / HEAD, "--format", "json")
    assert done.code == 10
    assert "unverifiable" in {row["verdict"] for row in done.rows}


def test_another_key_opens_nothing(small_lake: Path, tmp_path: Path) -> None:
    """A pinned key other than the ledger's is refused, though the lake names its own."""
    other = note.verifier_of(keys.create(tmp_path / "other.key")).vkey()
    assert keytrail("verify", "--lake", small_lake, "--key", other).code == 10
    assert keytrail("verify", "--lake", small_lake, "--key", vkey(small_lake)).code == 0


@pytest.mark.parametrize("text", ["", "nonsense", "a+b+c", "keytrail+00000000+AAAA"])
def test_a_key_that_is_none_is_a_usage_error(small_lake: Path, text: str) -> None:
    """Exit 2, not 10: nothing was verified."""
    done = keytrail("verify", "proof", small_lake / HEAD, "--key", text)
    assert done.code == 2
    assert "--key" in done.error


def test_what_is_not_there_is_no_input(small_lake: Path, tmp_path: Path) -> None:
    """No lake, no kept head, no proof file, no such event: 3."""
    assert keytrail("verify", "--lake", tmp_path / "none").code == 3
    assert keytrail("verify", "--lake", small_lake, "--since-head", tmp_path / "none").code == 3
    assert keytrail("verify", "proof", tmp_path / "none", "--key", vkey(small_lake)).code == 3
    done = keytrail("proof", "0" * 32, uid(small_lake), "--lake", small_lake, "--out", tmp_path)
    assert (done.code, "0" * 32 in done.error) == (3, True)
    assert list(tmp_path.glob("*.tlog-proof")) == []


@pytest.fixture
def proven(small_lake: Path, tmp_path: Path) -> Path:
    """A proof file, its event beside it."""
    done = keytrail("proof", uid(small_lake), "--lake", small_lake, "--out", tmp_path / "proofs")
    assert done.code == 0
    proof, event = map(Path, done.stdout.splitlines())
    assert event.name == proof.name.replace(".tlog-proof", ".event.json")
    return proof


def beside(proof: Path) -> Path:
    """The event of a proof."""
    return proof.with_name(proof.name.replace(".tlog-proof", ".event.json"))


def test_a_proof_holds_with_and_without_its_event(small_lake: Path, proven: Path) -> None:
    """The inclusion holds by itself; with the event its content is checked too."""
    ask = ("verify", "proof", proven, "--key", vkey(small_lake), "--format", "json")
    assert keytrail(*ask).rows[0]["content_checked"] is False
    (row,) = keytrail(*ask, "--event", beside(proven)).rows
    assert row["content_checked"] is True
    assert (row["bound"], row["not_bound"]) == ("leaf_index, source, position, raw, salt, redacted", "uid, file")
    assert (row["index"], row["size"]) == (5, 91)


def test_proof_files_are_private(proven: Path) -> None:
    """The event holds a line of the log: only its owner reads it."""
    assert [path.stat().st_mode & 0o077 for path in (proven, beside(proven), proven.parent)] == [0, 0, 0]


def test_proofs_go_to_stdout(small_lake: Path, proven: Path) -> None:
    """`--out -` prints what would be written."""
    done = keytrail("proof", uid(small_lake), "--lake", small_lake, "--out", "-")
    assert done.stdout == proven.read_text() + beside(proven).read_text()


def test_any_changed_byte_refuses_the_proof(small_lake: Path, proven: Path) -> None:
    """A byte changed in any line of the proof, signature included: 10."""
    whole, key = proven.read_bytes(), vkey(small_lake)
    starts = [0, *(i + 1 for i, byte in enumerate(whole[:-1]) if byte == 10 and whole[i + 1] != 10)]
    for at in starts:
        proven.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert keytrail("verify", "proof", proven, "--key", key).code == 10, whole[at : at + 20]


def test_another_events_content_is_refused(small_lake: Path, proven: Path) -> None:
    """The event file must be the very entry that the proof is of."""
    told = json.loads(beside(proven).read_text())
    key = vkey(small_lake)
    for name, value in (("position", told["position"] + 1), ("salt", "00" * 16), ("raw", "e30="), ("source", "x")):
        beside(proven).write_text(json.dumps({**told, name: value}))
        assert keytrail("verify", "proof", proven, "--key", key, "--event", beside(proven)).code == 10, name


def test_a_proof_under_another_key_is_refused(proven: Path, tmp_path: Path) -> None:
    """Whoever signs a tree of his own proves nothing to the holder of the right key."""
    other = note.verifier_of(keys.create(tmp_path / "other.key")).vkey()
    assert keytrail("verify", "proof", proven, "--key", other).code == 10
