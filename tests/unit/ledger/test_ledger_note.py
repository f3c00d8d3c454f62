"""Signed notes, checkpoints, verifier keys."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import note
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.keys import FileSigner

SIGNER = FileSigner("example.org/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
VERIFIER = note.verifier_of(SIGNER)
OTHER = FileSigner("example.org/other", Ed25519PrivateKey.from_private_bytes(bytes(32)))
GOOD = note.sign(b"one\n\ntwo\n", [SIGNER]).encode()
SIGNATURE = GOOD.split(b"\n")[-2].split(b" ")[-1]


def test_the_published_key_of_gos_checksum_database_is_read_and_written_back() -> None:
    """A verifier key that we had no part in making keeps its text and its key id."""
    vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    verifier = note.parse_vkey(vkey)
    assert (verifier.name, verifier.vkey()) == ("sum.golang.org", vkey)


def test_text_and_signatures_part_at_the_last_blank_line() -> None:
    """A text may hold blank lines of its own."""
    parsed = note.parse(GOOD)
    assert parsed.text == b"one\n\ntwo\n"
    assert note.verify(parsed, [VERIFIER]) == (VERIFIER,)
    assert parsed.encode() == GOOD


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        GOOD[:-1],
        GOOD + b"\n",
        GOOD.replace(b"two", b"t\x00o"),
        GOOD.replace(b"two", b"t\x7f\xffo"),
        GOOD.replace(b"\n\n\xe2", b"\n\xe2", 1)[10:],
        GOOD.replace(b"\xe2\x80\x94 ", b"- "),
        GOOD.replace(b"\xe2\x80\x94 ", b"\xe2\x80\x94"),
        GOOD.replace(b"example.org/log ", b"example.org/log"),
        GOOD.replace(b"example.org/log ", b" "),
        GOOD.replace(b"example.org/log ", b"exa+mple "),
        GOOD.replace(b"example.org/log ", "exa\u00a0mple ".encode()),
        GOOD.replace(SIGNATURE, b"!" + SIGNATURE[1:]),
        GOOD.replace(SIGNATURE, SIGNATURE[:-1]),
        GOOD.replace(SIGNATURE, SIGNATURE + b"\r"),
        GOOD.replace(SIGNATURE, base64.b64encode(b"abcd")),
        GOOD.replace(SIGNATURE, SIGNATURE[:-2] + b"h="),
        GOOD + GOOD.split(b"\n\n")[-1] * 100,
        b"x" * (note.MAX_SIZE + 1),
    ],
)
def test_malformed_notes_raise_the_declared_error(data: bytes) -> None:
    """Whatever is wrong with a note's form, parsing or opening it raises LedgerError and nothing else."""
    with pytest.raises(LedgerError):
        note.verify(note.parse(data), [VERIFIER])


def test_a_known_key_with_a_bad_signature_condemns_the_note() -> None:
    """Another good signature does not save it."""
    forged = note.Signature(VERIFIER.name, VERIFIER.key_id, bytes(64))
    parsed = note.Note(b"text\n", (*note.sign(b"text\n", [OTHER]).signatures, forged))
    with pytest.raises(LedgerError):
        note.verify(parsed, [VERIFIER, note.verifier_of(OTHER)])
    assert note.verify(parsed, [note.verifier_of(OTHER)])


def test_unknown_keys_are_ignored_and_a_note_without_a_known_one_is_refused() -> None:
    """A name or a key id alone does not make a key known."""
    stranger = FileSigner(VERIFIER.name, Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
    parsed = note.sign(b"text\n", [stranger, OTHER])
    with pytest.raises(LedgerError):
        note.verify(parsed, [VERIFIER])
    assert note.verify(note.sign(b"text\n", [stranger, SIGNER]), [VERIFIER]) == (VERIFIER,)


def test_sixteen_signatures_are_accepted() -> None:
    """A note may carry many witnesses."""
    signers = [FileSigner(f"w{n}", Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in range(16)]
    data = note.sign(b"text\n", signers).encode()
    assert len(note.verify(note.parse(data), map(note.verifier_of, signers))) == 16


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "name+zz+AQ==",
        VERIFIER.vkey()[:-4],
        VERIFIER.vkey() + "=",
        VERIFIER.vkey().replace("+" + VERIFIER.key_id.hex(), "+00000000"),
        VERIFIER.vkey().replace("example", "exomple"),
        "na me" + VERIFIER.vkey()[15:],
        "name+" + note.key_id("name", 9, bytes(32)).hex() + "+" + base64.b64encode(b"\x09" + bytes(32)).decode(),
    ],
)
def test_malformed_verifier_keys_raise_the_declared_error(text: str) -> None:
    """A key whose text is cut, changed or of an unknown kind is not a key."""
    with pytest.raises(LedgerError):
        note.parse_vkey(text)


