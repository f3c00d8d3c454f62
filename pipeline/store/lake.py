"""The lake: Parquet files, and one SQLite file that says which of them count."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pipeline.core import faults
from pipeline.core.errors import ConfigError, StoreError
from pipeline.core.schema import OPERATION
from pipeline.store import states
from pipeline.store.catalogue import Catalogue, LiveFile
from pipeline.store.erase import ERASABLE, Erasure
from pipeline.store.files import Lock, guarded, named_in_utf8, private_folder, remove, worker_name
from pipeline.store.holdings import Holdings, lock_of
from pipeline.store.publish import Publisher, leftovers
from pipeline.store.read import rows
from pipeline.store.steps import Steps, prepare
from pipeline.store.tables import table_of
from pipeline.store.upkeep import Upkeep, orphans
from pipeline.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from pipeline.core.clock import Clock
    from pipeline.core.model import Commit, Position
    from pipeline.store.config import StoreConfig
    from pipeline.store.segment import Segment

_LOCK_TRIES, _LOCK_SECONDS = 10, 0.02
_FOR_EVER = 2**63 - 1  # ns


@dataclass(frozen=True, slots=True)
class Cut:
    """What the next commit holds of what is written and remembered."""

    files: Future[list[Segment]]
    packed: states.Packed


class Lake(Holdings):
    """One reader or writer of a lake, and the outbox in it. Writers take part under a `worker` name.

    After a StoreError from `write`, `commit` or `recall` the rows since the last commit are lost and the lake must be
    opened again; its positions say where to read on.
    """

    def __init__(  # noqa: PLR0917
        self,
        path: Path,
        config: StoreConfig,
        clock: Clock,
        worker: str,
        held: Lock | None,
        inherit: bool = True,
        quiet: bool = False,
    ) -> None:
        """Use `open`."""
        super().__init__(path, Catalogue(path, writer=held is not None, busy_seconds=config.busy_seconds), worker)
        self._held = held
        self._config, self._clock = config, clock
        self._waiting = False  # rows were written since the last commit
        self._quiet = quiet
        self._refusal = "it was opened for reading" if held is None else ""
        if held is not None:
            try:
                self._become_writer(config, clock, inherit=inherit)
            except BaseException:
                self._catalogue.close()
                raise

    @classmethod
    def open(
        cls,
        path: Path,
        config: StoreConfig,
        *,
        writer: bool,
        clock: Clock,
        worker: str = "main",
        inherit: bool = True,
        quiet: bool = False,
    ) -> Lake:
        """Opens the lake in `path`; a writer makes it where there is none, and cleans up after one that died.

        With `inherit` it takes over the undelivered messages of workers that live no more. A `quiet` one, for a commit
        that changes no rows, cleans nothing up and publishes nothing.

        Raises NoInputError when there is no lake to read, StoreError when it cannot be read or another living process
        writes as `worker`, and ConfigError for a worker or a path that cannot be used.
        """
        path, worker = named_in_utf8(path.absolute()), worker_name(worker)
        if not writer:
            return cls(path, config, clock, worker, None)
        if "?" in str(path.resolve()):
            raise ConfigError(f"the lake's path may not contain '?', which DuckDB takes for options: {path}")
        held = lock_of(path, worker)
        with guarded(f"opening the lake {path}"):
            private_folder(path)
            if not _taken(held):
                raise StoreError(f"the lake {path} is being written by {held.holder()} as worker {worker!r}")
            held.note(f"process {os.getpid()}")
        try:
            return cls(path, config, clock, worker, held, inherit, quiet)
        except BaseException:
            held.free()
            raise

    def write(self, table: str, frame: pl.DataFrame) -> None:
        """Queues rows of an append-only table: events, operations, findings, rejected, leaks or raw.

        They become visible with the next commit. Columns are brought to the stored ones. Raises StoreError for what
        an earlier call ran into.
        """
        self._writable()
        if not table_of(table).append:
            raise StoreError(f"rows of {table!r} are revised or replaced whole, not appended")
        with self._breaking():
            self._waiting = True
            self._writer.put(table, frame)

    def cut(self, commit: Commit) -> Cut:
        """Takes what `commit` is to hold as it is now: what is written from here on, and done to the states that were
        given, belongs to the next one. `commit` may then be called from another thread, one at a time.
        """
        self._writable()
        with self._breaking():
            self._waiting = False
            return Cut(self._writer.cut(), states.pack(commit.states))

    def commit(self, commit: Commit, *, upkeep: bool = True, cut: Cut | None = None) -> int:
        """Makes all rows up to the cut (default: now), and all of `commit`, visible at once; the number of this commit.

        1  the writing thread finishes its files; they and their folders are synced store.drained, store.synced
        2  replacement, snapshot and state files are written and synced             store.revised
        3  one SQLite transaction names the files, moves positions, states, outbox
           and ledger head, if the epoch still holds                                store.transaction, store.committed
        4  files are tidied (with `seal`, and alone: in a thread of its own), audit.duckdb is published (every
           `publish_seconds`)                                                       store.tidied, store.published

        A death before the end of 3 leaves the previous commit, after it this one. Raises FencedError when another
        writer has gone on from the same place, StoreError when anything of 1 to 3 could not be written; what fails in 4
        is told by `upkeep_failure` and tried again.
        """
        self._writable()
        with self._breaking():
            self._steps.check()
            cut = cut or self.cut(commit)
            sealed = self._writer.sealed(cut.files)
            faults.point("store.synced")
            sequence, useless = self._steps.run(
                commit, sealed, cut.packed, lambda sql, now_ns: self._enqueue(sql, commit.messages, now_ns)
            )
        if upkeep:
            self._upkeep.run(useless, stage=commit.seal is not None)
        faults.point("store.tidied")
        if not self._quiet:
            self._publisher.request()
        faults.point("store.published")
        return sequence

    def positions(self) -> list[Position]:
        """Where every stream goes on. A writer may move a position only from where it saw it here, or put it itself.

        A worker that is given further partitions first commits what it has read, then asks here: with rows written
        and not committed, what it saw before stays what its next commit is held against.
        """
        with self._catalogue.reading():
            found = self._catalogue.positions()
            if self._held is not None and not self._waiting:
                self._steps.known = dict(self._catalogue.places())
        return found

    def beat(self) -> None:
        """Tells others that this worker has nothing to commit at this moment."""
        if self._held is not None:
            with guarded("telling that nothing waits"):
                self._held.touch()

    def expired(self) -> list[tuple[int, int]]:
        """Spans (first, last) of leaves whose entries retention removed and the ledger has not told of yet.

        Give them back in `Commit.expired` with the ledger head that does.
        """
        return self._catalogue.expired(self.worker) + ([] if self._held is None else self._steps.staged_expired())

    def erase(self, found: pl.DataFrame) -> list[tuple[str, str]]:
        """Has the next commit take what was read of these entries (FOUND), and what was made of it, from this worker's
        files.

        Raw rows stay without their bytes and their salt. Gives the raw files that go, each with the one in its place.
        The commit raises StoreError when another worker changed one of the files meanwhile.
        """
        self._writable()
        self._upkeep.discard()
        files = self._catalogue.files(*ERASABLE)
        exchange, pairs = Erasure(self.path, self._steps, self._config, files, found).exchange(self.worker)
        if exchange.dropped:
            self._steps.staged.append(exchange)
        return pairs

    @property
    def exchanging(self) -> bool:
        """Whether the next commit puts files in the place of others."""
        return bool(self._steps.staged)

    def purge(self, *, now: bool = False) -> tuple[int, int]:
        """Deletes replaced files whose time is over, or all `now`, though readers of an old audit.duckdb may miss them.

        How many files went and how many stay for now.
        """
        self._writable()
        gone = self._upkeep.expire(_FOR_EVER if now else self._clock())
        return gone, self._catalogue.waiting()

    def recall(self, correlation_uids: pl.Series, from_time: int, to_time: int) -> pl.DataFrame:
        """Operations already in the lake with one of these correlation uids and `time` in [from_time, to_time] (µs).

        All OPERATION columns, newest revision. Rows written and not yet committed are found too; replacements are,
        from their commit on.
        """
        files = self._catalogue.files("operations")
        if self._held is not None:
            with self._breaking():
                files += [LiveFile(segment, 0, self.worker) for segment in self._writer.roll("operations")]
        wanted = pl.col("correlation_uid").is_in(correlation_uids.drop_nulls().unique().implode())
        found = [frame.filter(wanted) for frame in rows(self.path, table_of("operations"), files, from_time, to_time)]
        return pl.concat(found) if found else pl.DataFrame(schema=OPERATION)

    def take_up(self, *, wait: bool = False) -> None:
        """Has the next commit exchange the files that upkeep has made ready aside by now; with `wait`, all it is at."""
        self._writable()
        self._upkeep.take_up(wait=wait)

    def unsealed(self) -> bool:
        """Whether the ledger is to be told of files that upkeep has exchanged, or will with the next commit."""
        waiting = self._held is not None and self._steps.staged
        return bool(waiting) or any(self._catalogue.unsealed(self.worker))

    def publish(self) -> None:
        """Writes audit.duckdb for the newest commit now."""
        self._writable()
        self._publisher.publish()

    def compact(self) -> int:
        """Merges all small files and folds all replacement rows; the number of files replaced."""
        self._writable()
        self._upkeep.discard()
        replaced = self._upkeep.compact(everything=True)
        self._publisher.request()
        return replaced

    def retain(self, older_than: int) -> int:
        """Removes rows of events, operations, rejected and raw with event time before `older_than` (µs since 1970).

        What a legal hold covers stays.
        Returns the number of files dropped or written anew.
        """
        self._writable()
        self._upkeep.discard()
        replaced = self._upkeep.retain(older_than)
        self._publisher.request()
        return replaced

    @property
    def upkeep_failure(self) -> str:
        """Why compaction, retention, removal or publishing failed last, "" if it did not. No row is lost by it."""
        return "" if self._held is None else self._upkeep.failure or self._publisher.failure

    @property
    def upkeep_failures(self) -> int:
        """How often any of these failed since the lake was opened."""
        return 0 if self._held is None else self._upkeep.failures + self._publisher.failures

    def close(self) -> None:
        """Publishes what is committed and lets go of the lake. Rows since the last commit are dropped."""
        if self._refusal == "it is closed":
            return
        sound, self._refusal = not self._refusal, "it is closed"
        try:
            if self._held is not None:
                try:
                    self._writer.stop()
                    self._upkeep.close()
                finally:
                    self._publisher.stop()
                if sound and not self._quiet and self._publisher.sequence != int(self.meta("sequence") or 0):
                    self._publisher.publish()
        finally:
            self._catalogue.close()
            if self._held is not None:
                self._publisher.close()
                self._held.free()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _become_writer(self, config: StoreConfig, clock: Clock, *, inherit: bool) -> None:
        with guarded(f"opening the lake {self.path}"):
            prepare(self.path)
            if not self._quiet:
                remove((*orphans(self.path, self.worker, self._catalogue), *leftovers(self.path, self.worker)))
        self._publisher = Publisher(self.path, self.worker, config.publish_seconds)
        self._steps = Steps(self.path, config, clock, self._catalogue, worker=self.worker, publisher=self._publisher)
        self._writer = Writer(self.path, config, self._steps.name)
        self._upkeep = Upkeep(self.path, config, clock, self._catalogue, self._steps)
        if inherit:
            self._inherit()
        if not self._quiet:
            self._publisher.publish()

    def _inherit(self) -> None:
        """Takes over undelivered messages of workers that live no more."""
        for name in self._catalogue.workers():
            if name == self.worker:
                continue
            lock = lock_of(self.path, name)
            with guarded(f"asking for worker {name}"):
                if lock.take():
                    try:
                        self._adopt(name)
                    finally:
                        lock.free()

    def _writable(self) -> None:
        if self._refusal:
            raise StoreError(f"the lake {self.path} cannot be written: {self._refusal}")

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        """After a failure in here nothing more is written: what the line holds no longer fits what is stored."""
        try:
            yield
        except BaseException as failure:
            self._refusal = (
                f"open it again, after: {failure if isinstance(failure, StoreError) else type(failure).__name__}"
            )
            raise


def _taken(held: Lock) -> bool:
    """Somebody may hold it for a moment, only to see whether it is held."""
    for _ in range(_LOCK_TRIES):
        if held.take():
            return True
        time.sleep(_LOCK_SECONDS)
    return False
