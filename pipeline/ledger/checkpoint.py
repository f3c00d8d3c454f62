"""Checkpoints, c2sp.org/tlog-checkpoint v1.0.0, and the intent that comes before one.

A checkpoint is three lines: origin, size, root. keytrail writes no extension lines. An *intent* is the same statement
under another first line: it lies in the lake's commit and says "once this commit stands, this will be the
checkpoint". No reader of checkpoints accepts it, since its second line is no number.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.ledger import note as notes
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.merkle import EMPTY_ROOT, HASH_SIZE
from pipeline.ledger.note import Note, Signer, Verifier

INTENT = "keytrail-intent/v1"
MAX_TREE = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree's size and root under the log's name."""

    origin: str
    size: int
    root: bytes

    def text(self) -> bytes:
        """The three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()

    def intent(self) -> bytes:
        """The text to be signed before the commit."""
        return f"{INTENT}\n".encode() + self.text()


def empty(origin: str) -> Checkpoint:
    """The log before its first entry."""
    return Checkpoint(origin, 0, EMPTY_ROOT)


def parse(text: bytes) -> Checkpoint:
    """A checkpoint's text. Extension lines are allowed and ignored. Raises LedgerError."""
    lines = _decode(text).split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise LedgerError("a checkpoint has at least three lines, none of them empty")
    root = notes.decode_base64(lines[2])
    if len(root) != HASH_SIZE:
        raise LedgerError(f"a checkpoint's root has {len(root)} bytes, not {HASH_SIZE}")
    size = decimal(lines[1])
    if size == 0 and root != EMPTY_ROOT:
        raise LedgerError("a checkpoint of size 0 with a root that is not the empty tree's")
    return Checkpoint(lines[0], size, root)


def _decode(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LedgerError("a checkpoint that is not UTF-8") from error


def decimal(text: str) -> int:
    """A size or index: ASCII digits without leading zeroes, below 2^63. Raises LedgerError."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0") or len(text) > 19:
        raise LedgerError("not a decimal number in canonical form")
    value = int(text)
    if value > MAX_TREE:
        raise LedgerError("a number past 2^63-1")
    return value


def open_checkpoint(data: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """The checkpoint of a note that one of the log's keys signed under the log's name. Raises LedgerError."""
    note = notes.parse(data)
    signed = notes.verify(note, verifiers)
    checkpoint = parse(note.text)
    if all(verifier.name != checkpoint.origin for verifier in signed):
        raise LedgerError(f"a checkpoint of {checkpoint.origin} signed by {signed[0].name}")
    return checkpoint


def open_intent(data: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """The same for an intent."""
    note = notes.parse(data)
    signed = notes.verify(note, verifiers)
    first, _, rest = note.text.partition(b"\n")
    if first != INTENT.encode():
        raise LedgerError("not an intent")
    checkpoint = parse(rest)
    if all(verifier.name != checkpoint.origin for verifier in signed):
        raise LedgerError(f"an intent of {checkpoint.origin} signed by {signed[0].name}")
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, signers: Iterable[Signer]) -> Note:
    """The published form."""
    return notes.sign(checkpoint.text(), signers)


def sign_intent(checkpoint: Checkpoint, signers: Iterable[Signer]) -> Note:
    """The form that goes into the lake's commit."""
    return notes.sign(checkpoint.intent(), signers)
