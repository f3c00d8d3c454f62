"""The writer of the log. One per lake; the lake's commit decides what is in the log.

    append …  in memory
    prepare   1 entries, 2 tiles, 3 control records, all fsynced; 4 the intent is signed and handed to the commit
    (commit)  the lake's own transaction, which holds the head
    publish   5 the guard remembers (size, root), 6 it is signed, 7 `checkpoint`, 8 the immutable copy, 9 tidying

No checkpoint is signed before its commit stands, so what a crash throws away was never signed, and what was signed is
never thrown away. README.md has the argument for each step.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import faults
from pipeline.core.clock import Clock, system_clock
from pipeline.core.errors import StoreError
from pipeline.core.model import Bytes, Ints
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import control, leaf, note, policy, redaction, rotation, sweep
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import ForkError, LedgerError
from pipeline.ledger.files import File, read_optional, replace_durable, write_all
from pipeline.ledger.guard import FileGuard, Guard
from pipeline.ledger.leaf import Flags, Leaves
from pipeline.ledger.note import Signer, Verifier
from pipeline.ledger.tiles import ENTRIES, WIDTH, Edge, TileReader, tile_path

Head = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LeafBatch:
    """What the lake keeps of appended leaves: they are numbers `first_index` onwards; salts n×16, leaves n×62."""

    first_index: int
    salts: Bytes
    leaves: Bytes


class Ledger:
    """See the module. Not for several threads; the caller holds the lake's write lock."""

    def __init__(
        self,
        lake_dir: Path,
        signer: Signer,
        *,
        guard: Guard | None = None,
        clock: Clock = system_clock,
        folder: str = "ledger",
    ) -> None:
        self.folder = lake_dir / folder
        self._signers: tuple[Signer, ...] = (signer,)
        self._guard = guard or FileGuard(self.folder)
        self._clock = clock
        self._prepared: Checkpoint | None = None
        self._reset(Edge(), np.empty((0, leaf.ENTRY_SIZE), np.uint8), control.ControlLog(self.folder))

    @classmethod
    def open(
        cls,
        lake_dir: Path,
        signer: Signer,
        *,
        head: Head | None,
        guard: Guard | None = None,
        clock: Clock = system_clock,
        folder: str = "ledger",
    ) -> Ledger:
        """The log of a lake whose last commit holds `head` (None or empty: no commit yet). Finishes what a crash left.

        The log's origin is the signer's name; `folder` is where it lies in the lake. Without a guard of its own it
        remembers what it signed in that folder, which a restored backup takes back with it.
        Raises ForkError when the lake is older than what was signed for it, LedgerError when head, tiles and key do
        not fit together, StoreError when the disk does not answer.
        """
        ledger = cls(lake_dir, signer, guard=guard, clock=clock, folder=folder)
        ledger.resume(head)
        return ledger

    @property
    def size(self) -> int:
        """How many leaves there are, those not yet prepared included."""
        return self._edge.size

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._signers[-1].name

    @property
    def verifier(self) -> Verifier:
        """The key that opens the log's checkpoints; `.vkey()` is its text."""
        return note.verifier_of(self._signers[-1])

    def append(
        self,
        stream: str,
        positions: Ints,
        ingest_ns: int,
        *,
        data: Bytes,
        starts: Ints,
        ends: Ints,
        rejected: Flags | None = None,
        redacted: Flags | None = None,
    ) -> LeafBatch:
        """One leaf for each record `data[starts[i]:ends[i]]` of a stream, in memory."""
        return self.add(
            leaf.build(
                stream,
                positions,
                ingest_ns,
                data=data,
                starts=starts,
                ends=ends,
                rejected=rejected,
                redacted=redacted,
            )
        )

    def add(self, leaves: Leaves) -> LeafBatch:
        """Append leaves that were built before; only this needs the lock when several workers share a lake."""
        first = self._edge.size
        self._full += self._edge.extend(leaves.hashes)
        self._waiting.append(leaves.entries)
        return LeafBatch(first, leaves.salts, leaves.entries)

    def append_control(self, kind: int, body: control.Body) -> int:
        """A leaf over canonical JSON; the body goes to ctl.jsonl. The leaf's index."""
        entry = control.entry_of(kind, self._control.count, self._clock(), body)
        index = self.add(leaf.single(entry)).first_index
        self._control.add(control.Record(index, kind, body, leaf.pack(entry)))
        return index

    def expire(self, spans: Sequence[tuple[int, int]], *, authority: str) -> int:
        """Record that the entries of these leaves (first, last) were removed by age. The record's index."""
        indexes = chain.from_iterable(range(first, last + 1) for first, last in spans)
        body = redaction.redaction_body(redaction.EXPIRED, indexes, reason="retention", authority=authority)
        return self.append_control(leaf.REDACTION, body)

    def rotate(self, new: Signer) -> int:
        """Hand the log over to another key. The next head carries both signatures, later ones the new key's."""
        if len(self._signers) > 1:
            raise LedgerError("a rotation is under way; commit it first")
        index = self.append_control(leaf.ROTATION, rotation.body(self._signers[0], new, self.size))
        self._signers = (self._signers[0], new)
        return index

    def prepare(self) -> dict[str, Any]:
        """Steps 1 to 4. The head to put into the lake's commit: size, root_hex, intent, control_bytes, control_count.

        Repeating it changes nothing. Raises StoreError; then nothing is lost and it may be tried again.
        """
        self._make_folder()
        write_all(self.folder, self._bundles())  # 1
        faults.point("ledger.entries")
        write_all(self.folder, self._tiles())  # 2
        faults.point("ledger.tiles")
        self._control.flush()  # 3
        faults.point("ledger.control")
        self._settle()
        committing = Checkpoint(self.origin, self._edge.size, self._edge.root())
        if len(self._signers) > 1:
            self._write_policy()
        self._prepared = committing
        intent = checkpoints.sign_intent(committing, self._signers)  # 4
        faults.point("ledger.intent")
        return {
            "size": committing.size,
            "root_hex": committing.root.hex(),
            "intent": intent.encode().decode(),
            "control_bytes": self._control.size,
            "control_count": self._control.count,
        }

    def publish(self) -> str:
        """Steps 5 to 9, once the lake's commit with the prepared head stands. The checkpoint's text."""
        committed = self._prepared
        if committed is None:
            raise LedgerError("nothing was prepared")
        path = self.folder / "checkpoint"
        known = read_optional(path)
        if known is None or checkpoints.parse(note.parse(known).text) != committed or len(self._signers) > 1:
            known = self._sign(committed)
            self._replace(path, known)  # 7
            faults.point("ledger.checkpoint")
        self._keep_copy(committed.size, known)  # 8
        self._signers = self._signers[-1:]
        self._tidy()  # 9
        return known.decode()

    def resume(self, head: Head | None) -> None:
        """Go to the state of the lake's last commit: at start-up, and after another worker's commit.

        Uncommitted leaves are dropped, in memory and on disk; a checkpoint whose signing a crash prevented is signed.
        """
        committed = self._committed(head)
        reader = TileReader(self.folder, committed.size)
        edge = reader.edge()
        if edge.root() != committed.root:
            raise LedgerError(
                f"the tiles of {self.origin} lead to root {edge.root().hex()} at size {committed.size}, "
                f"the lake's commit says {committed.root.hex()}"
            )
        self._refuse_second_history(committed, reader)
        records = control.ControlLog(
            self.folder, int((head or {}).get("control_count", 0)), int((head or {}).get("control_bytes", 0))
        )
        self._reset(edge, reader.tail_bundle(), records)
        records.cut()
        sweep.beyond(self.folder, committed.size)
        if head:
            self._prepared = committed
            self.publish()

    def reader(self) -> TileReader:
        """The tree as it was last prepared."""
        return TileReader(self.folder, self._written)

    def attach(self, cosigned: bytes) -> bool:
        """Put witnesses' signatures on the published checkpoint. False when a newer one has taken its place."""
        path = self.folder / "checkpoint"
        known = read_optional(path)
        if known is None or note.parse(known).text != note.parse(cosigned).text:
            return False
        self._replace(path, cosigned)
        return True

    # --- steps ------------------------------------------------------------------------------------------------

    def _reset(self, edge: Edge, tail: Bytes, records: control.ControlLog) -> None:
        self._edge = edge
        self._tail = tail  # entries of the bundle that is not full
        self._control = records
        self._waiting: list[Bytes] = []  # entries behind the tail
        self._full: list[tuple[int, int, bytes]] = []  # tiles that became full and are not written
        self._filled: list[tuple[int | str, int]] = []  # tiles whose partial forms may go once this is published
        self._written = edge.size
        self._on_disk = {(level, index, len(hashes)) for level, index, hashes in edge.unfinished()}
        self._prepared = None

    def _bundles(self) -> list[File]:
        if not self._waiting:
            return []
        entries = np.concatenate([self._tail, *self._waiting])
        first = (self._written - len(self._tail)) // WIDTH
        rows = leaf.framed(entries)
        return [
            (tile_path(ENTRIES, first + at // WIDTH, len(part)), part.tobytes())
            for at in range(0, len(rows), WIDTH)
            for part in (rows[at : at + WIDTH],)
        ]

    def _tiles(self) -> list[File]:
        full = [(tile_path(level, index), hashes) for level, index, hashes in self._full]
        unfinished = [
            (tile_path(level, index, len(hashes) // 32), hashes)
            for level, index, hashes in self._edge.unfinished()
            if (level, index, len(hashes)) not in self._on_disk
        ]
        return full + unfinished

    def _settle(self) -> None:
        """What was waiting is on disk."""
        if self._waiting:
            entries = np.concatenate([self._tail, *self._waiting])
            first = (self._written - len(self._tail)) // WIDTH
            self._filled += [(ENTRIES, first + i) for i in range(len(entries) // WIDTH)]
            self._tail = entries[len(entries) - len(entries) % WIDTH :].copy()
        self._filled += [(level, index) for level, index, _ in self._full]
        self._waiting, self._full, self._written = [], [], self._edge.size
        self._on_disk = {(level, index, len(hashes)) for level, index, hashes in self._edge.unfinished()}

    def _sign(self, committed: Checkpoint) -> bytes:
        self._guard.advance(committed)  # 5
        faults.point("ledger.guard")
        signed = checkpoints.sign_checkpoint(committed, self._signers).encode()  # 6
        faults.point("ledger.signed")
        return signed

    def _keep_copy(self, size: int, signed: bytes) -> None:
        path = self.folder / "checkpoints" / str(size)
        known = read_optional(path)
        if known is not None:
            if note.parse(known).text != note.parse(signed).text:
                raise ForkError(f"checkpoints/{size} holds another root")
            return  # it may be stamped: its bytes stay
        path.parent.mkdir(parents=True, exist_ok=True)
        self._replace(path, signed)
        faults.point("ledger.copy")

    def _tidy(self) -> None:
        for level, index in self._filled:
            shutil.rmtree(self.folder / f"{tile_path(level, index)}.p", ignore_errors=True)
        self._filled = []
        faults.point("ledger.tidied")

    def _committed(self, head: Head | None) -> Checkpoint:
        if not head:
            return checkpoints.empty(self.origin)
        committed = checkpoints.open_intent(str(head["intent"]).encode(), [self.verifier])
        if (committed.size, committed.root.hex()) != (head["size"], head["root_hex"]):
            raise LedgerError("the lake's commit and the intent in it differ")
        return committed

    def _refuse_second_history(self, committed: Checkpoint, reader: TileReader) -> None:
        data = read_optional(self.folder / "checkpoint")
        published = None if data is None else checkpoints.parse(note.parse(data).text)
        for signed in (published, self._guard.last(self.origin)):
            if signed is None or signed == committed:
                continue
            if signed.size > committed.size:
                raise ForkError(
                    f"the lake holds {committed.size} ledger entries, but {signed.size} are signed: "
                    "it was put back to an older state; restore the newest one, or read on into a new lake"
                )
            if reader.root(signed.size) != signed.root:
                raise ForkError(f"the tree at size {signed.size} is not the one that was signed")

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "policy").exists():
            self._write_policy()
        self._control.make()

    def _write_policy(self) -> None:
        known = policy.read(self.folder / "policy") or policy.Policy()
        logs = dict.fromkeys([*map(note.verifier_of, reversed(self._signers)), *known.logs])
        self._replace(self.folder / "policy", policy.encode(policy.with_logs(known, tuple(logs))))

    def _replace(self, path: Path, data: bytes) -> None:
        try:
            replace_durable(path, data)
        except OSError as error:
            raise StoreError(f"the ledger's {path.name} could not be written: {error.strerror}") from error
