"""Writing files so that they are there after a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from pipeline.core import faults
from pipeline.core.errors import StoreError

File = tuple[str, bytes]  # path below a folder, content

_OPEN = 128  # files open at once
_WAITERS = 4
_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_TRUNC


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


def write_all(base: Path, files: Sequence[File]) -> None:
    """Write and fsync many files below a folder, and the folders they are in. Raises StoreError.

    Each is handed to the disk as soon as it is written, so that by the time it is waited for it is mostly there and
    the file system's journal is written once for many.
    """
    try:
        gained: list[Path] = []
        for folder, group in groupby(files, lambda file: file[0].rpartition("/")[0]):
            gained += _make(base / folder)
            _write_folder(base / folder, list(group))
        for path in dict.fromkeys(gained):
            sync_folder(path)
    except OSError as error:
        raise StoreError(f"the ledger could not be written: {error}") from error


def _write_folder(folder: Path, files: Sequence[File]) -> None:
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for at in range(0, len(files), _OPEN):
            _write_some(place, files[at : at + _OPEN])
        os.fsync(place)
    finally:
        os.close(place)


def _write_some(place: int, files: Sequence[File]) -> None:
    handles: list[int] = []
    try:
        for name, data in files:
            handles.append(os.open(name.rpartition("/")[2], _FLAGS, 0o644, dir_fd=place))
            _put(handles[-1], data)
            faults.point("ledger.file")
        if len(handles) <= _WAITERS:
            _sync(handles)
        else:
            with ThreadPoolExecutor(_WAITERS) as pool:  # a disk answers several at once
                list(pool.map(_sync, (handles[at::_WAITERS] for at in range(_WAITERS))))
    finally:
        for handle in handles:
            os.close(handle)


def _put(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    if hasattr(os, "posix_fadvise"):  # Linux begins to write what is dirty, and keeps it in memory
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def _sync(handles: Iterable[int]) -> None:
    for handle in handles:
        os.fsync(handle)


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


def read_small(path: str, limit: int) -> bytes | None:
    """The first bytes of a file that is read by the thousand: without what a file object costs. As `read_optional`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(handle, limit)
            while len(data) < limit and (more := os.read(handle, limit - len(data))):
                data += more
        finally:
            os.close(handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path.rpartition('/')[2]} could not be read: {error.strerror}") from error
    return data
