"""Proofs that travel alone: c2sp.org/tlog-proof@v1, an entry's path to a signed checkpoint."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import merkle, note
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.note import Verifier
from pipeline.ledger.policy import Policy

MAGIC = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof taken apart, nothing verified. `extra` is not authenticated by the format."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = [MAGIC]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(value).decode() for value in self.hashes]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint


def parse(data: bytes) -> Proof:
    """A proof taken apart; every deviation from the one canonical form is a LedgerError."""
    head, blank, checkpoint = data.partition(b"\n\n")
    if not blank or len(data) > note.MAX_SIZE:
        raise LedgerError("not a tlog-proof: no blank line before the checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise LedgerError("not a tlog-proof") from error
    if lines.pop(0) != MAGIC:
        raise LedgerError(f"not a tlog-proof: it does not begin with {MAGIC}")
    extra = note.decode_base64(_value(lines, "extra")) if lines and lines[0].startswith("extra ") else None
    index = checkpoints.decimal(_value(lines, "index"))
    proof = Proof(index, _hashes(lines), checkpoint, extra)
    if proof.encode() != data:
        raise LedgerError("a tlog-proof that is not in canonical form")
    return proof


def verify(
    proof: Proof, leaf_hash: bytes, verifiers: Iterable[Verifier] = (), *, policy: Policy | None = None
) -> Checkpoint:
    """The leaf is in the log: a trusted log signed the checkpoint, it has its quorum, the path leads to its root.

    Raises LedgerError otherwise. `policy` adds its logs to `verifiers`.
    """
    logs = (*verifiers, *(policy.logs if policy else ()))
    checkpoint = checkpoints.open_checkpoint(proof.checkpoint, logs)
    if policy is not None and policy.witnesses:
        signed = note.verify(note.parse(proof.checkpoint), (*logs, *policy.witnesses.values()))
        if not policy.satisfied(signed):
            raise LedgerError(f"the checkpoint lacks the cosignatures that quorum {policy.quorum} asks for")
    merkle.verify_inclusion(proof.index, checkpoint.size, leaf_hash, proof.hashes, checkpoint.root)
    return checkpoint


def _value(lines: list[str], word: str) -> str:
    found, space, value = (lines.pop(0) if lines else "").partition(" ")
    if found != word or not space:
        raise LedgerError(f"not a tlog-proof: no {word} line where one belongs")
    return value


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > MAX_HASHES:
        raise LedgerError(f"a tlog-proof of more than {MAX_HASHES} hashes")
    hashes = tuple(note.decode_base64(line) for line in lines)
    if any(len(value) != merkle.HASH_SIZE for value in hashes):
        raise LedgerError("a tlog-proof with a hash that is not 32 bytes")
    return hashes
