"""Unrelated implementations read our log, and we read theirs: x/mod, transparency-dev/merkle, aics-tlog, openssl."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import keys, leaf, merkle, note
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.tiles import TileReader
from tests.components import absent
from tests.unit.ledger.small_lake import SmallLake, records

pytestmark = pytest.mark.integration
GO_SOURCE = Path(__file__).parents[1] / "interop" / "ledger"
STANDALONE = Path(__file__).parents[2] / "pipeline" / "ledger" / "standalone" / "keytrail_verify.py"
SIZE = 70_001


def run(*command: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built."""
    if shutil.which("go") is None:
        absent("Go is not installed: x/mod and transparency-dev/merkle are not asked")
    program = tmp_path_factory.mktemp("go") / "interop"
    done = subprocess.run(
        ["go", "build", "-o", str(program), "."], cwd=GO_SOURCE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        absent(f"the Go modules cannot be had: {done.stderr[-300:]}")
    return program


@pytest.fixture(scope="session")
def aics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own with aics-tlog, which needs 3.12."""
    given = os.environ.get("KEYTRAIL_AICS_PYTHON")
    if given:
        return Path(given)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = ["python3.14", "python3.13", "python3.12", *map(str, sorted(pyenv.glob("3.1[2-9].*/bin/python")))]
    found = [name for name in names if usable(name)]
    if not found:
        absent("no Python 3.12 or later for aics-tlog")
    folder = tmp_path_factory.mktemp("aics")
    run(found[0], "-m", "venv", folder)
    done = run(folder / "bin/python", "-m", "pip", "install", "-q", "aics-tlog==0.2.1", check=False)
    if done.returncode:
        absent(f"aics-tlog cannot be had: {done.stderr[-300:]}")
    return folder / "bin/python"


def usable(name: str) -> bool:
    return shutil.which(name) is not None and run(name, "-c", "pass", check=False).returncode == 0


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> SmallLake:
    """Three levels of tiles, all partial on the right."""
    lake = SmallLake(tmp_path_factory.mktemp("interop") / "lake")
    lake.write(records(1000))
    lake.write(records(SIZE - 1001, 1000), control=[(leaf.CONFIG, {"a": 1})])
    return lake


@pytest.fixture(scope="session")
def from_go(go: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that x/mod made."""
    folder = tmp_path_factory.mktemp("from_go")
    run(go, "make", folder, 1300)
    return folder


def encoded(**case: Any) -> dict[str, Any]:
    text = {name: base64.b64encode(case[name]).decode() for name in ("leaf", "root", "root1") if name in case}
    return {**case, **text, "proof": [base64.b64encode(value).decode() for value in case["proof"]]}


def cases(reader: TileReader) -> tuple[list[dict[str, Any]], list[bool]]:
    """Proofs that hold, and the same ones with something changed."""
    made: list[dict[str, Any]] = []
    expected: list[bool] = []
    root = reader.root()
    for index in (0, 1, 255, 256, 65_535, 65_536, SIZE - 1):
        proof = reader.inclusion_proof(index)
        good = {"kind": "inclusion", "index": index, "size": SIZE, "root": root, "proof": proof}
        leaf_hash = merkle.leaf_hash(reader.entry(index))
        made += [encoded(**good, leaf=leaf_hash), encoded(**good, leaf=bytes(32))]
        made.append(encoded(**{**good, "index": index ^ 1}, leaf=leaf_hash))
        expected += [True, False, False]
    for old in (1, 2, 256, 1000, 65_536, 70_000, SIZE):
        proof, first = reader.consistency_proof(old), reader.root(old)
        good = {"kind": "consistency", "old": old, "size": SIZE, "root": root, "proof": proof}
        made += [encoded(**good, root1=first), encoded(**good, root1=bytes(32))]
        expected += [True, False]
    return made, expected


def test_go_reads_our_ledger_and_agrees_with_every_proof(go: Path, lake: SmallLake, tmp_path: Path) -> None:
    """x/mod opens the note, authenticates every tile and entry; both check our proofs and refuse changed ones."""
    reader = TileReader(lake.folder / "ledger", SIZE)
    made, expected = cases(reader)
    (tmp_path / "cases").write_text(json.dumps(made))
    done = run(go, "check", lake.folder / "ledger", lake.ledger.verifier.vkey(), tmp_path / "cases")
    told = json.loads(done.stdout)
    assert (told["size"], base64.b64decode(told["root"])) == (SIZE, reader.root())
    assert [answer["xmod"] for answer in told["answers"]] == expected
    assert [answer["merkle"] for answer in told["answers"]] == expected


def test_go_refuses_a_ledger_with_one_changed_byte(go: Path, lake: SmallLake, tmp_path: Path) -> None:
    """In an entry and in the checkpoint."""
    (tmp_path / "cases").write_text("[]")
    for name, at in (("tile/entries/100", 500), ("checkpoint", 40)):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(lake.folder / "ledger", copy)
        data = bytearray((copy / name).read_bytes())
        data[at] ^= 1
        (copy / name).write_bytes(data)
        assert run(go, "check", copy, lake.ledger.verifier.vkey(), tmp_path / "cases", check=False).returncode == 1


def test_we_read_a_log_made_in_go(from_go: Path) -> None:
    """Its note, its tiles, its proofs; the standalone verifier reads it as well."""
    verifier = note.parse_vkey((from_go / "vkey").read_text())
    opened = checkpoints.open_checkpoint((from_go / "checkpoint").read_bytes(), [verifier])
    reader = TileReader(from_go, opened.size)
    assert (opened.size, reader.root()) == (1300, opened.root)
    for case in json.loads((from_go / "cases").read_text()):
        proof = [base64.b64decode(value) for value in case["proof"] or []]
        root = base64.b64decode(case["root"])
        if case["kind"] == "inclusion":
            found = base64.b64decode(case["leaf"])
            assert found == merkle.leaf_hash(reader.entry(case["index"]))
            assert proof == reader.inclusion_proof(case["index"])
            merkle.verify_inclusion(case["index"], 1300, found, proof, root)
        else:
            old = base64.b64decode(case["root1"])
            assert proof == reader.consistency_proof(case["old"])
            merkle.verify_consistency(case["old"], 1300, proof, old, root)
            with pytest.raises(LedgerError):
                merkle.verify_consistency(case["old"], 1300, proof, bytes(32), root)
    done = run(sys.executable, "-I", "-S", STANDALONE, "tree", from_go, "--key", verifier.vkey())
    assert "1300 entries lead to the signed root" in done.stdout


def test_a_key_made_in_go_signs_for_us(go: Path, from_go: Path, tmp_path: Path) -> None:
    """The private key's text is x/mod's, and what we sign with it x/mod opens."""
    signer = keys.load(from_go / "skey")
    assert note.verifier_of(signer).vkey() == (from_go / "vkey").read_text()
    copy = tmp_path / "log"
    shutil.copytree(from_go, copy)
    mine = Checkpoint(signer.name, 1300, TileReader(from_go, 1300).root())
    (copy / "checkpoint").write_bytes(checkpoints.sign_checkpoint(mine, [signer]).encode())
    (tmp_path / "cases").write_text("[]")
    run(go, "check", copy, (from_go / "vkey").read_text(), tmp_path / "cases")


AUDIT = """
import sys, aics_tlog as a
folder, vkey = sys.argv[1:]
key = a.parse_vkey(vkey)
point = a.verify_checkpoint(a.parse_note(open(folder + "/checkpoint", "rb").read()), key)
point = getattr(point, "checkpoint", point)
print(a.audit_tiles(a.FileSystemTileReader(folder), point.size, point.root))
"""


@pytest.mark.slow
def test_aics_tlog_audits_our_ledger_and_finds_a_changed_entry(aics: Path, lake: SmallLake, tmp_path: Path) -> None:
    """Every tile and every entry, from the signed checkpoint; one flipped bit is refused."""
    copy = tmp_path / "ledger"
    shutil.copytree(lake.folder / "ledger", copy)
    vkey = lake.ledger.verifier.vkey()
    (tmp_path / "vkey").write_text(vkey)
    run(aics, "-m", "aics_tlog", "verify-checkpoint", "--tiles", copy, "--vkey-file", tmp_path / "vkey")
    run(aics, "-c", AUDIT, copy, vkey)
    entry = tmp_path / "entry"
    entry.write_bytes(TileReader(copy, SIZE).entry(4711))
    inclusion = (
        "verify-inclusion",
        "--tiles",
        copy,
        "--vkey-file",
        tmp_path / "vkey",
        "--index",
        4711,
        "--leaf",
        entry,
    )
    run(aics, "-m", "aics_tlog", *inclusion)
    run(aics, "-m", "aics_tlog", "verify-consistency", "--tiles", copy, "--vkey-file", tmp_path / "vkey",
        "--old-checkpoint", copy / "checkpoints" / "1000")  # fmt: skip
    entry.write_bytes(TileReader(copy, SIZE).entry(4712))
    assert run(aics, "-m", "aics_tlog", *inclusion, check=False).returncode != 0
    bundle = bytearray((copy / "tile/entries/200").read_bytes())
    bundle[999] ^= 1
    (copy / "tile/entries/200").write_bytes(bundle)
    assert run(aics, "-c", AUDIT, copy, vkey, check=False).returncode != 0


def test_we_read_tiles_that_aics_tlog_built(aics: Path, tmp_path: Path) -> None:
    """Its tiles of the same entries are ours, byte for byte, and its root is the one we compute from them."""
    lines = [f"line {number}" for number in range(700)]
    (tmp_path / "leaves").write_text("\n".join(lines) + "\n")
    run(aics, "-m", "aics_tlog", "build-tiles", "--leaves", tmp_path / "leaves", "--out", tmp_path / "out")
    reader = TileReader(tmp_path / "out", 700)
    hashes = b"".join(merkle.leaf_hash(line.encode()) for line in lines)
    assert reader.root() == merkle.fold(merkle.peaks(hashes))
    assert b"".join(reader.tile(0, index) for index in range(3)) == hashes


def test_openssl_agrees_with_our_signatures(lake: SmallLake, tmp_path: Path) -> None:
    """The checkpoint's text, signature and key, taken apart by hand, verify with openssl."""
    if shutil.which("openssl") is None:
        absent("openssl is not installed")
    parsed = note.parse((lake.folder / "ledger/checkpoint").read_bytes())
    der = bytes.fromhex("302a300506032b6570032100") + lake.ledger.verifier.public
    for name, data in (("key", der), ("text", parsed.text), ("signature", parsed.signatures[0].data)):
        (tmp_path / name).write_bytes(data)
    command = ("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key", "-keyform", "DER", "-rawin",
               "-in", tmp_path / "text", "-sigfile", tmp_path / "signature")  # fmt: skip
    run(*command)
    (tmp_path / "text").write_bytes(parsed.text.replace(b"70001", b"70002"))
    assert run(*command, check=False).returncode != 0
