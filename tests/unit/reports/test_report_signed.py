"""Signed reports: who signs, and that everything which was changed afterwards is refused, saying what."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.ledger import checkpoint, keys, note, report_note
from tests.command import Done, keytrail
from tests.lakes import SAMPLES, run

NAME = "access-review"
HEAD = "ledger/checkpoint"


@pytest.fixture(scope="module")
def made(small_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed report of the small lake. To be read."""
    out = tmp_path_factory.mktemp("made") / "out"
    done = write(small_lake, out)
    assert (done.code, done.stderr) == (0, "")
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(made, tmp_path / "out"))


@pytest.fixture(scope="module")
def later(small_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small lake after one more log."""
    folder = tmp_path_factory.mktemp("later")
    shutil.copytree(small_lake.parent, folder, dirs_exist_ok=True)
    (folder / "more.log").write_bytes((SAMPLES / "vault" / "torn_file" / "audit.log").read_bytes()[:30_000])
    run(folder / "lake", folder / "more.log")
    return folder / "lake"


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key that is not the lake's."""
    path = tmp_path_factory.mktemp("another") / "signing.key"
    keys.create(path)
    return path


def write(lake: Path, out: Path, *words: str | Path) -> Done:
    """Write the report, signed by the key beside the lake unless `words` say otherwise."""
    signed = words or ("--signing-key", lake.parent / "signing.key")
    return keytrail("report", NAME, "--lake", lake, "--out", out, *signed)


def vkey(lake: Path) -> str:
    """The verifier key that the lake names."""
    return (lake / "ledger" / "policy").read_text().split("log ")[1].split("\n")[0].strip()


def check(path: Path, *words: str | Path) -> dict[str, Any]:
    """The one row of `verify report`; its exit code fits its verdict."""
    done = keytrail("verify", "report", path, *words, "--format", "json")
    (row,) = done.rows
    assert (done.code, row["verdict"]) in {(0, "ok"), (10, "refused")}
    assert (row["verdict"] == "ok") is (row["reason"] == "")
    return row


def sign_again(out: Path, lake: Path, **changes: Any) -> None:
    """Whoever has the key makes manifest and note anew, with other contents."""
    path = out / f"{NAME}.manifest.json"
    told = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(told))
    heads = [checkpoint.Checkpoint(h["origin"], h["size"], bytes.fromhex(h["root"])) for h in told["ledger"]]
    statement = report_note.of(NAME, (told["from"], told["to"]), path.read_bytes(), heads)
    signer = keys.load(lake.parent / "signing.key").renamed(heads[0].origin)
    (out / f"{NAME}.manifest.note").write_bytes(report_note.sign(statement, signer))


def test_a_report_is_signed_and_holds(made: Path, small_lake: Path) -> None:
    """With the pinned key alone: exit 0; what the signature is about is told, and the page says who signed."""
    row = check(made, "--key", vkey(small_lake))
    head = checkpoint.parse(note.parse((small_lake / HEAD).read_bytes()).text)
    told = json.loads((made / f"{NAME}.manifest.json").read_text())
    assert (row["report"], row["origin"], row["size"], row["root"]) == (NAME, head.origin, head.size, head.root.hex())
    assert (row["from"], row["to"], row["sql"]) == (told["from"], told["to"], "as shipped")
    assert (row["key"], row["key_from"], row["rows_agree"]) == (vkey(small_lake), "given", None)
    assert f"by {vkey(small_lake)}" in (made / f"{NAME}.html").read_text()
    assert oct((made / f"{NAME}.manifest.note").stat().st_mode)[-3:] == "600"
    assert check(made / f"{NAME}.manifest.json", "--key", vkey(small_lake)) == row


def test_tools_that_are_not_ours_can_check_it(made: Path, small_lake: Path) -> None:
    """Ed25519 over all before the blank line, and SHA-256 of the manifest: nothing else is needed."""
    text, _, line = (made / f"{NAME}.manifest.note").read_bytes().rpartition(b"\n\n")
    public = base64.b64decode(vkey(small_lake).split("+", 2)[2])[1:]
    signature = base64.b64decode(line.split()[-1])[4:]
    Ed25519PublicKey.from_public_bytes(public).verify(signature, text + b"\n")
    assert hashlib.sha256((made / f"{NAME}.manifest.json").read_bytes()).hexdigest().encode() in text.split(b"\n")


