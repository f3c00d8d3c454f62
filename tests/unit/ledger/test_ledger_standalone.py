"""The standalone verifier: run as an auditor would, in a bare interpreter, against what the ledger wrote."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import duckdb
import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.ledger import leaf, merkle, proof_file
from pipeline.ledger.redaction import ERASED, EXPIRED, redaction_body
from pipeline.ledger.tiles import TileReader
from tests.unit.ledger.small_lake import SmallLake, records

FILE = Path(__file__).parents[3] / "pipeline" / "ledger" / "standalone" / "keytrail_verify.py"
SQL = FILE.parents[1] / "root.sql"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keytrail_verify", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


verifier = load()


@pytest.fixture
def lake(tmp_path: Path) -> SmallLake:
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(300), redacted=[7])
    lake.write(records(300, 300), control=[(leaf.CONFIG, {"b": "\u20ac", "a": [1, None]})])
    return lake


def run(lake: SmallLake, *arguments: str) -> tuple[int, str]:
    """In an isolated interpreter without site packages."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(FILE), *arguments, "--key", lake.ledger.verifier.vkey()],
        capture_output=True,
        text=True,
        check=False,
        cwd=lake.folder,
    )
    return done.returncode, done.stdout + done.stderr


def write_proof(lake: SmallLake, index: int) -> None:
    published = (lake.folder / "ledger/checkpoint").read_bytes()
    row = pl.concat(lake.rows()).filter(leaf_index=index).row(0, named=True)
    (lake.folder / "p").write_bytes(
        proof_file.make_proof(TileReader(lake.folder / "ledger", 601), index, published, 601)
    )
    (lake.folder / "e").write_bytes(proof_file.make_event(row))


def test_it_is_one_file_of_at_most_500_lines_that_imports_the_standard_library() -> None:
    """An auditor can read it in an hour."""
    lines = FILE.read_text().splitlines()
    assert len(lines) <= 500
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= set(sys.stdlib_module_names) | {"__future__"}


def test_note_proof_consistency_and_tree_hold(lake: SmallLake) -> None:
    """All commands that need nothing agree with the ledger."""
    write_proof(lake, 400)
    assert run(lake, "note", "ledger/checkpoint") == (0, f"good: signed: size 601, root {lake.head()['root_hex']}\n")  # type: ignore[index]
    assert run(lake, "proof", "p", "--event", "e")[0] == 0
    assert run(lake, "consistency", "ledger/checkpoints/300", "ledger/checkpoint", "ledger")[0] == 0
    code, told = run(lake, "tree", "ledger", "--since-head", "ledger/checkpoints/300")
    assert (code, "601 entries" in told, "1 control records" in told) == (0, True, True)


@pytest.mark.parametrize(
    ("name", "at"),
    [("ledger/tile/entries/001", 100), ("ledger/tile/0/000", 0), ("ledger/tile/1/000.p/2", 5), ("ledger/ctl.jsonl", 12),
     ("ledger/checkpoint", 45), ("ledger/checkpoints/300", 45)],
)  # fmt: skip
def test_a_flipped_byte_is_refused_with_code_10(lake: SmallLake, name: str, at: int) -> None:
    """The same tampering that the full verification finds."""
    path = lake.folder / name
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    code, told = run(lake, "tree", "ledger", "--since-head", "ledger/checkpoints/300")
    assert (code, told.startswith("refused: "), "Traceback" in told) == (10, True, False)


def test_a_missing_file_is_refused_and_wrong_usage_is_2(lake: SmallLake) -> None:
    """Never a traceback."""
    (lake.folder / "ledger/tile/0/001").unlink()
    assert run(lake, "tree", "ledger")[0] == 10
    assert run(lake, "note", "nothing")[0] == 10
    assert run(lake, "unknown")[0] == 2


def test_every_flipped_byte_of_proof_and_event_is_refused(lake: SmallLake) -> None:
    """But for the names of uid and file, which the leaf does not commit to."""
    write_proof(lake, 400)
    key = lake.ledger.verifier.vkey()
    data, event = (lake.folder / "p").read_bytes(), (lake.folder / "e").read_bytes()
    told = json.loads(event)
    loose = [range(event.index(b'"%s"' % text.encode()) + 1, event.index(b'"%s"' % text.encode()) + 1 + len(text))
             for text in (told["uid"], told["file"])]  # fmt: skip
    paths = [str(lake.folder / name) for name in ("p", "e")]
    assert verifier.main(["proof", paths[0], "--event", paths[1], "--key", key]) == 0
    for path, whole in zip(paths, (data, event), strict=True):
        for at in range(0, len(whole), 1 if path == paths[1] else 7):
            if path == paths[1] and any(at in span for span in loose):
                continue
            changed = bytearray(whole)
            changed[at] ^= 1
            Path(path).write_bytes(changed)
            assert verifier.main(["proof", paths[0], "--event", paths[1], "--key", key]) == 10, (path, at)
        Path(path).write_bytes(whole)


