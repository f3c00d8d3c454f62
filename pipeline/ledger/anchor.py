"""Anchors in time: an RFC 3161 token over a published checkpoint shows that the log existed before an hour.

`ledger/anchors/<size>.tsr` is the authority's answer over the bytes of `ledger/checkpoints/<size>`. The token is kept
first; a later commit records it among the leaves (kind 8: type rfc3161, size, root, path, sha256), so that taking it
away shows. One that a crash left unrecorded is recorded by the next call. `openssl ts -verify` needs none of this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.disk import sync_folder
from pipeline.core.errors import ConfigError, StoreError
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import leaf, note, timestamp
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.control import Body, Record
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional, replace_durable
from pipeline.ledger.places import Places
from pipeline.ledger.tiles import TileReader
from pipeline.ledger.timestamp import Roots, Stamp, TokenError

TYPE = "rfc3161"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A token of a log: where it lies, and what it is over."""

    path: str  # relative to the lake
    checkpoint: Checkpoint
    token: bytes
    stamp: Stamp

    def body(self) -> Body:
        """Of the record that names it."""
        return {
            "type": TYPE,
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "path": self.path,
            "sha256": hashlib.sha256(self.token).hexdigest(),
        }


@dataclass(slots=True)
class Tally:
    """What `check` has seen of tokens that hold."""

    stamps: dict[int, Stamp] = field(default_factory=dict)  # by size
    unread: int = 0  # the extra is not there to look into them
    unrecorded: int = 0

    def notes(self) -> list[str]:
        """In words; nothing where there is no token."""
        told = []
        if self.stamps:
            size, stamp = max(self.stamps.items())
            what = f"{len(self.stamps)} time stamps: {size} entries were there by {stamp.at:%Y-%m-%dT%H:%M:%SZ}"
            held = "" if stamp.trusted else " if the authority's signatures hold, which were not checked: give --roots"
            told.append(what + held)
        if self.unread:
            told.append(f"{self.unread} time stamps were not looked into: install keytrail[anchor]")
        if self.unrecorded:
            told.append(
                f"{self.unrecorded} time stamps are not among the leaves yet: keytrail ledger anchor records them"
            )
        return told


def published(lake: Path, folder: str, size: int | None = None) -> tuple[Checkpoint, bytes]:
    """A published checkpoint, by default the newest, and the bytes that a token is over. Raises LedgerError."""
    if size is None:
        newest = read_optional(lake / folder / "checkpoint")
        if newest is None:
            raise LedgerError("no checkpoint was published yet")
        size = checkpoints.parse(note.parse(newest).text).size
    copy = read_optional(lake / folder / "checkpoints" / str(size))
    if copy is None:
        raise LedgerError(f"no checkpoint of size {size} is kept")
    return checkpoints.parse(note.parse(copy).text), copy


def keep(lake: Path, folder: str, size: int, token: bytes, roots: Roots) -> Anchor:
    """Keep a token that holds, in the place of one that nothing records. Raises TokenError, LedgerError, StoreError."""
    checkpoint, copy = published(lake, folder, size)
    stamp = timestamp.check(token, copy, roots)
    path = _path(folder, size)
    try:
        (lake / path).parent.mkdir(exist_ok=True)
        sync_folder(lake / folder)
        replace_durable(lake / path, token)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror}") from error
    return Anchor(path, checkpoint, token, stamp)


def unrecorded(lake: Path, folder: str, records: Iterable[Record], roots: Roots) -> list[Anchor]:
    """Tokens that no record names and that hold: a crash, or a run that was writing, came between."""
    known, found = recorded(records), []
    for size in _sizes(lake / folder):
        token = read_optional(lake / _path(folder, size))
        if size in known or token is None:
            continue
        try:
            checkpoint, copy = published(lake, folder, size)
            found.append(Anchor(_path(folder, size), checkpoint, token, timestamp.check(token, copy, roots)))
        except LedgerError:
            continue  # verification tells of it; a new one may take its place
    return found


def recorded(records: Iterable[Record]) -> set[int]:
    """The sizes that have a recorded token."""
    return {int(record.body["size"]) for record in records if is_anchor(record)}


def is_anchor(record: Record) -> bool:
    """Whether a record names a token."""
    return record.kind == leaf.ANCHOR and record.body.get("type") == TYPE


def check(
    lake: Path,
    folder: str,
    records: Sequence[Record],
    places: Places,
    *,
    reader: TileReader | None = None,
    roots: Roots = (),
) -> Tally:
    """Report tokens that are gone or changed, or over anything but a checkpoint of this log, or under no root.

    `records` are those that name tokens, `reader` a tree whose hashes are all known. Raises ConfigError for roots that
    nothing can be checked with.
    """
    if roots and not timestamp.available():
        raise ConfigError("--roots needs rfc3161-client: install keytrail[anchor]")
    tally, known = Tally(), set()
    for record in records:
        size, path, where = int(record.body["size"]), str(record.body["path"]), (record.index, record.index + 1)
        known.add(path)
        token = read_optional(lake / path)
        if token is None:
            places.add(path, "gap", "anchor", "the time stamp is missing", where)
        elif hashlib.sha256(token).hexdigest() != record.body["sha256"]:
            places.add(path, "altered", "anchor", "the time stamp is not the one that was recorded", where)
        elif reader is not None and reader.root(size).hex() != record.body["root"]:
            places.add(path, "altered", "fork", f"the stamped tree of {size} entries is another", where)
        else:
            _look(lake, folder, size, token, places, tally, roots, where)
    for size in _sizes(lake / folder):
        token = read_optional(lake / _path(folder, size))
        if _path(folder, size) not in known and token is not None:
            tally.unrecorded += _look(lake, folder, size, token, places, tally, roots, (0, 0))
    return tally


def _look(  # noqa: PLR0917
    lake: Path, folder: str, size: int, token: bytes, places: Places, tally: Tally, roots: Roots, where: tuple[int, int]
) -> bool:
    """Whether a token holds against its checkpoint, as far as can be seen; what does not is told."""
    path = _path(folder, size)
    if not timestamp.available():
        tally.unread += 1
        return True
    try:
        _, copy = published(lake, folder, size)
    except LedgerError as error:
        places.add(path, "gap", "anchor", f"what the time stamp is over is missing: {error}", where)
        return False
    try:
        tally.stamps[size] = timestamp.check(token, copy, roots)
    except TokenError as error:
        verdict = "altered" if error.cause == "anchor_imprint" else "unverifiable"
        places.add(path, verdict, error.cause, str(error), where)
        return False
    return True


def _path(folder: str, size: int) -> str:
    return f"{folder}/anchors/{size}.tsr"


def _sizes(folder: Path) -> list[int]:
    names = [path.stem for path in (folder / "anchors").glob("*.tsr")]
    return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)
