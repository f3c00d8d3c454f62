"""A worker's two logs as one: what was read, and beside it the files that the lake was made into.

Seals have a log of their own, so that the index of an entry's leaf never depends on how commits fell. Each seal names
the size and root of the first log at its commit: whoever keeps a head of the second holds both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.clock import Clock, system_clock
from pipeline.core.model import Frames, Owned, Position
from pipeline.ledger import leaf, seal
from pipeline.ledger.control import Body
from pipeline.ledger.guard import Guard
from pipeline.ledger.head import checked
from pipeline.ledger.keys import Key
from pipeline.ledger.leaf import Leaves
from pipeline.ledger.log import LeafBatch, Ledger
from pipeline.ledger.note import Verifier
from pipeline.ledger.source_state import Course
from pipeline.ledger.statements import TOLD, Completeness, Configuration

FILES = "files"
Records = Sequence[tuple[int, Body]]


class SealedLedger:
    """`entries` and `files` are prepared before a commit of the lake, whose head holds both, and published after."""

    def __init__(self, lake_dir: Path, entries: Ledger, files: Ledger, told: Mapping[str, Any]) -> None:
        """Use `open`."""
        self.entries, self.files = entries, files
        self._lake = lake_dir
        self._told = dict(told)
        self._course: Course | None = None
        self._configuration: Configuration | None = None
        self._completeness = Completeness()

    @classmethod
    def open(
        cls,
        lake_dir: Path,
        signer: Key,
        *,
        head: Mapping[str, Any] | None,
        guard: Guard | None = None,
        clock: Clock = system_clock,
        folder: str = "ledger",
    ) -> SealedLedger:
        """See `Ledger.open`."""
        files, over_files = signer.renamed(files_origin(signer.name)), (checked(head) or {}).get(FILES)
        return cls(
            lake_dir,
            Ledger.open(lake_dir, signer, head=head, guard=guard, clock=clock, folder=folder),
            Ledger.open(lake_dir, files, head=over_files, guard=guard, clock=clock, folder=f"{folder}/{FILES}"),
            (over_files or {}).get(TOLD, {}),
        )

    def follow(self, worker: str, places: Owned, configuration: Configuration) -> None:
        """From here on `telling` says what a worker's run does to a lake that has these positions."""
        self._course = Course(places, worker, told=bool(self._told.get("sources")))
        self._configuration = configuration

    @property
    def size(self) -> int:
        """How many leaves of entries there are; see `Ledger.size`."""
        return self.entries.size

    def add(self, leaves: Leaves) -> LeafBatch:
        """See `Ledger.add`."""
        return self.entries.add(leaves)

    def expire(self, spans: Sequence[tuple[int, int]], *, authority: str) -> int:
        """See `Ledger.expire`."""
        return self.entries.expire(spans, authority=authority)

    def record(self, kind: int, body: Body) -> int:
        """A control record in the log over entries; see `Ledger.append_control`."""
        return self.entries.append_control(kind, body)

    def rotate(self, new: Key) -> None:
        """Hand both logs over to another key; see `Ledger.rotate`."""
        for log in (self.entries, self.files):
            log.rotate(new.renamed(log.origin))

    def taken(self, position: Position, *, ours: bool) -> None:
        """See `source_state.Course.taken`."""
        if self._course is not None:
            self._course.taken(position, ours=ours)

    def telling(self, positions: Sequence[Position], shown: Frames) -> Callable[..., dict[str, Any]]:
        """`prepare` for a commit that moves to these positions, with what its INTEGRITY and COVERAGE rows show."""
        records: list[tuple[int, Body]] = []
        if self._configuration is not None and self._configuration.sha256 != self._told.get("configuration"):
            records.append((leaf.CONFIG, self._configuration.body))
            self._told["configuration"] = self._configuration.sha256
        if self._course is not None:
            records += [(leaf.SOURCE_STATE, body) for body in self._course.bodies(positions)]
            self._told["sources"] = True
        return partial(self.prepare, records=[*records, *self._completeness.records(shown)])

    def prepare(
        self,
        files: Sequence[str],
        replaced: Sequence[str],
        found: Sequence[str] = (),
        merged: Mapping[str, str] | None = None,
        *,
        records: Records = (),
    ) -> dict[str, Any]:
        """The head of both logs, committed to every byte of these files of the lake, in the place of those replaced;
        `found` are those among both that this worker neither made nor removed, `merged` the SHA-256 that those had
        whose rows went on into others.

        `records` go into the log over files. Raises StoreError, also when a file cannot be read.
        """
        head = self.entries.prepare()
        for kind, body in records:
            self.files.append_control(kind, body)
        if files or replaced:
            body = seal.body(self._lake, files, replaces=replaced, found=found, merged=merged)
            log = {"size": head["size"], "root": head["root_hex"]}
            self.files.append_control(leaf.SEAL, {**body, "log": log})
        return {**head, FILES: {**self.files.prepare(), TOLD: dict(self._told)}}

    def publish(self) -> str:
        """The checkpoint over the entries."""
        published = self.entries.publish()
        self.files.publish()
        return published


def files_origin(origin: str) -> str:
    """The name of the log over files, by that of the log over entries."""
    return f"{origin}/{FILES}"


def files_key(key: Verifier) -> Verifier:
    """What opens the log over files: the same key under its name."""
    return Verifier(files_origin(key.name), key.kind, key.public)