def test_redacted_events_are_told_not_to_have_been_compared(lake: SmallLake) -> None:
    """The place in the log is proven, the bytes are not."""
    write_proof(lake, 7)
    code, told = run(lake, "proof", "p", "--event", "e")
    assert (code, "not compared" in told) == (0, True)


def test_parquet_rows_are_checked_with_duckdb(lake: SmallLake) -> None:
    """An edited row is refused; nothing of keytrail is imported for it."""
    arguments = ["rows", str(lake.folder / "ledger"), str(lake.folder / "raw-*.parquet"), "--key"]
    assert verifier.main([*arguments, lake.ledger.verifier.vkey()]) == 0
    path = lake.folder / lake.files()[0]
    frame = pl.read_parquet(path)
    frame.with_columns(raw=pl.when(pl.col("leaf_index") == 9).then(pl.lit(b"x")).otherwise("raw")).write_parquet(path)
    assert verifier.main([*arguments, lake.ledger.verifier.vkey()]) == 10


REDACTIONS = [
    (leaf.REDACTION, redaction_body(ERASED, [3], reason="r", authority="a")),
    (leaf.REDACTION, redaction_body(EXPIRED, [20, 21, 22], reason="r", authority="a")),
]


def rows_of(lake: SmallLake) -> int:
    words = ["rows", str(lake.folder / "ledger"), str(lake.folder / "raw-*.parquet")]
    return int(verifier.main([*words, "--key", lake.ledger.verifier.vkey()]))


def blanked(rows: pl.DataFrame, *leaves: int) -> pl.DataFrame:
    hit = pl.col("leaf_index").is_in(leaves)
    return rows.with_columns(
        pl.when(~hit).then("raw").alias("raw"),
        pl.when(~hit).then("salt").alias("salt"),
        redacted=hit | pl.col("redacted"),
    )