def test_the_lake_and_a_kept_head_agree(made: Path, small_lake: Path, later: Path) -> None:
    """The lake it was made of, the same lake grown, and heads of either vouch for it; its rows come again."""
    assert check(made, "--lake", small_lake, "--rederive")["rows_agree"] is True
    assert check(made, "--lake", small_lake, "--since-head", small_lake / HEAD)["verdict"] == "ok"
    assert check(made, "--lake", later, "--since-head", later / HEAD, "--since-head", small_lake / HEAD)["reason"] == ""
    assert check(made, "--key", vkey(small_lake), "--since-head", small_lake / HEAD)["verdict"] == "ok"


@pytest.mark.parametrize("end", ["html", "csv", "json"])
def test_an_altered_or_missing_file_is_named(out: Path, small_lake: Path, end: str) -> None:
    """One byte more, or the file gone."""
    file = out / f"{NAME}.{end}"
    file.write_bytes(file.read_bytes() + b" ")
    assert f"{file.name} was altered" in check(out, "--key", vkey(small_lake))["reason"]
    file.unlink()
    assert f"{file.name} is missing" in check(out, "--key", vkey(small_lake))["reason"]
    file.mkdir()
    assert f"{file.name} is missing" in check(out, "--key", vkey(small_lake))["reason"]


def test_an_altered_manifest_is_refused(out: Path, small_lake: Path) -> None:
    """Also when it was brought in line with altered files; and nothing of what it says is passed on."""
    path = out / f"{NAME}.manifest.json"
    path.write_text(path.read_text().replace('"rows": ', '"rows": 1'))
    row = check(out, "--key", vkey(small_lake))
    assert row["reason"] == "the manifest was altered: its SHA-256 is not the signed one"
    assert (row["report"], row["from"], row["size"]) == (None, None, None)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"report": 1}', b"\x00" * 100])
def test_a_manifest_that_is_none_is_refused(out: Path, small_lake: Path, data: bytes) -> None:
    """Whatever lies there in its place."""
    (out / f"{NAME}.manifest.json").write_bytes(data)
    assert "the manifest is none" in check(out, "--key", vkey(small_lake))["reason"]


def test_a_manifest_cannot_lead_out_of_its_folder(out: Path, small_lake: Path) -> None:
    """Names with a slash are refused before anything is read, signed or not."""
    for name in ("../signing.key", "/etc/passwd", "..", "a\\b", "a\0b", "", "\udcff"):
        sign_again(out, small_lake, sha256={name: "0" * 64})
        assert "a file that is not beside it" in check(out, "--key", vkey(small_lake))["reason"]


def test_a_wrong_key_or_none_is_refused(out: Path, small_lake: Path, another: Path) -> None:
    """Another lake's key, an unsigned report, a checkpoint in the place of the note."""
    other = note.verifier_of(keys.load(another)).vkey()
    assert "none of the trusted keys" in check(out, "--key", other)["reason"]
    path = out / f"{NAME}.manifest.note"
    path.write_bytes((small_lake / HEAD).read_bytes())
    assert "speaks of no report" in check(out, "--key", vkey(small_lake))["reason"]
    path.unlink()
    assert "not signed" in check(out, "--key", vkey(small_lake))["reason"]
    assert keytrail("verify", "report", out, "--key", "nonsense").code == 2


def test_a_report_is_no_kept_head(made: Path, small_lake: Path) -> None:
    """Its note passes for a checkpoint nowhere."""
    path = made / f"{NAME}.manifest.note"
    assert "does not open" in check(made, "--key", vkey(small_lake), "--since-head", path)["reason"]
    assert keytrail("verify", "--lake", small_lake, "--since-head", path).code == 10


def test_files_that_nobody_vouches_for_are_named(out: Path, small_lake: Path) -> None:
    """One that passes for the report's, and any other one in the folder; folders are left alone."""
    (out / f"{NAME}.xlsx").touch()
    (out / "folder").mkdir()
    row = check(out, "--key", vkey(small_lake))
    assert row["reason"] == f"{NAME}.xlsx is not in the manifest"
    (out / f"{NAME}.xlsx").rename(out / "summary.pdf")
    done = keytrail("verify", "report", out, "--key", vkey(small_lake), "--format", "json")
    assert [(row["file"], row["verdict"]) for row in done.rows] == [
        (f"{NAME}.manifest.json", "ok"), ("summary.pdf", "refused"),
    ]  # fmt: skip
    assert done.code == 10


