"""What the stateful parts need to go on, kept as Arrow IPC: one file per commit, of the frames that changed."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.errors import StoreError
from pipeline.store.files import guarded, private_file

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from pipeline.core.model import Frames
    from pipeline.store.catalogue import Catalogue

_NOTHING: Final = ""  # the frame name that stands for a part which has no frames


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame: `size` bytes at `start` of `path`."""

    path: str
    start: int
    size: int
    digest: bytes


Entries = dict[tuple[str, str], Entry]
Packed = dict[tuple[str, str], pl.DataFrame]  # by part and name of the frame


def pack(states: Mapping[str, Frames]) -> Packed:
    """The frames as they are at this moment, whatever becomes of the memory that they stand in."""
    return {
        (part, name): _copied(frame)
        for part, frames in states.items()
        for name, frame in dict(frames or {_NOTHING: pl.DataFrame()}).items()
    }


def write(lake: Path, path: str, packed: Packed, before: Entries) -> Entries:
    """Writes the frames that differ from `before` into `path` (no file when none does) and says where all are now.

    A part that is given is replaced whole; one that is not given stays as it was. `packed` is empty afterwards: each
    frame goes when it is encoded.
    """
    given = {part for part, _ in packed}
    entries = {key: entry for key, entry in before.items() if key[0] not in given}
    bodies: list[bytes] = []
    start = 0
    for key in list(packed):
        body = _encode(packed.pop(key))
        digest = hashlib.blake2b(body, digest_size=16).digest()
        known = before.get(key)
        if known is not None and known.digest == digest:
            entries[key] = known
            continue
        entries[key] = Entry(path, start, len(body), digest)
        bodies.append(body)
        start += len(body)
    if bodies:
        _write(lake / path, bodies)
    return entries


def load(catalogue: Catalogue, worker: str, parts: Collection[str] = ()) -> Entries:
    """The entries of the newest commit, of some parts or of all."""
    with catalogue.reading() as sql:
        rows = sql.execute(
            "SELECT part, frame, path, start, size, digest FROM states WHERE worker = ?", (worker,)
        ).fetchall()
    return {(part, name): Entry(*rest) for part, name, *rest in rows if not parts or part in parts}


def save(sql: sqlite3.Connection, worker: str, entries: Entries) -> None:
    """Part of a commit: these entries replace all earlier ones of the worker."""
    sql.execute("DELETE FROM states WHERE worker = ?", (worker,))
    sql.executemany(
        "INSERT INTO states VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(worker, part, name, e.path, e.start, e.size, e.digest) for (part, name), e in entries.items()],
    )


def unpack(lake: Path, entries: Entries) -> dict[str, dict[str, pl.DataFrame]]:
    """The frames, exactly as they were given. StoreError when a file is not what was written."""
    states: dict[str, dict[str, pl.DataFrame]] = {}
    for (part, name), entry in sorted(entries.items()):
        frames = states.setdefault(part, {})
        if name != _NOTHING:
            frames[name] = _decode(_read(lake / entry.path, entry), part)
    return states


def _copied(frame: pl.DataFrame) -> pl.DataFrame:
    """The same in memory of its own, texts apart: a column made of a numpy array stands in that array.

    Another object, too: encoding locks a frame and then waits for the interpreter, and whoever asks the same frame for
    anything meanwhile has the interpreter and waits for the frame.
    """
    return pl.concat([frame, frame.head(1)], rechunk=True).head(len(frame)) if len(frame) else frame.clear()


def _encode(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="zstd", compat_level=pl.CompatLevel.newest())
    return buffer.getvalue()


def _decode(body: bytes, part: str) -> pl.DataFrame:
    with guarded(f"reading the state of {part}"):
        return pl.read_ipc_stream(io.BytesIO(body))


def _read(file: Path, entry: Entry) -> bytes:
    with guarded(f"reading {file}"), file.open("rb") as stream:
        stream.seek(entry.start)
        body = stream.read(entry.size)
    if hashlib.blake2b(body, digest_size=16).digest() != entry.digest:
        raise StoreError(f"{file} is damaged: the state it holds is not the one that was committed")
    return body


def _write(file: Path, bodies: list[bytes]) -> None:
    private_file(file)
    with file.open("r+b") as stream:
        stream.writelines(bodies)
        stream.flush()
        os.fsync(stream.fileno())
