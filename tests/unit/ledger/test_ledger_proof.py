"""Proof files: what they show, and that no byte of them can change unnoticed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.ledger import control, leaf, merkle, note, policy, proof, proof_file
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.tiles import TileReader
from tests.unit.ledger.small_lake import SmallLake, records


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> SmallLake:
    lake = SmallLake(tmp_path_factory.mktemp("proof") / "lake")
    lake.write(records(300), redacted=[7], control=[(leaf.CONFIG, {})])
    return lake


def files(lake: SmallLake, index: int) -> tuple[bytes, bytes]:
    published = (lake.folder / "ledger/checkpoint").read_bytes()
    reader = TileReader(lake.folder / "ledger", 301)
    row = pl.concat(lake.rows()).filter(leaf_index=index).row(0, named=True)
    return proof_file.make_proof(reader, index, published, 301), proof_file.make_event(row)


def test_a_proof_and_its_event_hold(lake: SmallLake) -> None:
    """The leaf is in the signed tree, and the event is what it commits to."""
    data, event = files(lake, 123)
    proven = proof_file.verify_files(data, [lake.ledger.verifier], event=event)
    assert (proven.index, proven.checkpoint.size, proven.content) == (123, 301, True)
    assert data.startswith(b"c2sp.org/tlog-proof@v1\nextra ")
    assert base64.b64decode(data.split(b"\n")[1][6:])[:4] == leaf.MAGIC
    assert json.loads(event)["raw"] == base64.b64encode(records(300)[123]).decode()
    assert set(json.loads(event)) == {"uid", "source", "file", "position", "leaf_index", "salt", "raw", "redacted"}


def test_a_proof_is_made_against_the_published_checkpoint(lake: SmallLake, tmp_path: Path) -> None:
    """And there is none before one was published, nor for a leaf beyond it."""
    assert proof_file.published_proof(lake.folder / "ledger", 123) == files(lake, 123)[0]
    with pytest.raises(LedgerError, match="not in a tree"):
        proof_file.published_proof(lake.folder / "ledger", 301)
    with pytest.raises(LedgerError, match="no published checkpoint"):
        proof_file.published_proof(tmp_path, 0)


def test_a_proof_alone_shows_that_the_entry_is_in_the_log(lake: SmallLake) -> None:
    """Without the event nothing is said of its bytes."""
    proven = proof_file.verify_files(files(lake, 5)[0], [lake.ledger.verifier])
    assert (proven.entry.kind, proven.content) == (leaf.EVENT, False)


def test_every_flipped_byte_of_a_proof_is_refused(lake: SmallLake) -> None:
    """Entry, index, hashes, checkpoint, signature: nothing is decoration."""
    data, _ = files(lake, 200)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(LedgerError):
            proof_file.verify_files(bytes(changed), [lake.ledger.verifier])


def test_every_flipped_byte_of_an_event_is_refused_but_those_that_are_told_as_not_bound(lake: SmallLake) -> None:
    """The entry commits to source, position and bytes; uid and file are only told."""
    data, event = files(lake, 200)
    parsed = json.loads(event)
    begins = [(event.index(b'"%s"' % parsed[name].encode()) + 1, len(parsed[name])) for name in ("uid", "file")]
    told = {at for begin, length in begins for at in range(begin, begin + length)}
    for at in set(range(len(event))) - told:
        changed = bytearray(event)
        changed[at] ^= 1
        with pytest.raises(LedgerError):
            proof_file.verify_files(data, [lake.ledger.verifier], event=bytes(changed))


def test_it_is_said_which_fields_of_an_event_are_bound(lake: SmallLake) -> None:
    """A forged uid or file is not refused, and nothing says that it holds; of redacted events neither are the bytes."""
    data, event = files(lake, 200)
    forged = control.canonical({**json.loads(event), "uid": "0" * 32, "file": "/else.log"}) + b"\n"
    proven = proof_file.verify_files(data, [lake.ledger.verifier], event=forged)
    assert proven.unbound == ("uid", "file")
    assert {*proven.bound, *proven.unbound} == set(json.loads(event))
    data, event = files(lake, 7)
    proven = proof_file.verify_files(data, [lake.ledger.verifier], event=event)
    assert proven.bound == ("leaf_index", "source", "position")
    assert {*proven.bound, *proven.unbound} == set(json.loads(event))
    assert proof_file.verify_files(data, [lake.ledger.verifier]).bound == ()


def test_base64_has_one_form(lake: SmallLake) -> None:
    """Other spellings of the same bytes are refused, in the proof and in the event."""
    data, event = files(lake, 201)
    raw = json.loads(event)["raw"]
    last = raw.rstrip("=")[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    if raw.endswith("="):
        loose = raw.replace(last + "=", alphabet[alphabet.index(last) + 1] + "=", 1)
        assert base64.b64decode(loose) == base64.b64decode(raw)
        with pytest.raises(LedgerError, match="canonical"):
            proof_file.verify_files(data, [lake.ledger.verifier], event=event.replace(raw.encode(), loose.encode()))
    with pytest.raises(LedgerError):
        proof_file.verify_files(data.replace(b"extra ", b"extra\t"), [lake.ledger.verifier])


@pytest.mark.parametrize(
    "change",
    [
        {"leaf_index": 124}, {"position": 0}, {"source": "other"}, {"redacted": True}, {"salt": None}, {"raw": None},
        {"salt": "00" * 15}, {"salt": "0G" * 16}, {"raw": ""}, {"redacted": 1}, {"leaf_index": "123"},
        {"position": 1.0}, {"more": 1},
    ],
)  # fmt: skip
def test_an_event_that_says_something_else_is_refused(lake: SmallLake, change: dict[str, Any]) -> None:
    """Field by field, types included."""
    data, event = files(lake, 123)
    changed = {**json.loads(event), **change}
    text = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with pytest.raises(LedgerError):
        proof_file.verify_files(data, [lake.ledger.verifier], event=text)


def test_an_event_redacted_at_ingest_shows_its_place_and_not_its_bytes(lake: SmallLake) -> None:
    """The leaf says so itself; one that is not marked cannot be passed off as redacted."""
    data, event = files(lake, 7)
    assert proof_file.verify_files(data, [lake.ledger.verifier], event=event).content is False
    with pytest.raises(LedgerError, match="disagree"):
        proof_file.verify_files(
            data, [lake.ledger.verifier], event=event.replace(b'"redacted":true', b'"redacted":false')
        )


def test_an_erased_event_shows_its_place(lake: SmallLake) -> None:
    """Raw and salt are null once it was erased."""
    data, event = files(lake, 8)
    erased = {**json.loads(event), "raw": None, "salt": None, "redacted": True}
    text = json.dumps(erased, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert proof_file.verify_files(data, [lake.ledger.verifier], event=text).content is False


def test_a_proof_without_its_quorum_is_refused(lake: SmallLake) -> None:
    """A policy with witnesses wants their cosignatures."""
    data, _ = files(lake, 8)
    log, witness = lake.ledger.verifier, note.Verifier("w", note.COSIGNATURE, bytes(32))
    strict = policy.parse(f"log {log.vkey()}\nwitness w {witness.vkey()}\nquorum w\n".encode())
    lax = policy.parse(f"log {log.vkey()}\nwitness w {witness.vkey()}\nquorum none\n".encode())
    assert proof_file.verify_files(data, [], policy=lax).index == 8
    with pytest.raises(LedgerError, match="quorum w"):
        proof_file.verify_files(data, [], policy=strict)


def test_the_only_leaf_of_a_log_has_an_empty_path() -> None:
    """A tree of one leaf is its own root."""
    parsed = proof.Proof(0, (), b"x\n")
    assert proof.parse(parsed.encode()) == parsed
    merkle.verify_inclusion(0, 1, merkle.leaf_hash(b"a"), [], merkle.leaf_hash(b"a"))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\n\nx", b"c2sp.org/tlog-proof@v2\nindex 0\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex 00\n\nx", b"c2sp.org/tlog-proof@v1\nindex -1\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\nx", b"c2sp.org/tlog-proof@v1\nextra \xff\nindex 0\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex 0\nextra AAAA\n\nx", b"c2sp.org/tlog-proof@v1\r\nindex 0\r\n\r\nx",
        b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"A" * 43 + b"=\n" * 1 + (b"A" * 43 + b"=\n") * 63 + b"\nx",
    ],
)  # fmt: skip
def test_malformed_proofs_raise_the_declared_error(data: bytes) -> None:
    """Parsing never ends in another exception."""
    with pytest.raises(LedgerError):
        proof.parse(data)


@pytest.mark.parametrize("data", [b'{"uid":"\xff"}', b'{"uid":' + b"[" * 100_000, b"", b"[]"])
def test_malformed_events_raise_the_declared_error(data: bytes) -> None:
    """What is no JSON, no text or far too deep is refused like any other."""
    with pytest.raises(LedgerError, match="not an event file"):
        proof_file.parse_event(data)
