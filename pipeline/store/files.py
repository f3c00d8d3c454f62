"""Private folders and files, what must reach the disk, and one exception for whatever goes wrong with them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa

from pipeline.core.disk import sync_folder
from pipeline.core.errors import ConfigError, DamagedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_NO_DATABASE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: no such table
_WORKER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.]|-(?!-)){0,62}")


def worker_name(name: str) -> str:
    """`name` where it can be part of a file name, else ConfigError."""
    if not _WORKER.fullmatch(name):
        raise ConfigError(f"worker {name!r}: 1 to 63 letters, digits, '_', '.' or single '-', a letter or digit first")
    return name


def named_in_utf8(path: Path) -> Path:
    """`path` where DuckDB and Arrow can open what is in it, else ConfigError."""
    try:
        f"{path}{os.path.realpath(path)}".encode()
    except UnicodeEncodeError:
        raise ConfigError(f"the lake's path is not UTF-8: {path}") from None
    return path


@contextlib.contextmanager
def guarded(doing: str) -> Iterator[None]:
    """Turns what the disk, SQLite, Arrow or Polars raise into a StoreError, DamagedError where a database is none.

    The text of a Polars error stays out of it: that may quote values.
    """
    try:
        yield
    except sqlite3.Error as error:
        kind = DamagedError if getattr(error, "sqlite_errorcode", None) in _NO_DATABASE else StoreError
        raise kind(f"{doing}: {error}") from error
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{doing}: {error}") from error
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"{doing}: {type(error).__name__}") from None


def private_folder(path: Path) -> None:
    """Makes `path` for its user alone; one that is there keeps its mode."""
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(path.parent)


def private_file(path: Path) -> None:
    """Makes an empty file for its user alone. FileExistsError when it is there."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def sync_file(path: Path) -> None:
    """Returns when the file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(paths: Iterable[Path]) -> None:
    """`sync_folder` of each folder once."""
    for path in sorted(set(paths)):
        sync_folder(path)


def remove(paths: Iterable[Path]) -> int:
    """Unlinks what is there of `paths`, and says how many that were."""
    gone = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            gone += 1
    return gone


class Lock:
    """An exclusive lock that ends with its process, whatever ends that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def take(self, *, wait: bool = False) -> bool:
        """False when another holds it (never with `wait`)."""
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def note(self, text: str) -> None:
        """Leaves a word about the holder in the file."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def touch(self) -> None:
        """Leaves the time in the file."""
        os.utime(self._descriptor)

    def holder(self) -> str:
        """The word its holder left."""
        return self._path.read_text("utf-8", "replace").strip() or "unknown"

    def free(self) -> None:
        """Gives the lock back; nothing when it is not held."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


__all__ = [
    "Lock", "StoreError", "guarded", "private_file", "private_folder", "remove", "sync_file",
    "sync_folders", "worker_name",
]  # fmt: skip
