"""Anchors in time: an RFC 3161 token over a published checkpoint shows that the log existed before an hour.

keytrail asks no time-stamping authority by itself. Ask one with `openssl ts` over `ledger/checkpoints/<size>`, hand the
token over here, and its hash becomes a leaf of the log (kind 8); `openssl ts -verify` checks it with none of our code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import StoreError
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import leaf, note
from pipeline.ledger.control import Body, Record
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional, write_all
from pipeline.ledger.places import Places
from pipeline.ledger.tiles import TileReader


def store(lake: Path, size: int, token: bytes, *, folder: str = "ledger") -> Body:
    """Keep a token over `checkpoints/<size>` as `anchors/<size>.tsr`; the body of its control record.

    Raises LedgerError when there is no such checkpoint, StoreError when the token cannot be written.
    """
    published = read_optional(lake / folder / "checkpoints" / str(size))
    if published is None:
        raise LedgerError(f"no checkpoint of size {size} was published")
    stated = checkpoints.parse(note.parse(published).text)
    path = f"{folder}/anchors/{size}.tsr"
    if read_optional(lake / path) not in {None, token}:
        raise StoreError(f"{path} holds another token")
    write_all([(lake / path, token)])
    return {
        "type": "rfc3161",
        "size": stated.size,
        "root": stated.root.hex(),
        "path": path,
        "sha256": hashlib.sha256(token).hexdigest(),
    }


def check(lake: Path, records: Iterable[Record], reader: TileReader, places: Places) -> None:
    """Report tokens that are gone or changed, and anchors of another history."""
    for record in records:
        body = record.body
        if record.kind != leaf.ANCHOR or body.get("type") != "rfc3161":
            continue
        path, where = str(body["path"]), (record.index, record.index + 1)
        token = read_optional(lake / path)
        if token is None:
            places.add(path, "gap", "anchor", "the time-stamp token is missing", where)
        elif hashlib.sha256(token).hexdigest() != body["sha256"]:
            places.add(path, "altered", "anchor", "the time-stamp token is not the one that was recorded", where)
        elif reader.root(int(body["size"])).hex() != body["root"]:
            places.add(path, "altered", "fork", f"the anchored tree of {body['size']} entries is another", where)