def test_a_renamed_report_is_refused(out: Path, small_lake: Path) -> None:
    """A report cannot pass for one of another name."""
    for end in ("manifest.json", "manifest.note"):
        (out / f"{NAME}.{end}").rename(out / f"rotation.{end}")
    assert "the file was renamed" in check(out / "rotation.manifest.json", "--key", vkey(small_lake))["reason"]


def test_a_note_about_something_else_is_refused(out: Path, small_lake: Path) -> None:
    """The period, heads or checkpoints of the manifest must be those that were signed."""
    told = json.loads((out / f"{NAME}.manifest.json").read_text())
    head = told["ledger"][0]
    sign_again(out, small_lake, checkpoints=[])
    assert "checkpoints in the manifest" in check(out, "--key", vkey(small_lake))["reason"]
    sign_again(out, small_lake, ledger=[head | {"size": head["size"] + 1}], checkpoints=told["checkpoints"])
    assert "checkpoints in the manifest" in check(out, "--key", vkey(small_lake))["reason"]
    sign_again(out, small_lake, checkpoints=["not a note"])
    assert "does not hold" in check(out, "--key", vkey(small_lake))["reason"]


def forged(out: Path, lake: Path, size: int) -> None:
    """The owner of the key makes a head that the lake never had, and a report at it."""
    told = json.loads((out / f"{NAME}.manifest.json").read_text())
    head = checkpoint.Checkpoint(told["ledger"][0]["origin"], size, bytes(32))
    signed = checkpoint.sign_checkpoint(head, [keys.load(lake.parent / "signing.key").renamed(head.origin)])
    ledger = [{"origin": head.origin, "size": size, "root": head.root.hex()}]
    sign_again(out, lake, ledger=ledger, checkpoints=[signed.encode().decode()])


def test_a_head_of_another_history_is_refused(out: Path, small_lake: Path, later: Path) -> None:
    """By a kept head of that size, by the lake's tiles, and by a kept head of the lake under examination."""
    size = json.loads((out / f"{NAME}.manifest.json").read_text())["ledger"][0]["size"]
    forged(out, small_lake, size)
    key = vkey(small_lake)
    assert check(out, "--key", key)["verdict"] == "ok"  # the key's owner can say anything; a head or the lake tells
    assert "forked" in check(out, "--key", key, "--since-head", small_lake / HEAD)["reason"]
    assert "not of the history" in check(out, "--lake", small_lake)["reason"]
    assert "not of the history" in check(out, "--lake", later)["reason"]
    forged(out, small_lake, size - 1)
    assert "give --lake" in check(out, "--key", key, "--since-head", small_lake / HEAD)["reason"]
    assert "not of the history" in check(out, "--lake", small_lake, "--since-head", small_lake / HEAD)["reason"]


def test_a_lake_that_was_put_back_is_told(small_lake: Path, later: Path, tmp_path: Path) -> None:
    """A report, or a kept head, of more leaves than the lake's ledger has."""
    assert write(later, tmp_path / "out").code == 0
    assert "was put back" in check(tmp_path / "out", "--lake", small_lake)["reason"]
    assert write(small_lake, tmp_path / "early").code == 0
    row = check(tmp_path / "early", "--lake", small_lake, "--since-head", later / HEAD)
    assert "the kept head checkpoint is of" in row["reason"]


def test_rows_that_do_not_come_again_are_counted(out: Path, small_lake: Path, tmp_path: Path) -> None:
    """A lake whose operations were changed gives other rows at the same head; SQL that fails is told."""
    lake = Path(shutil.copytree(small_lake, tmp_path / "lake"))
    path = next((lake / "data" / "operations").glob("*.parquet"))
    pl.read_parquet(path).with_columns(secret=pl.col("secret") + "x").write_parquet(path)
    row = check(out, "--lake", lake, "--rederive")
    assert row["rows_agree"] is False
    assert "are not in the report" in row["reason"]
    assert "stands where it stood" in row["reason"]
    sign_again(out, small_lake, sql="SELECT nothing FROM operations")
    row = check(out, "--lake", small_lake, "--rederive")
    assert "cannot be asked again" in row["reason"]
    assert row["sql"] == "not that of this version"


def test_signed_sql_only_reads(out: Path, small_lake: Path, tmp_path: Path) -> None:
    """What the manifest holds is run in the sandbox of `query`."""
    goal = tmp_path / "written.csv"
    sign_again(out, small_lake, sql=f"COPY (SELECT 1) TO '{goal}'")
    assert "only statements that read" in check(out, "--lake", small_lake, "--rederive")["reason"]
    assert not goal.exists()


