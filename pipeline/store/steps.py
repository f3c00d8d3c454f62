"""Steps 2 and 3 of a commit: what replaces earlier rows is written, then one transaction makes all of it count."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core import faults
from pipeline.core.errors import ReplacedError, StoreError
from pipeline.core.schema import conform
from pipeline.store import catalogue as log
from pipeline.store import states
from pipeline.store.files import guarded, private_folder, remove, sync_folders
from pipeline.store.segment import SegmentFile
from pipeline.store.tables import PASSING, TABLES, table_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pipeline.core.clock import Clock
    from pipeline.core.model import Commit
    from pipeline.store.catalogue import Catalogue
    from pipeline.store.config import StoreConfig
    from pipeline.store.publish import Publisher
    from pipeline.store.segment import Segment

Span = tuple[int, int]  # of leaves, both ends in it
DATA: Final = "data"
STATE: Final = "state"


@dataclass(frozen=True, slots=True)
class Exchange:
    """Files that take the place of others, by the worker whose ledger has the leaves of their rows.

    `expired` are the leaves of each whose entries go with it. `sequences` are the commits that count as having brought
    a file, where that is not the one that makes the exchange. `digests` are the SHA-256 that dropped files had whose
    rows went on into those added.
    """

    dropped: Sequence[str]
    added: Mapping[str, Sequence[Segment]]
    expired: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    sequences: Mapping[str, int] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


class Steps:
    """The writing side of one worker in one epoch: file names, known positions, the transaction."""

    def __init__(
        self, lake: Path, config: StoreConfig, clock: Clock, catalogue: Catalogue, *, worker: str, publisher: Publisher
    ) -> None:
        self._lake = lake
        self._config = config
        self._clock = clock
        self._catalogue = catalogue
        self.worker = worker
        self._publisher = publisher
        self._epoch = catalogue.take_epoch(worker)
        self._alone = catalogue.workers() == (worker,)
        self.staged: list[Exchange] = []  # they go in with the next commit, whose ledger head seals them
        self._count = itertools.count(1)
        self._states = states.load(catalogue, worker)
        self.known = dict(catalogue.places())

    def name(self, table: str) -> str:
        """A new file's path, relative to the lake; it tells which worker made it, and no two are ever the same."""
        return f"{DATA}/{table}/{self._epoch:06d}-{next(self._count):08d}--{self.worker}.parquet"

    def run(
        self,
        commit: Commit,
        sealed: Sequence[Segment],
        packed: states.Packed,
        enqueue: Callable[[sqlite3.Connection, int], None],
    ) -> tuple[int, list[Path]]:
        """Writes what is left to write and commits it all: the commit's number, and state files of no more use."""
        with guarded("writing the commit"):
            replaced = [self._one(name, frame, "revision") for name, frame in commit.revise.items()]
            replaced += [self._one(name, frame, "snapshot") for name, frame in commit.snapshot.items()]
            made = [segment for segment in replaced if segment is not None]
            sync_folders((self._lake / segment.path).parent for segment in made)
            kept = self._keep_states(packed)
        faults.point("store.revised")
        came, went, found = self._moved(commit, [*sealed, *made])
        merged = {path: digest for exchange in self.staged for path, digest in exchange.digests.items()}
        head = commit.seal(came, went, found, merged) if commit.seal else commit.ledger
        with self._catalogue.changing() as sql:
            now_ns = self._clock()
            log.check_epoch(sql, self.worker, self._epoch)
            log.move_positions(sql, commit.positions, self.known, self.worker)
            sequence = log.next_sequence(sql, now_ns)
            log.drop_files(sql, self._replaced_snapshots(sql, commit.snapshot), self._until)
            log.drop_files(sql, commit.consumed, lambda _: now_ns)  # nobody else reads them
            log.add_files(sql, (*sealed, *made), sequence, self.worker)
            for exchange in self.staged:
                self._exchange(sql, exchange, sequence)
            states.save(sql, self.worker, kept)
            if head:
                log.set_ledger(sql, self.worker, head)
            if commit.seal:
                log.note_sealed(sql, self.worker, came, went)
            log.forget_expired(sql, self.worker, commit.expired)
            log.keep_holds(sql, self.worker, commit.holds, commit.released)
            enqueue(sql, now_ns)
            faults.point("store.transaction")
        faults.point("store.committed")
        self.staged = []
        self.known |= {(place.stream, place.partition): (place.offset, self.worker) for place in commit.positions}
        useless = {entry.path for entry in self._states.values()} - {entry.path for entry in kept.values()}
        self._states = kept
        return sequence, [self._lake / path for path in sorted(useless)]

    def _moved(self, commit: Commit, made: Sequence[Segment]) -> tuple[list[str], list[str], list[str]]:
        """Files that the ledger has to name, with those of this commit, and those it has to let go of; last, which of
        both this commit found so."""
        with self._catalogue.reading() as sql:
            came, went = self._catalogue.unsealed(self.worker)
            replaced = self._replaced_snapshots(sql, commit.snapshot)
        dropped = {*replaced, *(path for exchange in self.staged for path in exchange.dropped)}
        added = [segment for exchange in self.staged for segment in exchange.added.get(self.worker, ())]
        fresh = [segment.path for segment in (*made, *added) if segment.table not in PASSING]
        stayed = [path for path in came if path not in dropped]
        return [*stayed, *fresh], sorted({*went, *dropped}), sorted({*stayed, *went} - dropped)

    def check(self) -> None:
        """FencedError when this writer has been replaced: better told before its files are missed."""
        with self._catalogue.reading() as sql:
            log.check_epoch(sql, self.worker, self._epoch)

    def swap_all(
        self, dropped: Sequence[str], added: Mapping[str, Sequence[Segment]], expired: Mapping[str, Sequence[Span]]
    ) -> bool:
        """Puts files, by the worker whose ledger has the leaves of their rows, in the place of others in one
        transaction; False, and nothing done, when one is gone already.

        `expired` are the leaves of each worker whose entries go with it.
        """
        exchange = Exchange(dropped, added, expired)
        try:
            with self._catalogue.changing() as sql:
                log.check_epoch(sql, self.worker, self._epoch)
                sequence = int(sql.execute("SELECT value FROM meta WHERE key = 'sequence'").fetchone()[0])
                self._exchange(sql, exchange, sequence)
        except ReplacedError:
            return False
        return True

    @property
    def alone(self) -> bool:
        """Whether no other worker ever wrote here."""
        return self._catalogue.workers() == (self.worker,)

    def staged_expired(self) -> list[Span]:
        """Leaves of this worker whose entries go with the next commit."""
        return [span for exchange in self.staged for span in exchange.expired.get(self.worker, ())]

    def discard(self) -> None:
        """Forgets what was to be exchanged with the next commit, and removes the files made for it."""
        staged, self.staged = self.staged, []
        unmake(self._lake, staged)

    def _exchange(self, sql: sqlite3.Connection, exchange: Exchange, sequence: int) -> None:
        log.drop_files(sql, exchange.dropped, self._until)
        for owner, segments in exchange.added.items():
            for segment in segments:
                log.add_files(sql, [segment], exchange.sequences.get(segment.path, sequence), owner)
        for owner, spans in exchange.expired.items():
            log.note_expired(sql, owner, spans)

    def _one(self, name: str, frame: pl.DataFrame, kind: str) -> Segment | None:
        table = table_of(name)
        if kind == "snapshot" and not table.whole:
            raise StoreError(f"{name!r} is not a table that is replaced whole")
        if kind == "revision" and not table.keys:
            raise StoreError(f"{name!r} is not a table whose rows are replaced")
        if frame.is_empty():
            return None
        if name == "slis":
            frame = frame.with_columns(worker=pl.lit(self.worker))
        rows = conform(frame, table.columns)
        if table.keys:
            rows = rows.unique(table.keys, keep="last", maintain_order=True)
        file = SegmentFile(self._lake, self.name(name), table, self._config, kind)
        try:
            file.append(rows)
            return file.finish()
        except BaseException:
            file.abandon()
            raise

    def _keep_states(self, packed: states.Packed) -> states.Entries:
        path = f"{STATE}/{self._epoch:06d}-{next(self._count):08d}--{self.worker}.arrows"
        kept = states.write(self._lake, path, packed, self._states)
        if any(entry.path == path for entry in kept.values()):
            sync_folders([self._lake / STATE])
        return kept

    def _replaced_snapshots(self, sql: sqlite3.Connection, names: Iterable[str]) -> list[str]:
        return [
            path
            for name in names
            for (path,) in sql.execute(
                "SELECT path FROM files WHERE tbl = ? AND kind = 'snapshot' AND worker = ?", (name, self.worker)
            ).fetchall()
            if path.startswith(f"{DATA}/{name}/")  # a row that says so of another table's file is not ours
        ]

    def _until(self, sequence: int) -> int:
        """When a dropped file may go: late if any audit.duckdb may name it, ours or another worker's."""
        seen = self._publisher.shows(sequence) or not self._alone
        seconds = self._config.keep_removed_seconds if seen else self._config.keep_unpublished_seconds
        return self._clock() + int(seconds * 1e9)


def unmake(lake: Path, exchanges: Sequence[Exchange]) -> None:
    """Removes the files that were made for exchanges which do not take place."""
    made = [segment for exchange in exchanges for segments in exchange.added.values() for segment in segments]
    remove(lake / segment.path for segment in made)


def prepare(lake: Path) -> None:
    """Makes the lake's folders."""
    private_folder(lake / DATA)
    for name in TABLES:
        private_folder(lake / DATA / name)
    private_folder(lake / STATE)
