"""`keytrail verify`: the lake's rows, the log's tiles, its checkpoints and kept heads, against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.core.errors import IntegrityBrokenError
from pipeline.core.inline import inline
from pipeline.core.model import Hold
from pipeline.ledger import anchor, control, merkle, redaction, seal, statements
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.control import Record
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional
from pipeline.ledger.guard import Guard
from pipeline.ledger.head_check import Course, copies, earlier_keys, head_of, hold_against_kept, keys_of, size_of
from pipeline.ledger.note import Verifier
from pipeline.ledger.row_check import RowCheck, RowRule
from pipeline.ledger.source_state import Standing
from pipeline.ledger.tiles import WIDTH, TileReader
from pipeline.ledger.timestamp import Roots
from pipeline.ledger.tree_check import Progress, TreeCheck


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of the rows of a file that is missing or no Parquet file any more. The reason names no content."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The lake at one moment: the head in its last commit, its raw rows, and the files it consists of.

    Tampered Parquet must not end the verification: a reader yields Unreadable for such a file and goes on.
    `files` (relative to the lake, None: not known) is compared with the seals, where there are any; `holds`, the legal
    holds that the lake keeps to (None: not known), with the records.
    """

    head: Mapping[str, Any] | None
    rows: Iterable[pl.DataFrame | Unreadable]
    files: Iterable[str] | None = None
    holds: Mapping[str, Hold] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` are INTEGRITY rows; `notes` say what was not looked at and change no exit code.

    `standing` is where streams stand by the log's records; what the lake has instead is for the caller to compare.
    """

    rows: pl.DataFrame
    size: int
    root: bytes
    leaves: int  # rows of the lake that were compared
    notes: tuple[str, ...] = ()
    exit_code: int = 0
    standing: Standing = field(default_factory=Standing)


class _Parts:
    """Progress over the long parts of a verification, one after the other, as one count."""

    def __init__(self, progress: Progress | None, *sizes: int) -> None:
        self._progress, self._sizes = progress, sizes

    def of(self, nth: int) -> Progress | None:
        """For the nth part: takes what is done of it."""
        if (progress := self._progress) is None:
            return None
        before, whole = sum(self._sizes[:nth]), sum(self._sizes)
        return lambda done, _size: progress(before + min(done, self._sizes[nth]), whole)


@dataclass(slots=True)
class _Said:
    """What the control records say, the last one of a kind where only that counts."""

    declared: redaction.Declared = field(default_factory=redaction.Declared)
    sealed: seal.Sealed = field(default_factory=seal.Sealed)
    standing: Standing = field(default_factory=Standing)
    stamps: list[Record] = field(default_factory=list)
    configured: Record | None = None

    @classmethod
    def of(cls, records: Iterable[Record]) -> _Said:
        """Of all of them, in order."""
        said = cls()
        for record in records:
            for part in (said.declared, said.sealed, said.standing):
                part.take(record)
            if anchor.is_anchor(record):
                said.stamps.append(record)
            if statements.is_configuration(record):
                said.configured = record
        return said


@inline
def verify(
    lake_dir: Path,
    key: Verifier,
    snapshot: Callable[[], Snapshot],
    *,
    since_heads: Sequence[bytes] = (),
    guard: Guard | None = None,
    rule: RowRule | None = None,
    progress: Progress | None = None,
    folder: str = "ledger",
    sealed: bool = False,
    alone: bool = False,
    roots: Roots = (),
) -> Report:
    """Everything the ledger promises about a lake, with the place of everything that does not hold.

    `key` is the pinned key; rotations that it signed are followed. `snapshot` is called once, after the published
    checkpoint was read, so that a lake that is being written to is never ahead of itself. `since_heads` are kept copies
    of checkpoints, `guard` the record beside the key. `rule` says which rows' other columns follow from their bytes,
    `sealed` that every file of the lake must be named by a seal in this log, `alone` that nobody else may exchange any,
    `roots` who vouches for time stamps.
    Raises StoreError when the disk does not answer, ConfigError for roots without the extra to use them.
    """
    run = Course(lake_dir, (key,), folder)
    kept = 0
    for copy in copies(run.folder):
        run.newest, kept = max(run.newest, size_of(copy)), kept + 1
    published = read_optional(run.folder / "checkpoint")
    lake = snapshot()
    run.keys = keys_of(run, key)
    run.earlier = earlier_keys(run, key)
    run.committed = bool(lake.head or published)
    head = head_of(run, published, lake.head)
    reader = TileReader(run.folder, head.size)
    parts = _Parts(progress, head.size, head.size, kept)  # leaves, rows, kept checkpoints
    tree = TreeCheck(reader, run.places, folder, parts.of(0))
    tree.run(head.root)
    run.whole = tree.whole
    said = _Said.of(_records(run, reader, tree))
    rows = RowCheck(
        reader,
        run.places,
        suspect=tree.suspect,
        erased=said.declared.erased,
        expired=said.declared.expired,
        rule=rule,
    )
    _take_rows(rows, lake.rows, run, parts.of(1), head.size)
    rows.finish(tree.control)
    records = f"{folder}/{control.FILE}"
    if lake.holds is not None:
        redaction.check_holds(said.declared.holds, lake.holds, run.places, records)
    statements.check_configuration(said.configured, lake.head, run.places, records)
    seal.check(run.lake, said.sealed.files, lake.files, run.places, required=sealed)
    seal.check_merged(said.sealed.merged, run.places, records)
    if alone:
        seal.check_found(said.sealed.found, run.places, records)
    told = anchor.check(run.lake, folder, said.stamps, run.places, reader=reader if tree.whole else None, roots=roots)
    run.notes += told.notes()
    hold_against_kept(run, reader, since_heads=since_heads, guard=guard, origin=key.name, progress=parts.of(2))
    return _report(run, head, rows.rows, said.standing)


def _take_rows(
    check: RowCheck, lake: Iterable[pl.DataFrame | Unreadable], run: Course, progress: Progress | None, size: int
) -> None:
    for item in lake:
        if isinstance(item, Unreadable):
            run.places.add(item.file, "altered", "file", f"the file cannot be read: {item.reason}")
        else:
            check.take(item)
            if progress is not None:
                progress(check.rows, size)
        del item  # or it would be kept while the next is read


def _report(run: Course, head: Checkpoint, rows: int, stood: Standing) -> Report:
    if not run.places.broken:
        evidence = f"{rows} rows, {head.size} entries, root {head.root.hex()}"
        run.places.add(run.checkpoint, "ok", "root", evidence, (0, head.size))
    if run.places.untold:
        run.notes.append(f"{run.places.untold} more places are broken and not listed")
    code = IntegrityBrokenError.exit_code if run.places.broken else 0
    return Report(run.places.frame(), head.size, head.root, rows, tuple(run.notes), code, stood)


def _records(run: Course, reader: TileReader, tree: TreeCheck) -> Iterator[Record]:
    """The control records, each compared with its leaf; those of unreadable bundles join `tree.control` at the end."""
    source, lost = f"{run.name}/{control.FILE}", redaction.Spans()
    leaves = tree.control.indexes()
    expected = next(leaves, None)
    for number, line in enumerate(control.lines(run.folder)):
        if expected is None and not tree.suspect:
            break  # what follows is not committed
        try:
            record = control.parse(number, line)
            if record.index >= reader.size:
                break
            missing = record.index // WIDTH in tree.suspect and record.index not in tree.control
            if missing:
                _genuine_by_hash(tree.suspect[record.index // WIDTH], record)
            else:
                _genuine(reader, -1 if expected is None else expected, record)
        except LedgerError as error:
            if expected is None:
                break
            run.places.add(source, "altered", "control", str(error), (expected, expected + 1))
            expected = next(leaves, None)
        else:
            if missing:
                lost.add(record.index, record.index + 1)
            else:
                expected = next(leaves, None)
            yield record
    for index in chain(() if expected is None else (expected,), leaves):
        run.places.add(source, "gap", "control", "a control leaf without its record", (index, index + 1))
    for start, end in lost:
        tree.control.add(start, end)


def _genuine(reader: TileReader, index: int, record: Record) -> None:
    if record.index != index or reader.entry(index) != record.leaf:
        raise LedgerError(f"the record of leaf {record.index} is not the one the log has at {index}")


def _genuine_by_hash(hashes: bytes | None, record: Record) -> None:
    at = record.index % WIDTH * merkle.HASH_SIZE
    if hashes is not None and merkle.leaf_hash(record.leaf) != hashes[at : at + merkle.HASH_SIZE]:
        raise LedgerError(f"the record of leaf {record.index} is not the one the log has there")