def test_rows_that_records_declare_gone_are_told_as_not_compared(
    lake: SmallLake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Erased, expired, redacted at ingest: good, with their numbers; records have no row."""
    lake.write(records(10, 600), control=REDACTIONS)
    path = lake.folder / lake.files()[0]
    blanked(pl.read_parquet(path), 3).filter(~pl.col("leaf_index").is_in([20, 21, 22])).write_parquet(path)
    assert rows_of(lake) == 0
    told = capsys.readouterr().out
    assert told.startswith("good: 605 rows are those of the log of 613 entries")
    assert told.endswith("not compared, as declared: 2 redacted rows, 3 control records, 3 expired entries\n")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows.filter(pl.col("leaf_index") != 0), "a row before 1 is missing"),
        (lambda rows: rows.filter(pl.col("leaf_index") != 23), "a row before 24 is missing"),
        (lambda rows: rows.filter(pl.col("leaf_index") != 3), "a row before 4 is missing"),
        (lambda rows: rows.filter(pl.col("leaf_index") < 290), "a row before 300 is missing"),
        (lambda rows: blanked(rows, 5), "row 5: its bytes are gone"),
        (lambda rows: blanked(rows, 7), "row 7: its bytes are gone"),
    ],
)
def test_rows_that_are_gone_undeclared_are_refused(
    lake: SmallLake, change: Callable[[pl.DataFrame], pl.DataFrame], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An erased entry keeps its row; a line redacted at ingest keeps what was stored of it."""
    lake.write(records(10, 600), control=REDACTIONS)
    path = lake.folder / lake.files()[0]
    change(pl.read_parquet(path)).write_parquet(path)
    assert rows_of(lake) == 10
    assert reason in capsys.readouterr().out


def test_the_last_rows_cannot_be_missing_either(lake: SmallLake, capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the last row there are control records at most."""
    path = lake.folder / lake.files()[-1]
    pl.read_parquet(path)[:-1].write_parquet(path)
    assert rows_of(lake) == 10
    assert "a row from 599 on is missing" in capsys.readouterr().out


def test_no_record_declares_entries_that_come_after_it(lake: SmallLake) -> None:
    """Nor does one without leaves make the verifier fail otherwise than with a reason."""
    lake.write(records(1, 600), control=[(leaf.REDACTION, redaction_body(EXPIRED, [603], reason="r", authority="a"))])
    lake.write(records(2, 601))
    path = lake.folder / lake.files()[-1]
    pl.read_parquet(path)[1:].write_parquet(path)
    assert rows_of(lake) == 10
    lake.write(records(1, 603), control=[(leaf.REDACTION, {"action": "erased"})])
    assert rows_of(lake) == 10


def test_its_ed25519_agrees_with_another_implementation() -> None:
    """Good signatures pass; a changed byte of key, message or signature does not; s must be reduced."""
    for seed in range(4):
        key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        public, message = key.public_key().public_bytes_raw(), bytes(range(seed * 20))
        signature = key.sign(message)
        verifier.ed25519_verify(public, message, signature)
        unreduced = (int.from_bytes(signature[32:], "little") + verifier.ORDER).to_bytes(32, "little")
        flipped = bytes([signature[0] ^ 1]) + signature[1:]
        for p, m, s in (
            (public, message + b"x", signature),
            (public, message, flipped),
            (public, message, signature[:32] + unreduced),
            (bytes(32), message, signature),
            (b"\xff" * 32, message, signature),
            (public, message, signature[:-1]),
        ):
            with pytest.raises(verifier.RefusedError):
                verifier.ed25519_verify(p, m, s)


def test_its_ed25519_has_the_known_answers_of_rfc_8032() -> None:
    """Section 7.1, tests 1 and 2."""
    for public, message, signature in (
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            (
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            (
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
    ):
        verifier.ed25519_verify(*map(bytes.fromhex, (public, message, signature)))


def test_its_merkle_trees_agree_with_the_ledgers() -> None:
    """Written by the definitions of the RFC rather than by its algorithms, with the same answers."""
    hashes = [merkle.leaf_hash(bytes([n])) for n in range(40)]

    def subtree(start: int, end: int) -> bytes:
        return verifier.tree_root(hashes[start:end])  # type: ignore[no-any-return]

    for size in range(1, 41):
        root = subtree(0, size)
        assert root == merkle.fold(merkle.peaks(b"".join(hashes[:size])))
        for index in range(size):
            path = merkle.gather(merkle.inclusion_ranges(index, size), subtree)
            assert verifier.root_from_inclusion(index, size, hashes[index], path) == root
            old = index + 1
            path = merkle.gather(merkle.consistency_ranges(old, size), subtree)
            verifier.verify_consistency(old, size, path, subtree(0, old), root)
            with pytest.raises(verifier.RefusedError):
                verifier.verify_consistency(old, size, path, bytes(32), root)


@pytest.mark.parametrize("control", [0, 3])
@pytest.mark.parametrize("count", [1, 2, 255, 256, 1000])
def test_the_documented_sql_recomputes_the_signed_root(tmp_path: Path, count: int, control: int) -> None:
    """DuckDB alone, from Parquet and ctl.jsonl, arrives at size and root of the checkpoint: also where there are no
    control records, and where files that were merged are still there."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(count), control=[(leaf.CONFIG, {"n": n}) for n in range(control)])
    (file,) = lake.folder.glob("raw-*.parquet")
    shutil.copy(file, file.with_name("raw-merged.parquet"))
    with duckdb.connect() as con:
        con.execute(f"set variable raw = '{lake.folder}/raw-*.parquet'")
        con.execute(f"set variable ctl = '{lake.folder}/ledger/ctl.jsonl'")
        size, last, root, encoded = con.execute(SQL.read_text()).fetchone()  # type: ignore[misc]
    _, stated, stated_root = (lake.folder / "ledger/checkpoint").read_text().split("\n")[:3]
    assert (size, last + 1, encoded) == (int(stated), int(stated), stated_root)
    assert root.lower() == lake.head()["root_hex"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows.vstack(rows[7:8]), "a second row for a leaf"),
        (lambda rows: rows.vstack(rows[:1].with_columns(leaf_index=pl.lit(9_999, pl.Int64))), "beyond the log"),
        (lambda rows: rows.with_columns(leaf=pl.lit(None, pl.Binary)), "without source, position or leaf"),
    ],
)
def test_rows_that_are_no_rows_of_the_log_are_refused(
    lake: SmallLake, change: Callable[[pl.DataFrame], pl.DataFrame], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice, beyond the log, or without a leaf: with the reason, never a traceback."""
    path = next(iter(sorted(lake.folder.glob("raw-*.parquet"))))
    change(pl.read_parquet(path)).write_parquet(path)
    words = ["rows", str(lake.folder / "ledger"), str(lake.folder / "raw-*.parquet")]
    assert verifier.main([*words, "--key", lake.ledger.verifier.vkey()]) == 10
    assert reason in capsys.readouterr().out


def test_a_tile_that_goes_on_behind_its_end_is_refused(lake: SmallLake, capsys: pytest.CaptureFixture[str]) -> None:
    """Its first hashes are right, its length is not."""
    (path,) = (lake.folder / "ledger/tile/1").rglob("2")
    path.write_bytes(path.read_bytes() + bytes(32))
    assert verifier.main(["tree", str(lake.folder / "ledger"), "--key", lake.ledger.verifier.vkey()]) == 10
    assert "wrong length" in capsys.readouterr().out
