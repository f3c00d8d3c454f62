"""Seals: control records (kind 2) with the SHA-256 of whole files, so that every byte of the lake is committed to.

The leaves cover the raw rows; a seal covers everything else a file holds. A later seal may replace files of an
earlier one: compaction, erasure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import StoreError
from pipeline.ledger import leaf
from pipeline.ledger.control import Body, Record
from pipeline.ledger.places import Places


def file_sha256(path: Path) -> str:
    """Hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def body(
    lake: Path,
    files: Iterable[str],
    *,
    replaces: Sequence[str] = (),
    found: Sequence[str] = (),
    merged: Mapping[str, str] | None = None,
) -> Body:
    """The body of a seal over files of the lake (relative paths), in place of those it replaces. Raises StoreError.

    `found` are those of both that somebody else had put there, or taken away, before the commit came; `merged`, the
    SHA-256 of those replaced as they were when their rows went on into others.
    """
    try:
        sealed = [
            {"path": name, "sha256": file_sha256(lake / name), "bytes": (lake / name).stat().st_size} for name in files
        ]
    except OSError as error:
        raise StoreError(f"{error.filename} could not be read to be sealed: {error.strerror}") from error
    told = {"found": list(found)} if found else {}
    read = [{"path": name, "sha256": digest} for name, digest in (merged or {}).items()]
    return {"files": sealed, "replaces": list(replaces), **told, **({"merged": read} if read else {})}


class Sealed:
    """The files that should be there, by the seals taken so far: path -> (SHA-256, leaf of the seal)."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, int]] = {}
        self.found: dict[tuple[str, int], bool] = {}  # found in the lake, or no longer in it (False), by a seal
        self.merged: dict[tuple[str, int], int] = {}  # altered, and merged so by a seal -> leaf of the one it had

    def take(self, record: Record) -> None:
        """The next record."""
        if record.kind != leaf.SEAL:
            return
        for item in record.body.get("merged", ()):
            standing = self.files.get(str(item["path"]))
            if standing is not None and standing[0] != item["sha256"]:
                self.merged[str(item["path"]), record.index] = standing[1]
        for name in record.body.get("replaces", ()):
            self.files.pop(str(name), None)
        for item in record.body.get("files", ()):
            self.files[str(item["path"])] = (str(item["sha256"]), record.index)
        for name in record.body.get("found", ()):
            standing = self.files.get(str(name))
            self.found[str(name), record.index] = standing is not None and standing[1] == record.index


def check_found(found: Mapping[tuple[str, int], bool], places: Places, log: str) -> None:
    """Report what a lake's only writer found done to its files: nobody else may add or remove any."""
    for (name, index), there in found.items():
        verdict, done = ("unsigned", "was in the lake") if there else ("gap", "was gone from the lake")
        evidence = f"{name} {done} before the seal of leaf {index}, and no run had done that"
        places.add(log, verdict, "exchange", evidence, (index, index + 1))


def check_merged(merged: Mapping[tuple[str, int], int], places: Places, log: str) -> None:
    """Report files that were not as sealed when they were merged: what was done to them is in other files now."""
    for (name, index), sealed in merged.items():
        evidence = (
            f"{name} was not the file that leaf {sealed} seals when its rows went on, by the seal of leaf {index}"
        )
        places.add(log, "altered", "exchange", evidence, (index, index + 1))


def check(
    lake: Path,
    standing: Mapping[str, tuple[str, int]],
    files: Iterable[str] | None,
    places: Places,
    *,
    required: bool = False,
) -> None:
    """Report sealed files that are gone or changed, and files of the lake that no seal names. Nothing without
    seals, unless they are `required`.

    `files` are those that the lake consists of; None where that is not known.
    """
    if not (standing or required):
        return
    there = None if files is None else set(files)
    for name, (digest, index) in standing.items():
        path = lake / name
        if there is not None and name not in there:
            places.add(name, "gap", "file", f"the file that leaf {index} seals is no longer part of the lake")
            continue
        if not path.is_file():
            places.add(name, "gap", "file", f"the file that leaf {index} seals is missing")
        elif file_sha256(path) != digest:
            places.add(name, "altered", "file", f"the file is not the one that leaf {index} seals")
    for name in sorted((there or set()) - set(standing)):
        places.add(name, "unsigned", "file", "a file of the lake that no seal names")
