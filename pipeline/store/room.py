"""Whether there is room on the lake's disk: what a failure says of it, and what happens to a file written on trial."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRIAL_BYTES: Final = 1 << 20
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}
_KIND: Final = 0xFF  # of SQLite's extended codes, the plain one


def is_full(failure: BaseException, lake: Path) -> bool:
    """Whether something failed for want of room: one of its causes says so, or there is none now.

    SQLite has a code for a full disk, but calls a used-up quota, and a log that cannot grow, errors like any other.
    """
    return any(map(_says_so, _causes(failure))) or not has_room(lake)


def has_room(lake: Path) -> bool:
    """Whether a megabyte could be written beside the lake's files. It leaves nothing behind.

    A disk that refuses for another reason counts as one with room: opening the lake then tells what it is.
    """
    folder = next(place for place in (lake.absolute(), *lake.absolute().parents) if place.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            left = TRIAL_BYTES
            while left:
                left -= file.write(bytes(left))
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno not in _NO_ROOM
    return True


def _says_so(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & _KIND == sqlite3.SQLITE_FULL
    return isinstance(error, duckdb.Error) and os.strerror(errno.ENOSPC) in str(error)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    error: BaseException | None = failure
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
