"""Writing files so that they are there after a power cut."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.core import faults
from pipeline.core.errors import StoreError

_WRITERS = 8  # concurrent fsyncs share the file system's journal commits


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durable(path: Path, data: bytes, *, mode: int = 0o644, exclusive: bool = False) -> None:
    """Write and fsync one file in place. The folder's entry is not synced here."""
    flags = os.O_CREAT | os.O_WRONLY | (os.O_EXCL if exclusive else os.O_TRUNC)
    handle = os.open(path, flags, mode)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_durable(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file whole: a reader sees the old one or the new one, also after a power cut."""
    beside = path.with_name(f".{path.name}.new")
    write_durable(beside, data, mode=mode)
    beside.replace(path)
    sync_folder(path.parent)


def write_all(files: Sequence[tuple[Path, bytes]]) -> None:
    """Write and fsync many files and the folders they are in. Raises StoreError."""
    if not files:
        return
    try:
        folders = sorted({path.parent for path, _ in files})
        made = [ancestor for folder in folders for ancestor in _make(folder)]
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(_write, files))
            list(pool.map(sync_folder, dict.fromkeys([*folders, *made])))
    except OSError as error:
        raise StoreError(f"the ledger could not be written: {error}") from error


def _write(file: tuple[Path, bytes]) -> None:
    write_durable(*file)
    faults.point("ledger.file")


def _make(folder: Path) -> list[Path]:
    """Make a folder; the ones above it that gained an entry."""
    gained = []
    missing = folder
    while not missing.exists():
        missing = missing.parent
        gained.append(missing)
    folder.mkdir(parents=True, exist_ok=True)
    return gained


def read_optional(path: Path) -> bytes | None:
    """What a file holds, None when there is no such file. Raises StoreError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path.name} could not be read: {error.strerror}") from error
