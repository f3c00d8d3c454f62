"""The outbox from outside: what waits for each sink, what each refused, and giving it back. A running line goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.errors import NoInputError
from pipeline.core.schema import TIME
from pipeline.store.catalogue import FILE, Catalogue

if TYPE_CHECKING:
    from pathlib import Path

_SINKS: Final = pl.Schema(
    {
        "sink": pl.String(), "waiting": pl.Int64(), "oldest": TIME, "refused": pl.Int64(), "postponed_until": TIME,
        "reason": pl.String(),
    }
)  # fmt: skip
_REFUSED: Final = pl.Schema({"sink": pl.String(), "event_id": pl.String(), "committed": TIME, "reason": pl.String()})


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
    query = """
        SELECT d.sink, m.event_id, m.created_ns / 1000, d.dead FROM deliveries d JOIN messages m ON m.id = d.message
        WHERE d.dead IS NOT NULL ORDER BY d.sink, m.id"""
    return _read(lake, query, _REFUSED)


def replay(lake: Path, sink: str) -> int:
    """Make what `sink` refused wait for it again, at its old place; how many. Raises NoInputError without a lake."""
    if not (lake / FILE).is_file():
        raise NoInputError(f"there is no lake in {lake}: keytrail run makes one")
    catalogue = Catalogue(lake, writer=True)
    try:
        with catalogue.changing() as sql:
            sql.execute("DELETE FROM sinks WHERE sink = ?", (sink,))
            found = sql.execute("UPDATE deliveries SET dead = NULL WHERE sink = ? AND dead IS NOT NULL", (sink,))
            return found.rowcount
    finally:
        catalogue.close()


def _read(lake: Path, query: str, schema: pl.Schema) -> pl.DataFrame:
    catalogue = Catalogue(lake, writer=False)
    try:
        with catalogue.reading() as sql:
            rows = sql.execute(query).fetchall()
    finally:
        catalogue.close()
    flat = pl.Schema({name: pl.Int64() if kind == TIME else kind for name, kind in schema.items()})
    return pl.DataFrame(rows, schema=flat, orient="row").cast(schema)
