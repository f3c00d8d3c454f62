"""A report's manifest read back, and the files beside it held to it. Both may be anybody's."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline import reports
from pipeline.core.errors import IntegrityBrokenError, NoInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MOST: Final = 1 << 24  # bytes of a manifest: the SQL is a few thousand, the rest less


class Head(msgspec.Struct, frozen=True):
    """Where a ledger of the lake stood."""

    origin: str
    size: int
    root: str  # hexadecimal


class Manifest(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """What `reports.write` notes of a report."""

    report: str
    start: str
    end: str
    rows: int
    sql: str
    sha256: dict[str, str]
    ledger: tuple[Head, ...] = ()
    checkpoints: tuple[str, ...] = ()
    version: str = ""


def found(path: Path) -> list[Path]:
    """The manifests that a path stands for: itself, or those of a folder. Raises NoInputError when there is none."""
    if not path.is_dir():
        return [path]
    manifests = [path / name for name in sorted(_names(path)) if name.endswith(reports.MANIFEST)]
    if not manifests:
        raise NoInputError(f"{path} holds no report: there is no *{reports.MANIFEST} in it")
    return manifests


def read(path: Path, most: int = MOST) -> bytes:
    """What a small file holds. Raises NoInputError where it cannot be read, IntegrityBrokenError where it is large."""
    if not path.is_file():
        raise NoInputError(f"there is no file {path}")
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise NoInputError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise IntegrityBrokenError(f"{path.name} has more than {most:,} bytes")
    return data


def parse(data: bytes) -> Manifest:
    """A manifest's bytes. Raises IntegrityBrokenError for what is none."""
    try:
        manifest = msgspec.convert(json.loads(data), Manifest)
    except (ValueError, RecursionError, msgspec.ValidationError):
        raise IntegrityBrokenError("the manifest is none: it is not what keytrail writes") from None
    if any(not _plain_name(name) for name in manifest.sha256):
        raise IntegrityBrokenError("the manifest names a file that is not beside it")
    return manifest


def _plain_name(name: str) -> bool:
    return name not in {"", ".", ".."} and not any(c in "/\\\0" or "\ud800" <= c <= "\udfff" for c in name)


def against_files(manifest: Manifest, folder: Path) -> Iterator[str]:
    """What is wrong with the files of a report: one that is missing, altered, or that the manifest does not name."""
    for name, told in manifest.sha256.items():
        file = folder / name
        if not file.is_file():
            yield f"{name} is missing"
        elif (sum_ := _sum(file)) is None:
            yield f"{name} cannot be read"
        elif sum_ != told:
            yield f"{name} was altered: its SHA-256 is not the manifest's"
    own = {manifest.report + end for end in (reports.MANIFEST, reports.NOTE)}
    for name in sorted(_names(folder)):
        if name.startswith(f"{manifest.report}.") and name not in own and name not in manifest.sha256:
            yield f"{name} is not in the manifest"


def unnamed(folder: Path, manifests: Iterable[tuple[Path, Manifest | None]]) -> list[str]:
    """The files of a folder that belong to none of the reports in it; of those that do, `against_files` speaks."""
    known, stems = set(), ["\0"]
    for path, manifest in manifests:
        stems.append(path.name.removesuffix(reports.MANIFEST) + ".")
        known |= set(manifest.sha256) if manifest is not None else set()
    return sorted(name for name in _names(folder) if name not in known and not name.startswith(tuple(stems)))


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if not path.is_dir()]
    except OSError as error:
        raise NoInputError(f"{folder} cannot be read: {error.strerror}") from None


def _sum(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def difference(manifest: Manifest, folder: Path, texts: Mapping[str, str]) -> str:
    """How `texts` (see `machine_texts`) differ from what the manifest vouches for, in words; empty where the rows are
    the same, in whatever order."""
    if all(manifest.sha256.get(name) == hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()):
        return ""
    name = f"{manifest.report}.json"
    now, kept = (Counter(map(json.dumps, rows)) for rows in (json.loads(texts[name]), _rows(folder / name)))
    come, gone = (now - kept).total(), (kept - now).total()
    told = f"{now.total():,} rows, of which {come:,} are not in the report; {gone:,} of the report's are not among them"
    return told if come or gone else ""


def _rows(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return rows if isinstance(rows, list) else []