def test_a_cosignature_holds_for_its_text_and_time_only() -> None:
    """Time and text are both in what a witness signs."""
    witness = note.Verifier(OTHER.name, note.COSIGNATURE, OTHER.public)
    text = Checkpoint("log", 1, bytes(32)).text()
    signature = note.cosign(text, OTHER, 1_679_315_147)
    witness.verify(text, signature.data)
    later = (1_679_315_148).to_bytes(8, "big") + signature.data[8:]
    for bad in (later, signature.data[:-1]):
        with pytest.raises(LedgerError):
            witness.verify(text, bad)
    with pytest.raises(LedgerError):
        witness.verify(text.replace(b"1", b"2"), signature.data)


def test_an_ml_dsa_cosignature_commits_to_name_origin_size_and_root() -> None:
    """The message is the structure of tlog-cosignature, so any part of it that changes breaks the signature."""
    key = MLDSA44PrivateKey.generate()
    witness = note.Verifier("witness.example", note.MLDSA_COSIGNATURE, key.public_key().public_bytes_raw())
    text = Checkpoint("log", 7, bytes(range(32))).text()
    message = (
        b"subtree/v1\n\x00\x0fwitness.example" + (5).to_bytes(8, "big") + b"\x03log"
        + (0).to_bytes(8, "big") + (7).to_bytes(8, "big") + bytes(range(32))
    )  # fmt: skip
    data = (5).to_bytes(8, "big") + key.sign(message)
    witness.verify(text, data)
    assert note.parse_vkey(witness.vkey()) == witness
    for other in (text.replace(b"7", b"8"), text.replace(b"log", b"log2"), b"no checkpoint\n"):
        with pytest.raises(LedgerError):
            witness.verify(other, data)


def test_a_checkpoint_opens_under_the_logs_own_name_only() -> None:
    """A key may sign for its own log and for no other."""
    mine = Checkpoint(SIGNER.name, 3, bytes(32))
    assert checkpoints.open_checkpoint(checkpoints.sign_checkpoint(mine, [SIGNER]).encode(), [VERIFIER]) == mine
    with pytest.raises(LedgerError):
        checkpoints.open_checkpoint(
            checkpoints.sign_checkpoint(mine, [OTHER]).encode(), [VERIFIER, note.verifier_of(OTHER)]
        )


def test_an_intent_is_no_checkpoint_and_a_checkpoint_no_intent() -> None:
    """What lies in the lake's commit cannot be passed off as a published head."""
    mine = Checkpoint(SIGNER.name, 3, bytes(32))
    intent = checkpoints.sign_intent(mine, [SIGNER]).encode()
    assert checkpoints.open_intent(intent, [VERIFIER]) == mine
    with pytest.raises(LedgerError):
        checkpoints.open_checkpoint(intent, [VERIFIER])
    with pytest.raises(LedgerError):
        checkpoints.open_intent(checkpoints.sign_checkpoint(mine, [SIGNER]).encode(), [VERIFIER])


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "", "log\n", f"log\n1\n{ROOT}", f"\n1\n{ROOT}\n", f"log\n01\n{ROOT}\n", f"log\n-1\n{ROOT}\n",
        f"log\n١\n{ROOT}\n",
        f"log\n+1\n{ROOT}\n", f"log\n{1 << 63}\n{ROOT}\n", f"log\n{'9' * 40}\n{ROOT}\n", f"log\n1\n{ROOT[:-4]}\n",
        f"log\n1\n{ROOT[:-1]}\n", f"log\n1\n{ROOT}\n\n", f"log\n0\n{ROOT}\n", f"log\n1 \n{ROOT}\n",
        f"log\n1\n {ROOT}\n",
    ],
)  # fmt: skip
def test_malformed_checkpoints_raise_the_declared_error(text: str) -> None:
    """Sizes, roots and lines have one form only."""
    with pytest.raises(LedgerError):
        checkpoints.parse(text.encode())


def test_extension_lines_are_read_over() -> None:
    """Other logs may write them; ours does not."""
    assert checkpoints.parse(f"log\n1\n{ROOT}\nextension\n".encode()) == Checkpoint("log", 1, bytes(32))
    assert Checkpoint("log", 1, bytes(32)).text() == f"log\n1\n{ROOT}\n".encode()


def test_the_example_note_of_the_specification_opens() -> None:
    """The note that c2sp.org/signed-note prints is signed by a key whose id its own signature line tells."""
    signature = "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc="
    text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u00e8 subito sera.\n"
    parsed = note.parse(f"{text}\n\u2014 quasimodo.example/salvatore {signature}\n".encode())
    assert parsed.text.decode() == text
    assert parsed.signatures[0].key_id.hex() == "367ba04b"
    assert len(parsed.signatures[0].data) == 64
