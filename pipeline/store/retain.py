"""Forgetting by age: rows of events, operations, rejected and raw whose event time is before a cut.

Of whole files that go only the times are read; the file on the boundary is written anew. Raw entries carry no time of
their own: one goes with its event, or with its row in `rejected`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, Protocol

import polars as pl

from pipeline.store.compact import Rewrite
from pipeline.store.files import remove
from pipeline.store.read import groups
from pipeline.store.segment import measured
from pipeline.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.core.model import Hold
    from pipeline.store.catalogue import LiveFile
    from pipeline.store.config import StoreConfig
    from pipeline.store.segment import Segment
    from pipeline.store.tables import Table

_PLACE: Final = ("source", "file", "position")  # names a line, rejected or not
_MICRO: Final = pl.Datetime("us", "UTC")


class Swap(Protocol):
    """Puts files in the place of others and notes the leaves whose entries go with them, in one transaction.

    Files and leaves are given by the worker whose ledger they belong to; `digests` are the SHA-256 of files dropped
    whose rows went on.
    """

    def __call__(
        self,
        dropped: Sequence[str],
        added: Mapping[str, Sequence[Segment]],
        expired: Mapping[str, Sequence[tuple[int, int]]],
        digests: Mapping[str, str],
    ) -> bool: ...


class Retention:
    """One pass: everything older than `cut_us` (µs since 1970) is gone when its one transaction is."""

    def __init__(
        self, lake: Path, config: StoreConfig, name: Callable[[str], str], cut_us: int, holds: Sequence[Hold] = ()
    ) -> None:
        self._lake = lake
        self._config = config
        self._name = name
        self._cut_us = cut_us
        self._holds = holds
        self._dropped: list[str] = []
        self._added: defaultdict[str, list[Segment]] = defaultdict(list)  # by owner
        self._digests: dict[str, str] = {}  # of files whose rows went on
        self._leaves: defaultdict[str, list[pl.Series]] = defaultdict(list)  # of the entries that go, by owner

    def run(self, files: Sequence[LiveFile], swap: Swap) -> int:
        """Number of files dropped or written anew."""
        aged = [file for file in files if TABLES[file.segment.table].ages and self._old(file)]
        try:
            places = self._gone([file for file in aged if file.segment.table == "rejected"], "rejected", _PLACE)
            for file in (f for f in files if f.segment.table == "raw"):
                self._raw(file, [f for f in aged if f.segment.table == "events"], places)
            for file in aged:
                self._aged(file)
            if self._dropped and swap(self._dropped, self._added, self._spans(), self._digests):
                return len(self._dropped)
        except BaseException:
            self._remove_added()
            raise
        self._remove_added()
        return 0

    def _remove_added(self) -> None:
        remove(self._lake / segment.path for segments in self._added.values() for segment in segments)

    def _old(self, file: LiveFile) -> bool:
        low = file.segment.min_time
        return file.segment.kind == "rows" and low is not None and low < self._cut_us

    def _aged(self, file: LiveFile) -> None:
        """A file under a hold is looked into first: what the hold keeps is not written anew every time."""
        table = TABLES[file.segment.table]
        goes = self._goes(table)
        if not self._holds:
            high = measured(self._lake, file.segment, table).max_time  # by the file: a catalogue can be edited
            if high is not None and high < self._cut_us:
                self._dropped.append(file.segment.path)
                return
        else:
            columns = pl.Schema({name: table.columns[name] for name in ("time", _whose(table))})
            rest = [frame.select(goes).to_series() for frame in groups(self._lake / file.segment.path, columns)]
            if not any(column.any() for column in rest):
                return
            if all(column.all() for column in rest):
                self._dropped.append(file.segment.path)
                return
        self._rewrite(file, table, lambda frame: frame.filter(~goes))

    def _goes(self, table: Table) -> pl.Expr:
        """Rows that are old enough and under no hold."""
        old = (pl.col(table.time) < pl.lit(self._cut_us).cast(_MICRO)).fill_null(value=False)
        return old & ~held(table, self._holds)

    def _raw(self, file: LiveFile, events: Sequence[LiveFile], places: pl.DataFrame) -> None:
        uids = self._gone([f for f in events if _overlap(f.segment, file.segment)], "events", ("uid",))
        if uids.is_empty() and places.is_empty():
            return
        table = TABLES["raw"]
        keys = pl.Schema({name: table.columns[name] for name in ("uid", *_PLACE, "leaf_index")})

        def kept(frame: pl.DataFrame) -> pl.DataFrame:
            left = frame.join(uids, on="uid", how="anti")
            return left.join(places, on=_PLACE, how="anti", nulls_equal=True)

        found = list(groups(self._lake / file.segment.path, keys))
        gone = [frame["leaf_index"].filter(~frame["uid"].is_in(kept(frame)["uid"].implode())) for frame in found]
        if any(len(leaves) for leaves in gone):
            self._leaves[file.worker] += [leaves.drop_nulls() for leaves in gone]
            self._rewrite(file, table, kept)

    def _spans(self) -> dict[str, list[tuple[int, int]]]:
        """(first, last) of each run of leaves whose entries go: their ledger must be told."""
        return {owner: _runs(pl.concat(leaves)) for owner, leaves in self._leaves.items()}

    def _gone(self, files: Sequence[LiveFile], name: str, keys: tuple[str, ...]) -> pl.DataFrame:
        table = TABLES[name]
        columns = pl.Schema({key: table.columns[key] for key in dict.fromkeys((*keys, "time", _whose(table)))})
        found = [
            frame.filter(self._goes(table)).select(keys)
            for file in files
            for frame in groups(self._lake / file.segment.path, columns)
        ]
        return pl.concat(found) if found else pl.DataFrame(schema={key: columns[key] for key in keys})

    def _rewrite(self, file: LiveFile, table: Table, kept: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        with Rewrite(self._lake, table, self._config, self._name) as made:
            for frame in made.replacing(file):
                made.append(kept(frame))
            self._added[file.worker].extend(made.keep())
        self._digests |= made.digests
        self._dropped.append(file.segment.path)


def held(table: Table, holds: Sequence[Hold]) -> pl.Expr:
    """Which rows of events, operations or rejected a legal hold keeps."""
    kept = pl.lit(value=False)
    for hold in holds:
        low, high = (pl.lit(us).cast(_MICRO) for us in (hold.from_us, hold.to_us))
        inside = pl.col(table.time).is_between(low, high, closed="left").fill_null(value=False)
        kept |= inside & _of(table, hold.streams) if hold.streams else inside
    return kept


def _whose(table: Table) -> str:
    return "devices" if table.name == "operations" else "source"


def _of(table: Table, streams: Sequence[str]) -> pl.Expr:
    column = pl.col(_whose(table))
    if table.name == "operations":
        return column.list.eval(pl.element().is_in(streams)).list.any().fill_null(value=False)
    return column.is_in(streams).fill_null(value=False)


def _runs(leaves: pl.Series) -> list[tuple[int, int]]:
    numbers = leaves.unique().sort().to_frame("leaf")
    runs = numbers.group_by(run=pl.col("leaf") - pl.int_range(pl.len()), maintain_order=True)
    return [(first, last) for _, first, last in runs.agg(a=pl.col("leaf").min(), b=pl.col("leaf").max()).rows()]


def _overlap(one: Segment, other: Segment) -> bool:
    """Whether two files may tell of the same entries; entries without a leaf may be anywhere."""
    if one.min_leaf is None or one.max_leaf is None or other.min_leaf is None or other.max_leaf is None:
        return True
    return one.min_leaf <= other.max_leaf and other.min_leaf <= one.max_leaf
