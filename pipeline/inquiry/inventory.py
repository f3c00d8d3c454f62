"""Secrets and their owners, from what was seen to succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline import store
from pipeline.inquiry.period import told

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

COLUMNS: Final = ("secret", "namespace", "store", "owner", "consumers", "read", "changed", "is")  # that people see
_FLAGS: Final = ("stale", "never_read", "over_shared")
_FEW: Final = 3  # consumers that a person is told by name


def inventory(
    lake: Path, only: Mapping[str, str | None], flags: Sequence[str], limit: int | None
) -> tuple[pa.Table, int]:
    """Rows of the view `inventory`, secret by secret, and how many there were before the limit.

    `only` holds columns to a value (None: to any), `flags` are columns that must be true.
    """
    kept = {column: value for column, value in only.items() if value is not None}
    conditions = [f"{column} = ${column}" for column in kept] + list(flags)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    found = store.query(lake, f"FROM inventory{where} ORDER BY secret, namespace, store", kept or None)
    return (found if limit is None else found.slice(0, limit)), found.num_rows


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as people need it: few columns, the first consumers by name, flags as words."""
    consumers = row["consumers"] or []
    names = ", ".join(consumers[:_FEW]) + (", …" if len(consumers) > _FEW else "")
    words = ", ".join(flag.replace("_", " ") for flag in _FLAGS if row[flag])
    return {
        "secret": row["secret"], "namespace": row["namespace"], "store": row["store"], "owner": row["owner"],
        "consumers": f"{len(consumers)}: {names}" if consumers else "none", "read": _day(row["last_read"]),
        "changed": _day(_latest(row["last_write"], row["last_rotation"])), "is": words,
    }  # fmt: skip


def _latest(*moments: dt.datetime | None) -> dt.datetime | None:
    return max(filter(None, moments), default=None)


def _day(moment: dt.datetime | None) -> str:
    return "never" if moment is None else told(moment)[:10]
