"""What `keytrail proof` writes and `verify proof` reads: `<uid>.tlog-proof` and `<uid>.event.json`.

The proof's `extra` is the 62-byte entry; its hash is what the path begins with, which authenticates it. The event
file is canonical JSON of uid, source, file, position, leaf_index, salt (hex), raw (base64), redacted, so that no byte
of it can change unnoticed but the texts of `uid` and `file`, which the entry does not commit to.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import leaf, merkle, note, proof
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.control import canonical
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional
from pipeline.ledger.note import Verifier
from pipeline.ledger.policy import Policy
from pipeline.ledger.tiles import TileReader

PLACE = ("leaf_index", "source", "position")
CONTENT = ("raw", "salt", "redacted")
TOLD = ("uid", "file")  # the entry commits to neither, and nothing else in the event file gives them


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event file. `salt` and `raw` are null once the event was erased."""

    uid: str
    source: str
    file: str | None
    position: int
    leaf_index: int
    salt: str | None
    raw: str | None
    redacted: bool


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof shows. `content` says whether the event's bytes were compared with the commitment, `bound` and
    `unbound` which fields of the event file the entry commits to, and which anybody may have written into it."""

    checkpoint: Checkpoint
    index: int
    entry: leaf.Entry
    content: bool
    bound: tuple[str, ...] = ()
    unbound: tuple[str, ...] = ()


def make_proof(reader: TileReader, index: int, checkpoint: bytes, size: int) -> bytes:
    """The proof file of one leaf against a published checkpoint of `size`. LedgerError when the leaf is not in it."""
    path = tuple(reader.inclusion_proof(index, size))
    return proof.Proof(index, path, checkpoint, reader.entry(index)).encode()


def published_proof(folder: Path, index: int) -> bytes:
    """The proof file of one leaf against the published checkpoint of a ledger folder.

    Raises LedgerError when nothing is published yet or the leaf is not in what is.
    """
    checkpoint = read_optional(folder / "checkpoint")
    if checkpoint is None:
        raise LedgerError("the ledger has no published checkpoint yet")
    size = checkpoints.parse(note.parse(checkpoint).text).size
    return make_proof(TileReader(folder, size), index, checkpoint, size)


def proof_of(folders: Sequence[Path], index: int, entry: bytes) -> bytes:
    """The proof file of a leaf out of the one of several ledgers that has this entry there.

    Where none has it, the error is that of the first. Raises LedgerError.
    """
    failed: LedgerError | None = None
    for folder in folders:
        try:
            found = published_proof(folder, index)
        except LedgerError as error:
            failed = failed or error
            continue
        if proof.parse(found).extra == entry:
            return found
    raise failed or LedgerError(f"no ledger of the lake has this entry as its leaf {index}")


def make_event(row: Mapping[str, Any]) -> bytes:
    """The event file of one row of the `raw` view (uid, source, file, position, leaf_index, salt, raw, redacted)."""
    salt, raw = row["salt"], row["raw"]
    return _encode(
        Event(
            uid=row["uid"],
            source=row["source"],
            file=row.get("file"),
            position=row["position"],
            leaf_index=row["leaf_index"],
            salt=None if salt is None else salt.hex(),
            raw=None if raw is None else base64.b64encode(raw).decode(),
            redacted=row["redacted"],
        )
    )


def verify_files(
    data: bytes,
    verifiers: Iterable[Verifier],
    *,
    event: bytes | None = None,
    policy: Policy | None = None,
) -> Proven:
    """Everything a proof file, and the event file beside it, claims. LedgerError at the first thing that fails."""
    parsed = proof.parse(data)
    if parsed.extra is None:
        raise LedgerError("the proof carries no entry")
    entry = leaf.unpack(parsed.extra)
    checkpoint = proof.verify(parsed, merkle.leaf_hash(parsed.extra), verifiers, policy=policy)
    if event is None:
        return Proven(checkpoint, parsed.index, entry, content=False)
    content = _verify_event(parse_event(event), parsed.index, entry)
    bound, unbound = (PLACE + CONTENT, TOLD) if content else (PLACE, CONTENT + TOLD)
    return Proven(checkpoint, parsed.index, entry, content, bound, unbound)


def parse_event(data: bytes) -> Event:
    """An event file in its one canonical form; anything else is a LedgerError."""
    try:
        event = msgspec.json.decode(data, type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError("not an event file") from error
    if _encode(event) != data:
        raise LedgerError("an event file that is not in canonical form")
    return event


def _encode(event: Event) -> bytes:
    return canonical(msgspec.to_builtins(event)) + b"\n"


def _verify_event(event: Event, index: int, entry: leaf.Entry) -> bool:
    if event.leaf_index != index:
        raise LedgerError(f"the event names leaf {event.leaf_index}, the proof is of leaf {index}")
    if entry.kind != leaf.EVENT or leaf.stream_id(event.source) != entry.stream:
        raise LedgerError("the leaf is of another source than the event")
    if event.position != entry.position:
        raise LedgerError(f"the event's position {event.position} is not the leaf's {entry.position}")
    in_clear = bool(entry.flags & leaf.REDACTED)
    if event.redacted and (in_clear or (event.raw is None and event.salt is None)):
        return False
    if event.redacted or in_clear or event.raw is None or event.salt is None:
        raise LedgerError("the event and its leaf disagree on whether it is redacted")
    raw = note.decode_base64(event.raw)
    if leaf.commitment(_salt(event.salt), raw) != entry.commit:
        raise LedgerError("the event's bytes are not those that the leaf commits to")
    return True


def _salt(text: str) -> bytes:
    try:
        salt = bytes.fromhex(text)
    except ValueError as error:
        raise LedgerError("the event's salt is not hexadecimal") from error
    if len(salt) != leaf.SALT_SIZE or salt.hex() != text:
        raise LedgerError(f"the event's salt is not {leaf.SALT_SIZE} bytes in lower-case hexadecimal")
    return salt
