"""What the ledger's key says of a report: a signed note that binds the manifest to heads of the log.

    keytrail-report/v1
    <report>
    <from> <to>
    <SHA-256 of the manifest, hexadecimal>
    <origin> <size> <root, base64>        one line for each ledger of the lake

Nothing that the key signs elsewhere reads like this, whatever a log is called: the second line of a checkpoint is a
number, and a report's name is none; an intent and a rotation begin otherwise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import note as notes
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.merkle import HASH_SIZE
from pipeline.ledger.note import Signer, Verifier

FIRST: Final = "keytrail-report/v1"
_NAME: Final = re.compile(r"[a-z]+(?:-[a-z]+)*")
_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
_PERIOD: Final = re.compile(f"({_TIME}) ({_TIME})", re.ASCII)
_HEAD: Final = re.compile(r"(\S+) (\d+) (\S+)", re.ASCII)
_SUM: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Statement:
    """A report of a period, the SHA-256 of its manifest, and where the lake's ledgers stood."""

    report: str
    start: str
    end: str
    manifest: str
    heads: tuple[Checkpoint, ...]

    def text(self) -> bytes:
        """The lines above."""
        heads = (f"{head.origin} {head.size} {notes.encode_base64(head.root)}" for head in self.heads)
        lines = (FIRST, self.report, f"{self.start} {self.end}", self.manifest, *heads)
        return "".join(f"{line}\n" for line in lines).encode()


def digest(manifest: bytes) -> str:
    """What a statement says of a manifest's bytes."""
    return hashlib.sha256(manifest).hexdigest()


def of(report: str, period: tuple[str, str], manifest: bytes, heads: Iterable[Checkpoint]) -> Statement:
    """The statement about a manifest's bytes."""
    return Statement(report, *period, digest(manifest), tuple(heads))


def sign(statement: Statement, signer: Signer) -> bytes:
    """The note. Raises LedgerError for what would not be read back, or has no head of the signer's log."""
    text = statement.text()
    if parse(text) != statement:
        raise LedgerError("a report that no note can speak of")
    _need_own_head(statement, signer.name)
    return notes.sign(text, [signer]).encode()


def open_statement(data: bytes, verifiers: Iterable[Verifier]) -> tuple[Statement, Verifier]:
    """What one of these keys signed, and which. The head of its own log must be among the heads. Raises LedgerError."""
    note = notes.parse(data)
    signed = notes.verify(note, verifiers)
    statement = parse(note.text)
    _need_own_head(statement, signed[0].name)
    return statement, signed[0]


def parse(text: bytes) -> Statement:
    """A statement's text, in the one form it has. Raises LedgerError."""
    lines = text.decode("utf-8", "replace").split("\n")
    if lines[0] != FIRST:
        raise LedgerError("a note that speaks of no report")
    if len(lines) < 6 or lines[-1]:
        raise LedgerError("a report's note has a name, a period, a sum and at least one head")
    period = _PERIOD.fullmatch(lines[2])
    if not _NAME.fullmatch(lines[1]) or period is None or not _SUM.fullmatch(lines[3]):
        raise LedgerError("a report's note with a malformed name, period or sum")
    heads = tuple(_head(line) for line in lines[4:-1])
    if len({head.origin for head in heads}) < len(heads):
        raise LedgerError("a report's note with two heads of one log")
    return Statement(lines[1], period[1], period[2], lines[3], heads)


def _head(line: str) -> Checkpoint:
    found = _HEAD.fullmatch(line)
    if found is None or not notes.is_name(found[1]):
        raise LedgerError("a report's note with a malformed head")
    root = notes.decode_base64(found[3])
    if len(root) != HASH_SIZE:
        raise LedgerError(f"a head's root has {len(root)} bytes, not {HASH_SIZE}")
    return Checkpoint(found[1], checkpoints.decimal(found[2]), root)


def _need_own_head(statement: Statement, name: str) -> None:
    if all(head.origin != name for head in statement.heads):
        raise LedgerError(f"a report's note signed by {name} without a head of that log")
