"""The 62-byte entries of the log: a commitment to a record, never the record.

    "al1\\0" | kind u8 | flags u8 | stream_id 8 | pos u64 | ingest_ns u64 | commit 32          (big-endian)

stream_id is the first 8 bytes of SHA-256(source). For a record, commit = SHA-256(salt16 ‖ bytes): without the salt,
which lies beside the record and not in the log, nothing can be guessed from it, however little the record holds.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from struct import iter_unpack

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline.core.model import Bytes, Ints
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.merkle import hash_all

ENTRY_SIZE = 62
SALT_SIZE = 16
MAGIC = b"al1\x00"
EVENT, SEAL, SOURCE_STATE, GAP, REDACTION, ROTATION, CONFIG, ANCHOR, RECONCILIATION, VERIFICATION = range(1, 11)
REDACTED, REJECTED = 1, 2  # flag bits
CONTROL_STREAM = "keytrail/control"

ENTRY = np.dtype(
    [
        ("magic", "S4"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("stream", "V8"),
        ("position", ">u8"),
        ("ingest_ns", ">u8"),
        ("commit", "V32"),
    ]
)
_PACKED = struct.Struct(">4sBB8sQQ32s")

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Leaves:
    """Entries ready to be appended. `salts` is n×16, `entries` n×62, `hashes` the n leaf hashes one after another."""

    salts: Bytes
    entries: Bytes
    hashes: bytes

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry taken apart."""

    kind: int
    flags: int
    stream: bytes
    position: int
    ingest_ns: int
    commit: bytes


def stream_id(source: str) -> bytes:
    """Eight bytes that stand for a stream."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()[:8]


def pack(entry: Entry) -> bytes:
    """The 62 bytes of one entry."""
    return _PACKED.pack(MAGIC, entry.kind, entry.flags, entry.stream, entry.position, entry.ingest_ns, entry.commit)


def unpack(data: bytes) -> Entry:
    """One entry taken apart; LedgerError when it is not one."""
    if len(data) != ENTRY_SIZE or data[:4] != MAGIC:
        raise LedgerError("not a ledger entry")
    return Entry(*_PACKED.unpack(data)[1:])


def commitment(salt: bytes, record: bytes) -> bytes:
    """SHA-256(salt ‖ record)."""
    return hashlib.sha256(salt + record).digest()


def commitments(salts: bytes, buffers: Sequence[memoryview], which: Ints, starts: Ints, ends: Ints) -> bytes:
    """The commitments of the records `buffers[which[i]][starts[i]:ends[i]]`, one after another.

    The hot loop of the ledger: mostly SHA-256 itself. Salt and record are not put together first: that copy costs more
    than a second call; a copy of a hash not yet fed costs less than a new one.
    """
    fresh = hashlib.sha256().copy
    found: list[bytes] = []
    keep = found.append
    rows = zip(iter_unpack(f"{SALT_SIZE}s", salts), which.tolist(), starts.tolist(), ends.tolist(), strict=True)
    for (salt,), buffer, start, end in rows:
        digest = fresh()
        digest.update(salt)
        digest.update(buffers[buffer][start:end])
        keep(digest.digest())
    return b"".join(found)


def leaf_hashes(entries: Bytes) -> bytes:
    """SHA-256(00 ‖ entry) of the rows of an n×62 array, one after another."""
    return hash_all(b"\x00", np.ascontiguousarray(entries).data, ENTRY_SIZE)


def build(
    stream: str,
    positions: Ints,
    ingest_ns: int,
    *,
    data: Bytes,
    starts: Ints,
    ends: Ints,
    rejected: Flags | None = None,
    redacted: Flags | None = None,
    salts: bytes | None = None,
) -> Leaves:
    """Entries for records `data[starts[i]:ends[i]]` of one stream. Pure but for the salts, which are random."""
    count = len(starts)
    salts = os.urandom(count * SALT_SIZE) if salts is None else salts
    table = np.zeros(count, ENTRY)
    table["magic"] = MAGIC
    table["kind"] = EVENT
    if rejected is not None:
        table["flags"] |= rejected.astype(np.uint8) * REJECTED
    if redacted is not None:
        table["flags"] |= redacted.astype(np.uint8) * REDACTED
    table["stream"] = np.void(stream_id(stream))
    table["position"] = positions
    table["ingest_ns"] = ingest_ns
    view = np.ascontiguousarray(data).data
    table["commit"] = np.frombuffer(commitments(salts, [view], np.zeros(count, np.int64), starts, ends), "V32")
    entries = table.view(np.uint8).reshape(count, ENTRY_SIZE)
    return Leaves(np.frombuffer(salts, np.uint8).reshape(count, SALT_SIZE), entries, leaf_hashes(entries))


def single(entry: Entry) -> Leaves:
    """One entry ready to be appended; it has no salt."""
    entries = np.frombuffer(pack(entry), np.uint8).reshape(1, ENTRY_SIZE)
    return Leaves(np.zeros((1, SALT_SIZE), np.uint8), entries, leaf_hashes(entries))


def binary_column(name: str, rows: Bytes) -> pl.Series:
    """The rows of an n×w byte array as a polars Binary column."""
    width = rows.shape[1]
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))]
    )
    return pl.Series(name, pl.from_arrow(fixed.cast(pa.large_binary())), dtype=pl.Binary)


def framed(entries: Bytes) -> Bytes:
    """n×64: each entry with its length before it, as tlog-tiles bundles have it."""
    rows = np.empty((len(entries), ENTRY_SIZE + 2), np.uint8)
    rows[:, 0], rows[:, 1] = 0, ENTRY_SIZE
    rows[:, 2:] = entries
    return rows


def unframed(bundle: bytes, count: int) -> Bytes:
    """The n×62 entries of a bundle; LedgerError when it is not `count` entries of this log."""
    if len(bundle) != count * (ENTRY_SIZE + 2):
        raise LedgerError(f"entry bundle has {len(bundle)} bytes, not {count * (ENTRY_SIZE + 2)}")
    rows = np.frombuffer(bundle, np.uint8).reshape(count, ENTRY_SIZE + 2)
    wrong = (rows[:, 0] != 0) | (rows[:, 1] != ENTRY_SIZE)
    if wrong.any():
        raise LedgerError(f"entry {int(wrong.argmax())} of the bundle has another length than {ENTRY_SIZE}")
    return rows[:, 2:]
