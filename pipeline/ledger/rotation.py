"""Handing a log over from one key to the next: a control record that both keys sign."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from pipeline.ledger import leaf, note
from pipeline.ledger.control import Body, Record
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.note import Signer, Verifier


def statement(old: str, new: str, index: int) -> bytes:
    """What both keys sign: their verifier keys and the leaf at which the new one takes over."""
    return f"keytrail-rotation/v1\n{old}\n{new}\n{index}\n".encode()


def body(old: Signer, new: Signer, index: int) -> Body:
    """The record's body. Raises LedgerError when the new key has another name: the log keeps its origin."""
    if old.name != new.name or old.public == new.public:
        raise LedgerError("a rotation needs another key under the same name")
    names = note.verifier_of(old).vkey(), note.verifier_of(new).vkey()
    message = statement(*names, index)
    return {
        "from": names[0],
        "to": names[1],
        "from_signature": base64.b64encode(old.sign(message)).decode(),
        "to_signature": base64.b64encode(new.sign(message)).decode(),
    }


def successors(pinned: Verifier, records: Iterable[Record]) -> tuple[Verifier, ...]:
    """The pinned key and those it handed the log over to. Raises LedgerError for a rotation that does not hold."""
    keys = [pinned]
    for record in records:
        if record.kind == leaf.ROTATION and record.body.get("from") == keys[-1].vkey():
            keys.append(_verify(record, keys[-1]))
    return tuple(keys)


def predecessors(pinned: Verifier, records: Iterable[Record]) -> tuple[Verifier, ...]:
    """The keys before the pinned one: what they signed then stands. Raises LedgerError as `successors` does."""
    before: list[Verifier] = []
    wanted = pinned
    for record in reversed([record for record in records if record.kind == leaf.ROTATION]):
        if record.body.get("to") == wanted.vkey():
            wanted = note.parse_vkey(str(record.body.get("from")))
            _verify(record, wanted)
            before.insert(0, wanted)
    return tuple(before)


def _verify(record: Record, old: Verifier) -> Verifier:
    try:
        texts = [str(record.body[name]) for name in ("to", "from_signature", "to_signature")]
    except KeyError as error:
        raise LedgerError("a rotation record without its signatures") from error
    new = note.parse_vkey(texts[0])
    message = statement(old.vkey(), new.vkey(), record.index)
    old.verify(message, note.decode_base64(texts[1]))
    new.verify(message, note.decode_base64(texts[2]))
    if new.name != old.name:
        raise LedgerError("a rotation to a key of another log")
    return new
