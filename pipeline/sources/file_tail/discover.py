"""Finds the logs behind the paths a user gave, and says what was left out."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Final

from pipeline.core.errors import NoInputError
from pipeline.sources.file_tail.rotation import PACKED

_NO_LOG_NAMES: Final = frozenset(
    {"labels.jsonl", "confusers.jsonl", "expected.json", "story.md", "makefile", "dockerfile", "license"}
)
_OTHER_SUFFIXES: Final = """
    md rst py pyc ipynb js css prom toml yaml yml ini cfg conf sql sh parquet arrow feather duckdb db wal csv tsv xlsx
    html htm xml png jpg jpeg gif svg ico pdf lock pid tmp swp bak pem key crt der pub sig asc tlog-proof tar tgz zip
    bz2 xz lz4 7z so exe sock
"""
_NO_LOG_SUFFIXES: Final = frozenset(_OTHER_SUFFIXES.split())
_NO_LOG: Final = re.compile(r"\.sqlite\w*(?:-(?:wal|shm|journal))?$|~$", re.IGNORECASE)
_ROTATED: Final = re.compile(r"\.\d{1,3}$")
_DIGESTS: Final = "CloudTrail-Digest"  # a folder of a mirrored bucket: what `verify cloudtrail` reads
_LAKE: Final = frozenset({"commit.sqlite", "audit.duckdb"})  # together in a lake: what was made of logs, not logs


@dataclass(slots=True)
class Found:
    """What one look brought. `files` maps a path to its (device, inode); `explicit` are those named by the user."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    explicit: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)  # path -> why


def discover(paths: Sequence[str], exclude: Sequence[str], known: Collection[str] = ()) -> Found:
    """Every regular file behind `paths`, each physical file once. Folders are read in sorted order, no hidden files.

    Raises NoInputError for a path that does not exist, unless it is a stream already `known`, whose file may have
    been rotated away.
    """
    found = Found()
    for path in paths:
        if os.path.isdir(path):
            _walk(path, exclude, found)
        elif os.path.lexists(path):
            if _add(path, found):
                found.explicit.append(path)
        elif path in known:
            found.explicit.append(path)
        else:
            raise NoInputError(f"no such file or folder: {path}")
    _once(found)
    return found


def no_log(name: str, exclude: Sequence[str] = ()) -> bool:
    """Whether a file of this name, met in a folder, is something else than a log."""
    plain = _ROTATED.sub("", PACKED.sub("", name)).lower()
    suffix = plain.rpartition(".")[2] if "." in plain else ""
    by_name = plain in _NO_LOG_NAMES or suffix in _NO_LOG_SUFFIXES or bool(_NO_LOG.search(plain))
    return by_name or any(fnmatch(name, pattern) for pattern in exclude)


def printable(path: str) -> str:
    """A path as it can be told: bytes that are no UTF-8 are written out (`\\xff`)."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _walk(root: str, exclude: Sequence[str], found: Found) -> None:
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_note(found)):
        lake = folder != root and _LAKE.issubset(names)
        if _seen_before(folder, seen) or lake:
            found.skipped += [folder] if lake else []
            folders.clear()
            continue
        found.skipped += [os.path.join(folder, _DIGESTS)] if _DIGESTS in folders else []
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != _DIGESTS)
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.startswith(".") or no_log(name, exclude):
                found.skipped.append(path)
            else:
                _add(path, found)


def _seen_before(folder: str, seen: set[tuple[int, int]]) -> bool:
    """A link back up, or a second way to the same folder."""
    try:
        status = os.stat(folder)
    except OSError:
        return True  # gone since it was listed; os.walk reports one that cannot be listed
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return True
    seen.add(identity)
    return False


def _note(found: Found) -> Callable[[OSError], None]:
    def note(error: OSError) -> None:
        found.unreadable[printable(str(error.filename))] = error.strerror or "cannot be listed"

    return note


def _add(path: str, found: Found) -> bool:
    """Note what stands there; whether its name can be that of a stream."""
    if (shown := printable(path)) != path:
        found.unreadable[shown] = "its name is not UTF-8; rename it, or pipe it in and give `-` as the path"
        return False
    try:
        status = os.stat(path)
    except OSError as error:
        if os.path.lexists(path):  # else it changed its name since it was listed: the next look finds it
            found.unreadable[path] = error.strerror or "cannot be read"
        return True
    if not stat.S_ISREG(status.st_mode):
        found.unreadable[path] = "not a regular file; pipe it in and give `-` as the path"
    elif not os.access(path, os.R_OK):
        if os.path.lexists(path):
            found.unreadable[path] = "permission denied"
    else:
        found.files.setdefault(path, (status.st_dev, status.st_ino))
    return True


def _once(found: Found) -> None:
    """Of several names of one file keep the one the user gave, else a real one, else the first."""
    explicit = set(found.explicit)
    order = sorted(found.files, key=lambda path: (path not in explicit, os.path.islink(path)))
    first: dict[tuple[int, int], str] = {}
    for path in order:
        if first.setdefault(found.files[path], path) != path:
            found.skipped.append(path)
    found.files = {path: key for path, key in found.files.items() if first[key] == path}


def neighbours(path: str) -> Iterator[str]:
    """The paths of the files beside `path`, spelled as it is."""
    folder = os.path.dirname(path)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return
    yield from (os.path.join(folder, name) for name in names if not name.startswith("."))


def nothing(paths: Sequence[str], found: Found) -> str:
    """Why there is nothing to read, for the person who gave the paths."""
    if found.unreadable:
        return "; ".join(f"{path}: {reason}" for path, reason in found.unreadable.items())
    count = len(found.skipped)
    several = f"; {count} files were left out as no logs"
    left_out = several if count > 1 else "; a file was left out as no log" if count else ""
    return (
        f"nothing to read in {', '.join(paths)}: looked in every folder for log files, plain, .gz or .zst, "
        f"not hidden{left_out}"
    )
