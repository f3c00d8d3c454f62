"""A worker's two logs as one: what was read, and beside it the files that the lake was made into.

Seals have a log of their own, so that the index of an entry's leaf never depends on how commits fell. Each seal names
the size and root of the first log at its commit: whoever keeps a head of the second holds both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.clock import Clock, system_clock
from pipeline.ledger import leaf, seal
from pipeline.ledger.control import Body
from pipeline.ledger.guard import Guard
from pipeline.ledger.keys import Key
from pipeline.ledger.leaf import Leaves
from pipeline.ledger.log import LeafBatch, Ledger
from pipeline.ledger.note import Verifier

FILES = "files"


class SealedLedger:
    """`entries` and `files` are prepared before a commit of the lake, whose head holds both, and published after."""

    def __init__(self, lake_dir: Path, entries: Ledger, files: Ledger) -> None:
        """Use `open`."""
        self.entries, self.files = entries, files
        self._lake = lake_dir

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
        files = signer.renamed(files_origin(signer.name))
        return cls(
            lake_dir,
            Ledger.open(lake_dir, signer, head=head, guard=guard, clock=clock, folder=folder),
            Ledger.open(
                lake_dir,
                files,
                head=(head or {}).get(FILES),
                guard=guard,
                clock=clock,
                folder=f"{folder}/{FILES}",
            ),
        )

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

    def prepare(self, files: Sequence[str], replaced: Sequence[str]) -> dict[str, Any]:
        """The head of both logs, committed to every byte of these files of the lake, in the place of those replaced.

        Raises StoreError, also when a file cannot be read.
        """
        head = self.entries.prepare()
        if files or replaced:
            body = seal.body(self._lake, files, replaces=replaced)
            log = {"size": head["size"], "root": head["root_hex"]}
            self.files.append_control(leaf.SEAL, {**body, "log": log})
        return {**head, FILES: self.files.prepare()}

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