def test_after_a_rotation_both_keys_reports_stand(made: Path, small_lake: Path, tmp_path: Path) -> None:
    """Under the new key what the old one signed in its time holds; what the old one signs later does not."""
    shutil.copytree(small_lake.parent, tmp_path / "copy")
    lake, old = tmp_path / "copy" / "lake", tmp_path / "copy" / "signing.key"
    new = tmp_path / "new.key"
    assert keytrail("ledger", "rotate", "--lake", lake, "--signing-key", old, "--to", new).code == 0
    assert check(made, "--lake", lake, "--key", vkey(lake))["verdict"] == "ok"
    newest = tmp_path / "newest.key"
    assert keytrail("ledger", "rotate", "--lake", lake, "--signing-key", new, "--to", newest).code == 0
    assert check(made, "--lake", lake, "--key", vkey(lake))["verdict"] == "ok"
    refused = write(lake, tmp_path / "late", "--signing-key", old)
    assert (refused.code, "has not signed the newest head" in refused.error) == (2, True)
    assert write(lake, tmp_path / "fresh", "--signing-key", newest).code == 0
    assert check(tmp_path / "fresh", "--lake", lake)["verdict"] == "ok"
    sign_again(tmp_path / "fresh", lake, checkpoints=[head_signed_by(old, lake)])  # the thief of the old key
    assert "handed the ledger over" in check(tmp_path / "fresh", "--lake", lake)["reason"]


def head_signed_by(key: Path, lake: Path) -> str:
    """The lake's newest head under a key that is not its own any more."""
    head = checkpoint.parse(note.parse((lake / HEAD).read_bytes()).text)
    return checkpoint.sign_checkpoint(head, [keys.load(key).renamed(head.origin)]).encode().decode()


def test_who_has_no_key_writes_unsigned(small_lake: Path, another: Path, tmp_path: Path) -> None:
    """It is said, on the page too, no key is made, and no older note stays; a key that was asked for must sign."""
    out = tmp_path / "out"
    assert write(small_lake, out).code == 0
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "keytrail"
    before = sorted(config.glob("*"))
    done = keytrail("report", NAME, "--lake", small_lake, "--out", out)
    assert done.code == 0
    assert "the report is not signed: " in done.stderr
    assert "none: " in (out / f"{NAME}.html").read_text()
    assert not (out / f"{NAME}.manifest.note").exists()
    assert sorted(config.glob("*")) == before
    wrong = write(small_lake, out, "--signing-key", another)
    assert (wrong.code, "belongs to" in wrong.error) == (2, True)
    missing = write(small_lake, out, "--signing-key", tmp_path / "none.key")
    assert (missing.code, "there is no signing key" in missing.error) == (2, True)
    assert not (tmp_path / "none.key").exists()


def test_this_hosts_own_key_is_enough(small_lake: Path, made: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Where the signing key is at hand nothing has to be named; where nothing is known, that is said."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    told = keytrail("verify", "report", made)
    assert (told.code, "--key" in told.error) == (2, True)
    (tmp_path / "keytrail").mkdir()
    shutil.copy(small_lake.parent / "signing.key", tmp_path / "keytrail" / "signing.key")
    assert "signing.key" in check(made)["key_from"]


def test_nothing_to_verify_is_no_input(tmp_path: Path, made: Path, small_lake: Path) -> None:
    """An empty folder, a file that is not there, a kept head that is not there, a lake that is none."""
    key = vkey(small_lake)
    assert keytrail("verify", "report", tmp_path, "--key", key).code == 3
    assert keytrail("verify", "report", tmp_path / "x.manifest.json", "--key", key).code == 3
    assert keytrail("verify", "report", made, "--key", key, "--since-head", tmp_path / "x").code == 3
    assert keytrail("verify", "report", made, "--lake", tmp_path).code == 3


def test_a_lake_without_a_ledger_has_unsigned_reports(small_lake: Path, tmp_path: Path) -> None:
    """It is said that there is no ledger."""
    lake = Path(shutil.copytree(small_lake, tmp_path / "lake", ignore=shutil.ignore_patterns("ledger")))
    done = keytrail("report", NAME, "--lake", lake, "--out", tmp_path / "out")
    assert (done.code, "has no ledger" in done.stderr) == (0, True)
