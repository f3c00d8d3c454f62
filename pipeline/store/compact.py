"""Keeping the number of files small: merging small files, folding replacement rows into the rows they replace.

Each pass writes new files, syncs them, and swaps them in with one transaction. When another worker has changed one of
the files meanwhile, the pass is dropped: nothing is lost by trying again later.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import polars as pl

from pipeline.core import faults
from pipeline.store.files import guarded, remove, sync_folders
from pipeline.store.read import groups, hashed, newest, within
from pipeline.store.segment import SegmentFile
from pipeline.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.store.catalogue import LiveFile
    from pipeline.store.config import StoreConfig
    from pipeline.store.segment import Segment
    from pipeline.store.tables import Table

    # (files dropped, files added, owner, SHA-256 of those whose rows went on) -> done
    Swap = Callable[[Sequence[str], Sequence[Segment], str, Mapping[str, str]], bool]


class Compactor:
    """One pass over the tables. `name` makes a new file's path, `swap` commits the exchange."""

    def __init__(self, lake: Path, config: StoreConfig, name: Callable[[str], str], swap: Swap) -> None:
        self._lake = lake
        self._config = config
        self._name = name
        self._swap = swap

    def run(self, files: Iterable[LiveFile], *, everything: bool = False) -> int:
        """Merges and folds what has come to its limit, or `everything` there is; the number of files replaced."""
        tables: defaultdict[str, list[LiveFile]] = defaultdict(list)
        for file in files:
            tables[file.segment.table].append(file)
        return sum(self._table(TABLES[name], found, everything=everything) for name, found in tables.items())

    def _table(self, table: Table, files: list[LiveFile], *, everything: bool) -> int:
        revisions = [file for file in files if file.segment.kind == "revision"]
        rows = [file for file in files if file.segment.kind == "rows"]
        if len(revisions) >= (1 if everything else self._config.fold_files):
            return self._fold(table, rows, revisions)
        small = [file for file in rows if self._small(file)]
        if len(small) <= (1 if everything else self._config.compact_files):
            return 0
        owners = sorted({file.worker for file in small}) if table.name == "raw" else [""]
        return sum(self._merge(table, [f for f in small if not owner or f.worker == owner], owner) for owner in owners)

    def _small(self, file: LiveFile) -> bool:
        return file.segment.rows < self._config.small_rows and file.segment.size < self._config.small_bytes

    def _merge(self, table: Table, small: Sequence[LiveFile], owner: str) -> int:
        """Raw rows stay with the worker whose ledger has their leaves: `owner`, where they have one."""
        chosen: list[LiveFile] = []
        for file in small:
            if chosen and sum(f.segment.rows for f in (*chosen, file)) > self._config.compact_rows:
                break
            chosen.append(file)
        if len(chosen) < 2:
            return 0
        with Rewrite(self._lake, table, self._config, self._name) as made:
            for file in chosen:
                for frame in made.replacing(file):
                    made.append(frame)
            return made.swap(self._swap, chosen, owner)

    def _fold(self, table: Table, rows: Sequence[LiveFile], revisions: Sequence[LiveFile]) -> int:
        told = {file.segment.path: self._hashed(file, table) for file in revisions}
        left = newest(self._lake, table, revisions)
        low, high = _span(left, table)
        dropped = list(revisions)
        with Rewrite(self._lake, table, self._config, self._name) as made:
            made.digests |= told
            for file in rows:
                if not within(file, low, high):
                    continue
                found = self._found(file, left, table)
                if found.is_empty():
                    continue
                for frame in made.replacing(file):
                    made.append(frame.join(found, on=table.keys, how="anti", nulls_equal=True))
                made.append(left.join(found, on=table.keys, how="semi", nulls_equal=True))
                made.close()
                left = left.join(found, on=table.keys, how="anti", nulls_equal=True)
                dropped.append(file)
            made.append(left)  # rows that are new rather than replaced
            return made.swap(self._swap, dropped)

    def _hashed(self, file: LiveFile, table: Table) -> str:
        return hashed(self._lake / file.segment.path, table.columns, self._config.small_bytes)[0]

    def _found(self, file: LiveFile, wanted: pl.DataFrame, table: Table) -> pl.DataFrame:
        keys = pl.Schema({key: table.columns[key] for key in table.keys})
        hits = [
            frame.join(wanted, on=table.keys, how="semi", nulls_equal=True)
            for frame in groups(self._lake / file.segment.path, keys)
        ]
        return pl.concat(hits) if hits else wanted.select(table.keys).clear()


class Rewrite:
    """New files of one table that take the place of others. Left without `swap`, they are removed."""

    def __init__(
        self, lake: Path, table: Table, config: StoreConfig, name: Callable[[str], str], kind: str = "rows"
    ) -> None:
        self._lake = lake
        self._table = table
        self._kind = kind
        self._config = config
        self._name = name
        self._file: SegmentFile | None = None
        self.segments: list[Segment] = []
        self.digests: dict[str, str] = {}  # SHA-256 of files whose rows went on into these
        self._kept = False

    def __enter__(self) -> Rewrite:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept:
            return
        if self._file is not None:
            self._file.abandon()
        remove(self._lake / segment.path for segment in self.segments)

    def replacing(self, file: LiveFile) -> Iterator[pl.DataFrame]:
        """The rows of a file in whose place these come. The seal over the exchange tells its SHA-256: one that had been
        edited does not become right by it."""
        path = file.segment.path
        self.digests[path], frames = hashed(self._lake / path, self._table.columns, self._config.small_bytes)
        return frames

    def append(self, frame: pl.DataFrame) -> None:
        """Adds rows, to a new file when the last one is full."""
        if frame.is_empty():
            return
        with guarded(f"rewriting {self._table.name}"):
            if self._file is None:
                name = self._name(self._table.name)
                self._file = SegmentFile(self._lake, name, self._table, self._config, self._kind)
            self._file.append(frame)
        if self._file.full:
            self.close()

    def close(self) -> None:
        """Ends the file in the making."""
        if self._file is not None:
            with guarded(f"rewriting {self._table.name}"):
                self.segments.append(self._file.finish())
            self._file = None

    def keep(self) -> list[Segment]:
        """The files, safe on the disk; from here on they are the caller's."""
        self.close()
        with guarded(f"rewriting {self._table.name}"):
            sync_folders((self._lake / segment.path).parent for segment in self.segments)
        self._kept = True
        return self.segments

    def swap(self, swap: Swap, dropped: Sequence[LiveFile], owner: str = "") -> int:
        """Puts the new files in the place of `dropped`, whose number is returned; 0 when one was gone already."""
        segments = self.keep()
        faults.point("store.compact.written")
        if swap([file.segment.path for file in dropped], segments, owner, self.digests):
            return len(dropped)
        remove(self._lake / segment.path for segment in segments)
        return 0


def _span(rows: pl.DataFrame, table: Table) -> tuple[int | None, int | None]:
    """Event time that the replaced rows lie in: a key's time never changes where time is part of what names it."""
    if not table.time or rows[table.time].null_count():
        return None, None
    column = rows[table.time].to_physical()
    low, high = column.min(), column.max()
    return (low, high) if isinstance(low, int) and isinstance(high, int) else (None, None)
