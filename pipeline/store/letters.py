"""The outbox from outside: what waits for each sink, what each refused, and giving that back or up. A running
line goes on.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.core.errors import ConfigError, NoInputError
from pipeline.core.schema import TIME
from pipeline.store.catalogue import FILE, Catalogue
from pipeline.store.outbox import known_sinks, take_out

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

_SINKS: Final = pl.Schema(
    {
        "sink": pl.String(), "waiting": pl.Int64(), "oldest": TIME, "refused": pl.Int64(), "postponed_until": TIME,
        "reason": pl.String(),
    }
)  # fmt: skip
_REFUSED: Final = pl.Schema({"sink": pl.String(), "event_id": pl.String(), "committed": TIME, "reason": pl.String()})
_DEAD: Final = (
    "SELECT d.sink, m.event_id, m.created_ns / 1000, d.dead FROM deliveries d JOIN messages m ON m.id = d.message "
    "WHERE d.dead IS NOT NULL"
)


def sinks(lake: Path) -> pl.DataFrame:
    """Per sink: messages that wait and since when the oldest does (UTC), those refused, and why it is not tried now.

    Raises NoInputError where there is no lake.
    """
    query = """
        SELECT names.sink, count(d.message) FILTER (WHERE d.dead IS NULL),
          min(m.created_ns) FILTER (WHERE d.dead IS NULL) / 1000, count(d.dead), s.until_ns / 1000, s.reason
        FROM (SELECT sink FROM deliveries UNION SELECT sink FROM sinks) names
        LEFT JOIN deliveries d ON d.sink = names.sink LEFT JOIN messages m ON m.id = d.message
        LEFT JOIN sinks s ON s.sink = names.sink GROUP BY names.sink ORDER BY names.sink"""
    return _read(lake, query, _SINKS)


def refused(lake: Path) -> pl.DataFrame:
    """What sinks refused for good, oldest first: event id, when it was committed (UTC), and the reason."""
    return _read(lake, f"{_DEAD} ORDER BY d.sink, m.id", _REFUSED)


def replay(lake: Path, sink: str) -> int:
    """Make what `sink` refused wait for it again, at its old place; how many.

    Raises NoInputError without a lake, ConfigError for a sink that no run of it had.
    """
    with _changing(lake) as sql:
        _check(sql, sink)
        sql.execute("DELETE FROM sinks WHERE sink = ?", (sink,))
        return sql.execute("UPDATE deliveries SET dead = NULL WHERE sink = ? AND dead IS NOT NULL", (sink,)).rowcount


def drop(lake: Path, sink: str, event_ids: Collection[str] = ()) -> pl.DataFrame:
    """Give up what `sink` refused, all or these event ids; what that was, as `refused` has it. What waits stays, and
    so does the alert in the lake. Raises NoInputError without a lake, ConfigError for a sink that no run of it had.
    """
    with _changing(lake) as sql:
        _check(sql, sink)
        found = sql.execute(f"{_DEAD} AND d.sink = ? ORDER BY m.id", (sink,)).fetchall()
        gone = [row for row in found if not event_ids or row[1] in event_ids]
        for _, event_id, _, _ in gone:
            take_out(sql, sink, event_id)
    return _frame(gone, _REFUSED)


def _check(sql: sqlite3.Connection, sink: str) -> None:
    known = sorted(known_sinks(sql))
    if not known:
        raise ConfigError("no run of this lake had a sink")
    if sink not in known:
        raise ConfigError(f"no run of this lake had a sink {sink!r}; there are: {', '.join(known)}")


@contextlib.contextmanager
def _changing(lake: Path) -> Iterator[sqlite3.Connection]:
    if not (lake / FILE).is_file():
        raise NoInputError(f"there is no lake in {lake}: keytrail run makes one")
    catalogue = Catalogue(lake, writer=True)
    try:
        with catalogue.changing() as sql:
            yield sql
    finally:
        catalogue.close()


def _read(lake: Path, query: str, schema: pl.Schema) -> pl.DataFrame:
    catalogue = Catalogue(lake, writer=False)
    try:
        with catalogue.reading() as sql:
            rows = sql.execute(query).fetchall()
    finally:
        catalogue.close()
    return _frame(rows, schema)


def _frame(rows: Sequence[tuple[Any, ...]], schema: pl.Schema) -> pl.DataFrame:
    flat = pl.Schema({name: pl.Int64() if kind == TIME else kind for name, kind in schema.items()})
    return pl.DataFrame(rows, schema=flat, orient="row").cast(schema)
