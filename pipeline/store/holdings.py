"""What a lake holds, as its newest commit has it, for readers and writers alike."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline.core.errors import StoreError
from pipeline.core.model import Passed
from pipeline.core.schema import EVENT, INTEGRITY, empty
from pipeline.store import states
from pipeline.store.erase import ERASABLE, Entries
from pipeline.store.files import Lock, guarded
from pipeline.store.outbox import Outbox
from pipeline.store.read import groups, in_order, rows
from pipeline.store.segment import measured
from pipeline.store.tables import PASSING, table_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from pipeline.core.model import Hold, Owned
    from pipeline.store.catalogue import Catalogue, LiveFile

_NUMBERS = ("rows", "size", "min_time", "max_time", "min_leaf", "max_leaf")
_OTHERS_TRIES = 4  # looks at another worker's states while it commits


class Holdings(Outbox):
    """Rows, states, positions and workers of a lake, and the outbox in it."""

    def __init__(self, path: Path, catalogue: Catalogue, worker: str) -> None:
        super().__init__(catalogue, worker)
        self.path = path

    def passed(self) -> list[Passed]:
        """What reading workers have passed on and nobody has judged yet, oldest commit first."""
        found: dict[tuple[int, str], dict[str, list[LiveFile]]] = {}
        for file in self._catalogue.files(*PASSING):
            tables = found.setdefault((file.sequence, file.worker), {name: [] for name in PASSING})
            tables[file.segment.table].append(file)
        return [
            Passed(*key, sum(file.segment.rows for file in tables[PASSING[0]]), *map(_paths, tables.values()))
            for key, tables in found.items()
        ]

    def passed_streams(self, passed: Passed) -> frozenset[str]:
        """The streams that have rows in it."""
        only = pl.Schema({"source": pl.String()})
        frames = [f for path in (*passed.events, *passed.verdicts) for f in groups(self.path / path, only)]
        return frozenset(name for frame in frames for name in frame["source"].unique())

    def passed_rows(self, passed: Passed) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Its EVENT rows and its INTEGRITY rows, each stream in its order."""
        events, verdicts = (
            pl.concat([empty(kind), *(frame for path in paths for frame in groups(self.path / path, kind))])
            for paths, kind in ((passed.events, EVENT), (passed.verdicts, INTEGRITY))
        )
        return events, verdicts

    def alive(self, worker: str) -> bool:
        """Whether a process writes as `worker` at this moment."""
        lock = lock_of(self.path, worker)
        with guarded(f"asking for worker {worker}"):
            if not lock.take():
                return True
            lock.free()
            return False

    def epoch(self, worker: str = "") -> int:
        """How often a worker (default: this one) was started; 0 for one that never was."""
        return self._catalogue.epoch(worker or self.worker)

    def beaten(self, worker: str) -> float:
        """When a worker told so last, by the clock of the lake's disk in seconds; 0 before the first time."""
        with contextlib.suppress(FileNotFoundError):
            return _lock_path(self.path, worker).stat().st_mtime
        return 0.0

    def passed_at(self, passed: Passed) -> float:
        """When the files were written, by the same clock."""
        paths = (*passed.events, *passed.verdicts)
        return max(((self.path / path).stat().st_mtime for path in paths), default=0.0)

    def workers(self) -> tuple[str, ...]:
        """Every worker that ever wrote here."""
        return self._catalogue.workers()

    def owners(self) -> dict[tuple[str, str], str]:
        """The worker that moved each position last, by (stream, partition)."""
        return {key: worker for key, (_, worker) in self._catalogue.places().items()}

    def owned(self) -> Owned:
        """Every position with the worker that moved it last, by (stream, partition)."""
        return self._catalogue.owned()

    def states(self, worker: str = "", *parts: str) -> dict[str, dict[str, pl.DataFrame]]:
        """The frames of a worker's stateful parts (default: this one's), all or some, as its newest commit has them."""
        for _ in range(_OTHERS_TRIES if worker else 0):
            with contextlib.suppress(StoreError):  # its files may go with a commit that it makes at this moment
                return states.unpack(self.path, states.load(self._catalogue, worker, parts))
        return states.unpack(self.path, states.load(self._catalogue, worker or self.worker, parts))

    def ledger_head(self) -> dict[str, Any]:
        """The head that covers the newest commit of this worker; {} before the first."""
        return self._catalogue.ledger(self.worker)

    def holds(self, worker: str = "") -> dict[str, Hold]:
        """The legal holds that stand, by name: those that a worker's ledger tells of, or all."""
        return self._catalogue.holds(worker)

    def find(self, uids: Collection[str], *, whole: bool = False) -> pl.DataFrame:
        """The entries with these uids, erased ones too: FOUND rows. With `whole` also every other entry of the same
        requests, on all devices.
        """
        with self._catalogue.reading():
            files = self._catalogue.files(*ERASABLE)
        return Entries(self.path, files).find(uids, whole=whole)

    def meta(self, key: str) -> str | None:
        """lake_id, format, sequence or committed_ns; None for other keys."""
        return self._catalogue.meta(key)

    def read(self, table: str, from_time: int | None = None, to_time: int | None = None) -> Iterator[pl.DataFrame]:
        """The committed rows of a table with all stored columns, newest revisions, a row group at a time.

        Rows are kept whose time lies in [from_time, to_time] (µs; None is no limit).
        """
        return rows(self.path, table_of(table), self._catalogue.files(table), from_time, to_time)

    def operations(self, from_time: int | None = None, to_time: int | None = None) -> Iterator[pl.DataFrame]:
        """OPERATION rows in the canonical order, newest revisions, those with `time` in [from_time, to_time) (µs).

        Memory holds what overlaps in time, not the table.
        """
        files = self._catalogue.files("operations")
        return in_order(self.path, table_of("operations"), files, ("complete_time", "uid"), (from_time, to_time))

    def ledgers(self) -> tuple[str, ...]:
        """The workers that have committed under a ledger of their own."""
        return tuple(name for name in self._catalogue.workers() if self._catalogue.ledger(name))

    def raw_owners(self) -> set[str]:
        """The workers whose ledgers have the leaves of raw rows, or should have."""
        return {file.worker for file in self._catalogue.files("raw")}

    def evidence(self, worker: str) -> tuple[dict[str, Any], dict[str, str], bool, Owned]:
        """The ledger head of a worker's newest commit and its files (relative to the lake) with their tables.

        Its files are those whose rows have their leaves in its ledger. The third says whether the ledger has yet to be
        told of some, which a writer does at once. The last are all workers' positions. All of one moment.
        """
        with self._catalogue.reading():
            ours = (file.segment for file in self._catalogue.files() if file.worker == worker)
            files = {segment.path: segment.table for segment in ours if segment.table not in PASSING}
            pending = any(self._catalogue.unsealed(worker))
            return self._catalogue.ledger(worker), files, pending, self._catalogue.owned()

    def misdescribed(self, worker: str) -> Iterator[tuple[str, str]]:
        """Files of a worker of which the catalogue has other numbers than they have, with the names of those numbers.

        By them files are passed over and forgotten unread. What cannot be read is left out.
        """
        for file in self._catalogue.files():
            if file.worker == worker and file.segment.table not in PASSING:
                with contextlib.suppress(StoreError):
                    found = measured(self.path, file.segment, table_of(file.segment.table))
                    wrong = [name for name in _NUMBERS if getattr(found, name) != getattr(file.segment, name)]
                    if wrong:
                        yield file.segment.path, ", ".join(wrong)

    def read_file(self, table: str, file: str, *only: str) -> Iterator[pl.DataFrame]:
        """The rows of one file of a table, as they are stored, with all columns or some. Raises StoreError for one that
        cannot be read."""
        columns = table_of(table).columns
        wanted = pl.Schema({name: columns[name] for name in only}) if only else columns
        return groups(self.path / file, wanted, views=True)


def lock_of(lake: Path, worker: str) -> Lock:
    """What a worker holds while it writes, and touches while it has nothing to commit."""
    return Lock(_lock_path(lake, worker))


def _lock_path(lake: Path, worker: str) -> Path:
    return lake / ("writer.lock" if worker == "main" else f"writer-{worker}.lock")


def _paths(files: list[LiveFile]) -> tuple[str, ...]:
    return tuple(file.segment.path for file in files)
