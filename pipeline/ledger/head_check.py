"""The heads of a log held against each other: published, committed, kept beside it or elsewhere, witnessed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import control, note, rotation
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional
from pipeline.ledger.guard import Guard
from pipeline.ledger.head import checked
from pipeline.ledger.note import Verifier
from pipeline.ledger.places import Places
from pipeline.ledger.policy import Policy
from pipeline.ledger.policy import read as read_policy
from pipeline.ledger.tiles import TileReader
from pipeline.ledger.tree_check import Progress

_COMMITTED = "ledger head of the last commit"


@dataclass(slots=True)
class Course:
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
        """The log's."""
        return self.lake / self.name

    @property
    def checkpoint(self) -> str:
        """Where the published one is, from the lake."""
        return f"{self.name}/checkpoint"


def keys_of(run: Course, key: Verifier) -> tuple[Verifier, ...]:
    """The pinned key and those it handed the log over to."""
    try:
        return rotation.successors(key, control.parsed(run.folder))
    except LedgerError as error:
        run.places.add(f"{run.name}/{control.FILE}", "altered", "rotation", str(error))
        return (key,)


def earlier_keys(run: Course, key: Verifier) -> tuple[Verifier, ...]:
    """The keys before the pinned one."""
    try:
        return rotation.predecessors(key, control.parsed(run.folder))
    except LedgerError as error:
        run.places.add(f"{run.name}/{control.FILE}", "altered", "rotation", str(error))
        return ()


def head_of(run: Course, published: bytes | None, committed: Mapping[str, Any] | None) -> Checkpoint:
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


def _opened(
    run: Course, source: str, data: bytes | None, keys: tuple[Verifier, ...] | None = None
) -> Checkpoint | None:
    if data is None:
        return None
    try:
        return checkpoints.open_checkpoint(data, keys or (*run.earlier, *run.keys))
    except LedgerError as error:
        run.places.add(source, "unverifiable", "checkpoint", str(error))
        return None


def _witnessed(run: Course, published: bytes | None) -> None:
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


def _policy(run: Course) -> Policy:
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


def copies(folder: Path) -> Iterator[Path]:
    """Kept copies of checkpoints, one for every commit there ever was: in no order, never all at once."""
    place = folder / "checkpoints"
    if place.is_dir():
        with os.scandir(place) as found:
            yield from (place / entry.name for entry in found if not entry.name.startswith("."))


def size_of(copy: Path) -> int:
    """Of the tree it speaks of, by its name; 0 for what is none."""
    return int(copy.name) if copy.name.isdecimal() else 0


def hold_against_kept(
    run: Course,
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
    for done, path in enumerate(copies(run.folder)):
        if progress is not None:
            progress(done + 1, done + 1)
        if size_of(path) > run.newest:
            continue
        source = f"{run.name}/checkpoints/{path.name}"
        kept = _opened(run, source, read_optional(path))
        if kept is not None and str(kept.size) != path.name:
            run.places.add(source, "altered", "checkpoint", f"the copy is of size {kept.size}")
        _hold_against(run, reader, kept, source)


def _hold_against(run: Course, reader: TileReader, kept: Checkpoint | None, source: str) -> None:
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
