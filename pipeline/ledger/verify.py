"""`keytrail verify`: the lake's rows, the log's tiles, its checkpoints and kept heads, against each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.core.errors import ConfigError, IntegrityBrokenError
from pipeline.core.inline import inline
from pipeline.core.model import Hold
from pipeline.ledger import anchor, control, merkle, note, redaction, rotation, seal, statements
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.control import Record
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional
from pipeline.ledger.guard import Guard
from pipeline.ledger.head import checked
from pipeline.ledger.note import Verifier
from pipeline.ledger.places import Places
from pipeline.ledger.policy import Policy
from pipeline.ledger.policy import read as read_policy
from pipeline.ledger.row_check import RowCheck, RowRule
from pipeline.ledger.source_state import Standing
from pipeline.ledger.tiles import WIDTH, TileReader
from pipeline.ledger.timestamp import Roots
from pipeline.ledger.tree_check import Progress, TreeCheck

_COMMITTED = "ledger head of the last commit"


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


@dataclass(slots=True)
class _Run:
    """One verification under way."""

    lake: Path
    keys: tuple[Verifier, ...]
    name: str
    earlier: tuple[Verifier, ...] = ()  # keys that handed the log over before the pinned one had it
    places: Places = field(default_factory=Places)
    notes: list[str] = field(default_factory=list)
    committed: bool = False  # something was committed under this log
    newest: int = -1  # size of the newest kept copy of a checkpoint, older than what is published
    whole: bool = True  # the tree's hashes are all known

    @property
    def folder(self) -> Path:
        return self.lake / self.name

    @property
    def checkpoint(self) -> str:
        return f"{self.name}/checkpoint"


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
    run = _Run(lake_dir, (key,), folder)
    copies = 0
    for copy in _copies(run.folder):
        run.newest, copies = max(run.newest, _size_of(copy)), copies + 1
    published = read_optional(run.folder / "checkpoint")
    lake = snapshot()
    run.keys = _keys(run, key)
    run.earlier = _earlier(run, key)
    run.committed = bool(lake.head or published)
    head = _head(run, published, lake.head)
    reader = TileReader(run.folder, head.size)
    parts = _Parts(progress, head.size, head.size, copies)  # leaves, rows, kept checkpoints
    tree = TreeCheck(reader, run.places, folder, parts.of(0))
    tree.run(head.root)
    run.whole = tree.whole
    declared, standing, stood, stamps = redaction.Declared(), seal.Sealed(), Standing(), []
    configured = None
    for record in _records(run, reader, tree):
        declared.take(record)
        standing.take(record)
        stood.take(record)
        if anchor.is_anchor(record):
            stamps.append(record)
        if statements.is_configuration(record):
            configured = record
    rows = RowCheck(
        reader,
        run.places,
        suspect=tree.suspect,
        erased=declared.erased,
        expired=declared.expired,
        rule=rule,
    )
    counted = parts.of(1)
    for item in lake.rows:
        if isinstance(item, Unreadable):
            run.places.add(item.file, "altered", "file", f"the file cannot be read: {item.reason}")
        else:
            rows.take(item)
            if counted is not None:
                counted(rows.rows, head.size)
        del item  # or it would be kept while the next is read
    rows.finish(tree.control)
    if lake.holds is not None:
        redaction.check_holds(declared.holds, lake.holds, run.places, f"{folder}/{control.FILE}")
    statements.check_configuration(configured, lake.head, run.places, f"{folder}/{control.FILE}")
    seal.check(run.lake, standing.files, lake.files, run.places, required=sealed)
    if alone:
        seal.check_found(standing.found, run.places, f"{folder}/{control.FILE}")
    told = anchor.check(run.lake, folder, stamps, run.places, reader=reader if tree.whole else None, roots=roots)
    run.notes += told.notes()
    _retained(run, reader, since_heads=since_heads, guard=guard, origin=key.name, progress=parts.of(2))
    return _report(run, head, rows.rows, stood)


def _report(run: _Run, head: Checkpoint, rows: int, stood: Standing) -> Report:
    if not run.places.broken:
        evidence = f"{rows} rows, {head.size} entries, root {head.root.hex()}"
        run.places.add(run.checkpoint, "ok", "root", evidence, (0, head.size))
    if run.places.untold:
        run.notes.append(f"{run.places.untold} more places are broken and not listed")
    code = IntegrityBrokenError.exit_code if run.places.broken else 0
    return Report(run.places.frame(), head.size, head.root, rows, tuple(run.notes), code, stood)


def _keys(run: _Run, key: Verifier) -> tuple[Verifier, ...]:
    try:
        return rotation.successors(key, control.parsed(run.folder))
    except LedgerError as error:
        run.places.add(f"{run.name}/{control.FILE}", "altered", "rotation", str(error))
        return (key,)


def _earlier(run: _Run, key: Verifier) -> tuple[Verifier, ...]:
    try:
        return rotation.predecessors(key, control.parsed(run.folder))
    except LedgerError as error:
        run.places.add(f"{run.name}/{control.FILE}", "altered", "rotation", str(error))
        return ()


def _head(run: _Run, published: bytes | None, committed: Mapping[str, Any] | None) -> Checkpoint:
    """The statement to hold the lake against: the commit's intent, which the checkpoint must not contradict.

    The newest key must have signed it: one that has handed the log over speaks for it no more.
    """
    checkpoint = _opened(run, run.checkpoint, published, (*run.earlier, *run.keys) if committed else run.keys[-1:])
    _witnessed(run, published)
    if not committed:
        if checkpoint is None:
            run.notes.append("the ledger is empty: nothing was committed yet")
            return checkpoints.empty(run.keys[0].name)
        if checkpoint.size:
            evidence = f"the lake's commit has none, its checkpoint is of {checkpoint.size} entries"
            run.places.add(_COMMITTED, "gap", "head", evidence, (0, checkpoint.size))
        return checkpoint
    try:
        checked(committed)
        intent = checkpoints.open_intent(committed["intent"].encode(), run.keys[-1:])
    except LedgerError as error:
        run.places.add(_COMMITTED, "unverifiable", "head", str(error))
        return checkpoint or checkpoints.empty(run.keys[0].name)
    if checkpoint is None:
        if published is None and run.newest >= 0:
            evidence = f"it is missing, and there is a copy of the one of {run.newest} entries"
            run.places.add(run.checkpoint, "gap", "checkpoint", evidence, (0, run.newest))
        elif published is None:
            run.notes.append("the newest commit is not published yet; the next run does it")
        return intent
    if checkpoint.size < run.newest <= intent.size:
        evidence = f"it is of {checkpoint.size} entries, and there is a copy of the one of {run.newest}"
        run.places.add(run.checkpoint, "truncated", "rollback", evidence, (checkpoint.size, run.newest))
    if checkpoint.size > intent.size:
        evidence = f"the lake holds {intent.size} entries, its checkpoint {checkpoint.size}"
        run.places.add(run.checkpoint, "truncated", "rollback", evidence, (intent.size, checkpoint.size))
    elif checkpoint.size < intent.size:
        run.notes.append(f"{intent.size - checkpoint.size} entries are committed and not published yet")
    return intent


def _opened(run: _Run, source: str, data: bytes | None, keys: tuple[Verifier, ...] | None = None) -> Checkpoint | None:
    if data is None:
        return None
    try:
        return checkpoints.open_checkpoint(data, keys or (*run.earlier, *run.keys))
    except LedgerError as error:
        run.places.add(source, "unverifiable", "checkpoint", str(error))
        return None


def _witnessed(run: _Run, published: bytes | None) -> None:
    policy = _policy(run)
    if published is None or not policy.witnesses:
        run.notes.append("no witness has seen this log: a fork shown to others would go unnoticed")
        return
    try:
        signed = note.verify(note.parse(published), (*run.keys, *policy.witnesses.values()))
    except LedgerError as error:
        run.places.add(run.checkpoint, "unverifiable", "witness", str(error))
        return
    if not policy.satisfied(signed):
        run.notes.append(f"the checkpoint lacks the cosignatures that quorum {policy.quorum} asks for")


def _policy(run: _Run) -> Policy:
    """The lake's own policy file: it names witnesses; the log's key is the pinned one whatever it says."""
    source = f"{run.name}/policy"
    try:
        policy = read_policy(run.folder / "policy")
    except ConfigError as error:
        run.places.add(source, "unverifiable", "policy", str(error))
        return Policy()
    if policy is None:
        if run.committed:
            run.places.add(source, "gap", "policy", "the file that names the log's key and its witnesses is missing")
        return Policy()
    if policy.logs and not set(policy.logs) & set(run.keys):
        run.places.add(source, "altered", "policy", f"it names {policy.logs[0].vkey()}, not the key given")
    return policy


def _records(run: _Run, reader: TileReader, tree: TreeCheck) -> Iterator[Record]:
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


def _copies(folder: Path) -> Iterator[Path]:
    """Kept copies of checkpoints, one for every commit there ever was: in no order, never all at once."""
    place = folder / "checkpoints"
    if place.is_dir():
        with os.scandir(place) as found:
            yield from (place / entry.name for entry in found if not entry.name.startswith("."))


def _size_of(copy: Path) -> int:
    return int(copy.name) if copy.name.isdecimal() else 0


def _retained(
    run: _Run,
    reader: TileReader,
    *,
    since_heads: Sequence[bytes],
    guard: Guard | None,
    origin: str,
    progress: Progress | None,
) -> None:
    """Earlier statements: each must be a beginning of this tree. Copies past the newest came while this was looking."""
    remembered = None if guard is None else guard.last(origin)
    if not since_heads:
        alone = "a rollback together with its checkpoints would go unnoticed"
        here = "what was signed is known on this host, and would be put back with all of it"
        run.notes.append(f"no kept head was given: {alone if remembered is None else here}")
    for head in since_heads:
        _hold_against(run, reader, _opened(run, "retained head", head), "retained head")
    _hold_against(run, reader, remembered, "record of what was signed")
    for done, path in enumerate(_copies(run.folder)):
        if progress is not None:
            progress(done + 1, done + 1)
        if _size_of(path) > run.newest:
            continue
        source = f"{run.name}/checkpoints/{path.name}"
        kept = _opened(run, source, read_optional(path))
        if kept is not None and str(kept.size) != path.name:
            run.places.add(source, "altered", "checkpoint", f"the copy is of size {kept.size}")
        _hold_against(run, reader, kept, source)


def _hold_against(run: _Run, reader: TileReader, kept: Checkpoint | None, source: str) -> None:
    if kept is None:
        return
    if kept.size > reader.size:
        evidence = f"{kept.size} entries were signed, {reader.size} are there"
        run.places.add(source, "truncated", "rollback", evidence, (reader.size, kept.size))
        return
    try:
        root = reader.root(kept.size)
    except LedgerError as error:
        run.places.add(source, "unverifiable", "consistency", str(error), (0, kept.size))
        return
    if root != kept.root:
        verdict, cause = ("altered", "fork") if run.whole else ("unverifiable", "consistency")
        evidence = f"the tree of {kept.size} entries has root {root.hex()}, signed was {kept.root.hex()}"
        run.places.add(source, verdict, cause, evidence, (0, kept.size))
