"""Control records: what the log says about itself. Bodies lie in ctl.jsonl, their commitments among the leaves.

A body is canonical JSON (RFC 8785); commit = SHA-256 of it; the leaf's position is the record's number. A line of
ctl.jsonl is the canonical form of {body, kind, leaf (hex), leaf_index}.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pipeline.core.disk import sync_folder
from pipeline.core.errors import StoreError
from pipeline.ledger import leaf
from pipeline.ledger.errors import LedgerError

FILE = "ctl.jsonl"
STREAM_ID = leaf.stream_id(leaf.CONTROL_STREAM)
_SAFE = 1 << 53

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """One control record."""

    index: int
    kind: int
    body: Body
    leaf: bytes


def canonical(value: object) -> bytes:
    """RFC 8785 of text, whole numbers up to 2^53, booleans, null, lists and objects. Raises LedgerError for others."""
    try:
        return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise LedgerError("text with half a surrogate pair has no canonical form") from error


def number(value: int) -> int | str:
    """A whole number as a body can hold it: text where it is too large."""
    return value if -_SAFE < value < _SAFE else str(value)


def _sorted(value: object) -> object:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and -_SAFE < value < _SAFE:
        return value
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _sorted(value[key]) for key in sorted(value, key=_utf16)}
    raise LedgerError(f"{type(value).__name__} has no canonical form here")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def entry_of(kind: int, number: int, ingest_ns: int, body: Body) -> leaf.Entry:
    """The leaf of a control record."""
    return leaf.Entry(kind, 0, STREAM_ID, number, ingest_ns, hashlib.sha256(canonical(body)).digest())


class ControlLog:
    """The writer of ctl.jsonl: lines wait until `flush`, and what lies beyond the last commit is cut off."""

    def __init__(self, folder: Path, count: int = 0, size: int = 0) -> None:
        self._path = folder / FILE
        self._waiting: list[bytes] = []
        self.count = count
        self.size = size

    def add(self, record: Record) -> None:
        """Take a record whose leaf has just been appended."""
        line = canonical(
            {"body": record.body, "kind": record.kind, "leaf": record.leaf.hex(), "leaf_index": record.index}
        )
        self._waiting.append(line + b"\n")
        self.count += 1

    def flush(self) -> None:
        """Write and fsync what waits. Repeating it after a failure is safe. Raises StoreError."""
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        try:
            self._write(data)
        except OSError as error:
            raise StoreError(f"the ledger's control records could not be written: {error}") from error
        self.size += len(data)
        self._waiting.clear()

    def make(self) -> None:
        """An empty file where there is none yet: other tools read it, too."""
        if not self._path.exists():
            try:
                os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o644))
            except OSError as error:
                raise StoreError(f"the ledger's {FILE} could not be made: {error.strerror}") from error

    def cut(self) -> None:
        """Drop from the file what no commit covers. Raises LedgerError when the commit covers more than there is."""
        there = self._path.stat().st_size if self._path.exists() else 0
        if there < self.size:
            raise LedgerError(f"{FILE} has {there} bytes, the commit says {self.size}")
        if there > self.size:
            os.truncate(self._path, self.size)

    def _write(self, data: bytes) -> None:
        handle = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            os.ftruncate(handle, self.size)
            os.pwrite(handle, data, self.size)
            os.fsync(handle)
        finally:
            os.close(handle)
        sync_folder(self._path.parent)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    body: dict[str, Any]
    kind: int
    leaf: str
    leaf_index: int


def lines(folder: Path) -> Iterator[bytes]:
    """The lines of ctl.jsonl, line ends included; the last may be what a crash left."""
    path = folder / FILE
    if path.is_file():
        with path.open("rb") as file:
            yield from file


def parsed(folder: Path) -> Iterator[Record]:
    """The records up to the first line that is none."""
    for number, line in enumerate(lines(folder)):
        try:
            record = parse(number, line)
        except LedgerError:
            return
        yield record


def parse(number: int, line: bytes) -> Record:
    """Record `number` from its line. Raises LedgerError unless it is canonical and its leaf commits to its body.

    That the leaf is in the log is for `verify` to say.
    """
    where = f"{FILE}, line {number + 1}"
    try:
        parsed = msgspec.json.decode(line, type=_Line)
        data = bytes.fromhex(parsed.leaf)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise LedgerError(f"{where} is not a control record") from error
    if canonical(msgspec.to_builtins(parsed)) + b"\n" != line:
        raise LedgerError(f"{where} is not in canonical form")
    entry = leaf.unpack(data)
    if entry != entry_of(parsed.kind, number, entry.ingest_ns, parsed.body):
        raise LedgerError(f"{where}: the leaf does not commit to the body")
    return Record(parsed.leaf_index, parsed.kind, parsed.body, data)
