"""The SQL of the views: over explicit file lists, so that a reader sees one commit and nothing else."""

# ruff: noqa: S608  what is put together here are names of our own and quoted paths
from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.schema import BROKEN_VERDICTS
from pipeline.store.tables import TABLES, VIEWS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pipeline.store.catalogue import LiveFile
    from pipeline.store.tables import Table

_TYPES: Final = {
    pl.String(): "VARCHAR",
    pl.Int64(): "BIGINT",
    pl.Float64(): "DOUBLE",
    pl.Boolean(): "BOOLEAN",
    pl.Binary(): "BLOB",
    pl.Datetime("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
    pl.List(pl.String): "VARCHAR[]",
    pl.List(pl.Float64): "DOUBLE[]",
}

STALE_DAYS: Final = 90
OVER_SHARED_READERS: Final = 10
_DAYS_90: Final = STALE_DAYS * 86_400_000_000  # µs; whole numbers, as an old DuckDB subtracts intervals only with ICU

# From what was seen to succeed. Ages count back from the newest operation in the lake, never from today, so that the
# same lake always gives the same answer. owner: most writes, then most reads, then the first by name.
INVENTORY: Final = f"""
WITH used AS (
  SELECT namespace, secret, store, principal,
    count(*) FILTER (operation IN ('write', 'rotate')) AS writes,
    count(*) FILTER (operation = 'read') AS reads,
    min(time) AS first_seen, max(time) AS last_seen,
    max(time) FILTER (operation = 'read') AS last_read,
    max(time) FILTER (operation = 'write') AS last_write,
    max(time) FILTER (operation = 'rotate') AS last_rotation,
    max(secret_version) AS versions
  FROM operations WHERE secret <> '' AND outcome = 'success' GROUP BY ALL),
edge AS (SELECT epoch_us(max(time)) - {_DAYS_90} AS us FROM operations)
SELECT secret, store,
  first(principal ORDER BY writes DESC, reads DESC, principal) AS owner,
  coalesce(list(principal ORDER BY principal) FILTER (reads > 0), []) AS consumers,
  min(first_seen) AS first_seen, max(last_read) AS last_read, max(last_write) AS last_write,
  max(last_rotation) AS last_rotation, max(versions) AS versions,
  count(*) FILTER (epoch_us(last_read) >= edge.us) AS readers_90d,
  epoch_us(max(last_seen)) < any_value(edge.us) AS stale,
  sum(reads) = 0 AS never_read,
  count(*) FILTER (epoch_us(last_read) >= edge.us) > {OVER_SHARED_READERS} AS over_shared,
  namespace
FROM used, edge GROUP BY namespace, secret, store
"""

# M7, by store and hour: what speaks against the record. Completeness stands apart, in words and in `good`.
_BREAKS: Final = "verdict IN (" + ", ".join(f"'{verdict}'" for verdict in sorted(BROKEN_VERDICTS)) + ")"
_EXCEPTIONS: Final = f"""
WITH told AS (
  SELECT coalesce(known.store, '') AS store, epoch_us(coalesce(from_time, to_time)) // 3600000000 AS hour, verdict,
    count(*) AS n, count(*) FILTER ({_BREAKS}) AS broken
  FROM integrity LEFT JOIN (SELECT source, min(store) AS store FROM coverage GROUP BY source) AS known USING (source)
  WHERE verdict <> 'ok' AND coalesce(from_time, to_time) IS NOT NULL GROUP BY ALL)
SELECT 'M7' AS sli, store, 'store' AS scope, to_timestamp(hour * 3600) AS window_start,
  3600::BIGINT AS window_seconds, sum(n - broken)::DOUBLE AS good, sum(n)::DOUBLE AS total,
  sum(broken)::DOUBLE AS value, 0::DOUBLE AS objective, sum(broken) = 0 AS met, false AS estimate,
  string_agg(verdict || ' ' || n, ', ' ORDER BY verdict) AS coverage, '' AS worker
FROM told GROUP BY store, hour
"""
_RESTS_ON: Final = {"inventory": ("operations",), "slis": ("coverage", "integrity")}


def statements(
    files: Sequence[LiveFile], lake: Path, names: Collection[str] = VIEWS, whole: Collection[str] = ()
) -> list[str]:
    """CREATE VIEW for each of `names`, in an order in which each finds those it builds on.

    Those of `whole` have every stored column, for our own questions.
    """
    needed = {*names, *(base for name in names for base in _RESTS_ON.get(name, ()))}
    made = []
    for name in sorted(needed, key=lambda view: (view in _RESTS_ON, view)):
        body = INVENTORY
        if name != "inventory":
            body = select(TABLES[name], [f for f in files if f.segment.table == name], lake, whole=name in whole)
        if name == "slis":
            body = f"SELECT * FROM ({body}) UNION ALL SELECT * FROM ({_EXCEPTIONS})"
        made.append(f"CREATE VIEW {name} AS {body}")
    return made


def select(table: Table, files: Sequence[LiveFile], lake: Path, *, whole: bool = False) -> str:
    """SELECT of the view's columns of one table, or of all; typed and empty when it has no files."""
    columns = tuple(table.columns) if whole else table.view
    rows = [file for file in files if file.segment.kind != "revision"]
    revisions = [file for file in files if file.segment.kind == "revision"]
    shown = ", ".join(map(quoted, columns))
    base = f"SELECT {shown} FROM {_scan(rows, lake)}" if rows else ""
    if not revisions:
        return base or _empty(table, columns)
    newest = f"WITH revised AS ({_newest(table, columns, revisions, lake)}) SELECT {shown} FROM revised"
    if not rows:
        return newest
    same = " AND ".join(f"kept.{quoted(key)} IS NOT DISTINCT FROM revised.{quoted(key)}" for key in table.keys)
    kept = ", ".join(f"kept.{quoted(name)}" for name in columns)
    return f"{newest} UNION ALL SELECT {kept} FROM {_scan(rows, lake)} kept ANTI JOIN revised ON {same}"


def quoted(name: str) -> str:
    """A column name as SQL."""
    return f'"{name}"'


def text(value: str) -> str:
    """A text as SQL."""
    return "'" + value.replace("'", "''") + "'"


def _newest(table: Table, columns: Sequence[str], revisions: Sequence[LiveFile], lake: Path) -> str:
    needed = ", ".join(quoted(name) for name in dict.fromkeys((*columns, *table.keys)))
    parts = (f"SELECT {file.sequence} AS _sequence, {needed} FROM {_scan([file], lake)}" for file in revisions)
    keys = ", ".join(quoted(key) for key in table.keys)
    return (
        f"SELECT * EXCLUDE (_sequence) FROM ({' UNION ALL '.join(parts)}) "
        f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY _sequence DESC) = 1"
    )


def _scan(files: Sequence[LiveFile], lake: Path) -> str:
    """One layout needs no look into every footer; files of an older keytrail beside newer ones do."""
    paths = ", ".join(text(str(lake / file.segment.path)) for file in files)
    mixed = ", union_by_name = true" if len({file.segment.layout for file in files}) > 1 else ""
    return f"read_parquet([{paths}]{mixed})"


def _empty(table: Table, columns: Sequence[str]) -> str:
    typed = ", ".join(f"NULL::{_TYPES[table.columns[name]]} AS {quoted(name)}" for name in columns)
    return f"SELECT {typed} WHERE false"
