"""All the text a lake holds, unpacked, so that a test can say of a value that it is nowhere in it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.clock import system_clock
from pipeline.store import Lake, StoreConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def contents(lake: Path) -> Iterator[tuple[str, bytes]]:
    """(place, bytes) of every file as it lies there, and of what is packed in Parquet, SQLite and state files."""
    files = sorted(path for path in lake.rglob("*") if path.is_file())
    yield from [(str(path.relative_to(lake)), path.read_bytes()) for path in files]  # before SQLite tidies its own
    for path in files:
        name = str(path.relative_to(lake))
        if path.suffix == ".parquet":
            yield f"{name} (columns)", b"\n".join(_texts(pq.read_table(path).to_pylist()))
        elif path.suffix == ".sqlite":
            yield f"{name} (rows)", _rows(path)
    with Lake.open(lake, StoreConfig(), writer=False, clock=system_clock) as opened:
        for part, frames in opened.states().items():
            for name, frame in frames.items():
                table = frame.to_arrow()
                assert isinstance(table, pa.Table)
                yield f"state {part}.{name}", b"\n".join(_texts(table.to_pylist()))


def holding(lake: Path, values: set[str], *printed: str) -> dict[str, list[str]]:
    """Which of the values are where in the lake, or in what was printed."""
    needles = {value.encode(): value for value in values}
    places = [*contents(lake), *((f"printed {i}", text.encode()) for i, text in enumerate(printed))]
    found = {place: [needles[n] for n in needles if n in body] for place, body in places}
    return {place: values for place, values in found.items() if values}


def _rows(path: Path) -> bytes:
    with contextlib.closing(sqlite3.connect(path)) as sql:
        tables = [name for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return b"\n".join(b"\n".join(_texts(sql.execute(f"SELECT * FROM {name}").fetchall())) for name in tables)


def _texts(value: Any) -> Iterator[bytes]:
    """Every string and every byte string in nested values."""
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
