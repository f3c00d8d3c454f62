"""The tables of the lake: what is stored of each, what its view shows, how its rows are replaced."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core import schema
from pipeline.core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    `columns` is what its files hold. `view` names the ones its view shows, in that order. `time` is the event-time
    column by which files are pruned and aged ("" where rows have none). Rows of a table with `keys` may be replaced
    by newer ones with the same keys; a `whole` table is replaced at once. `plain` names columns whose values hardly
    repeat: a dictionary would only cost.
    """

    name: str
    columns: pl.Schema
    view: tuple[str, ...]
    time: str = ""
    keys: tuple[str, ...] = ()
    append: bool = False
    whole: bool = False
    plain: frozenset[str] = frozenset()
    ages: bool = False  # retention removes its rows
    passing: bool = False  # rows on their way from one process to another: files are taken as they are, then dropped

    @property
    def layout(self) -> int:
        """A number that changes when the stored columns do."""
        return zlib.crc32("\n".join(f"{name} {kind}" for name, kind in self.columns.items()).encode())


def _table(name: str, columns: pl.Schema, view: tuple[str, ...] = (), **how: object) -> Table:
    return Table(name=name, columns=columns, view=view or tuple(columns), **how)  # type: ignore[arg-type]


def _part(columns: pl.Schema, names: tuple[str, ...]) -> pl.Schema:
    return pl.Schema({name: columns[name] for name in names})


def _until(columns: pl.Schema, last: str) -> tuple[str, ...]:
    names = tuple(columns)
    return names[: names.index(last) + 1]


# slis are kept per worker: two workers of one consumer group each measure the partitions they read.
_SLIS: Final = pl.Schema({**schema.SLI, "worker": pl.String()})
_UNIQUE: Final = frozenset({"uid", "correlation_uid", "request_uid", "response_uid"})

_ALL: Final = (
    _table("events", _part(schema.EVENT, schema.EVENTS_VIEW), time="time", append=True, plain=_UNIQUE, ages=True),
    _table(
        "operations", schema.OPERATION, schema.OPERATIONS_VIEW, time="time", keys=("uid",), append=True, plain=_UNIQUE,
        ages=True,
    ),
    _table(
        "slis", _SLIS, time="window_start",
        keys=("sli", "store", "scope", "window_start", "window_seconds", "worker"),
    ),
    _table("baselines", schema.BASELINE, whole=True, plain=frozenset({"key"})),
    _table("findings", schema.FINDING, _until(schema.FINDING, "evidence"), time="time", append=True, plain=_UNIQUE),
    _table("alerts", schema.ALERT, _until(schema.ALERT, "finding_uids"), keys=("uid",), plain=_UNIQUE),
    _table("integrity", schema.INTEGRITY, _until(schema.INTEGRITY, "cause"), keys=("uid",), plain=_UNIQUE),
    _table("coverage", schema.COVERAGE, time="hour", keys=("source", "store", "hour")),
    _table("rejected", schema.REJECTED, time="time", append=True, plain=frozenset({"sample"}), ages=True),
    _table("leaks", schema.LEAK, time="time", append=True),
    _table("raw", schema.RAW, append=True, plain=frozenset({"uid", "raw", "salt", "leaf"})),
    _table("passed_events", schema.EVENT, append=True, plain=_UNIQUE, passing=True),
    _table("passed_verdicts", schema.INTEGRITY, append=True, plain=_UNIQUE, passing=True),
)  # fmt: skip

TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: table for table in _ALL})
PASSING: Final = ("passed_events", "passed_verdicts")
VIEWS: Final = (
    "events", "operations", "slis", "baselines", "findings", "alerts", "integrity", "coverage", "rejected",
    "inventory", "leaks", "raw",
)  # fmt: skip


def table_of(name: str) -> Table:
    """The table called `name`; StoreError when there is none."""
    if name not in TABLES:
        raise StoreError(f"the lake has no table {name!r}; there are: {', '.join(TABLES)}")
    return TABLES[name]
