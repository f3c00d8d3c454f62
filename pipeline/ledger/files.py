"""Writing files so that they are there after a power cut."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final

from pipeline.core import faults
from pipeline.core.disk import sync_folder
from pipeline.core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

File = tuple[str, bytes]  # path below a folder, content

_FEW: Final = 8
_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_TRUNC


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
    """Write many files below a folder so that they last, and the folders they are in. Raises StoreError.

    More than a few are waited for together, with whatever else their file system has yet to write: a wait for each
    costs more than the writing.
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
    together = _syncfs is not None and len(files) > _FEW
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name, data in files:
            handle = os.open(name.rpartition("/")[2], _FLAGS, 0o644, dir_fd=place)
            try:
                _put(handle, data)
                if not together:
                    os.fsync(handle)
            finally:
                os.close(handle)
            faults.point("ledger.file")
        if together:
            _sync_together(place)
        os.fsync(place)  # after that nearly free; before Linux 5.17 syncfs kept a failed journal to itself
    finally:
        os.close(place)


def _find_syncfs() -> Callable[[int], int] | None:
    """syncfs(2) where it tells of data that could not be written: Linux does from 5.8 on."""
    if sys.platform != "linux" or tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (5, 8):
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


_syncfs = _find_syncfs()


def _sync_together(handle: int) -> None:
    """Everything in the file system of an open folder is on the disk. OSError for what failed since it was opened."""
    assert _syncfs is not None  # noqa: S101  asked for by the caller
    if _syncfs(handle):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _put(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


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
    """What a file holds, None when there is no such file, a folder in its place included. Raises StoreError."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
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
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path.rpartition('/')[2]} could not be read: {error.strerror}") from error
    return data
