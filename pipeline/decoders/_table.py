"""The fast parser: newline-delimited JSON in memory to the RAW frame, by DuckDB's reader.

A line that is not one JSON object gives a row of nulls, so rows and lines stay aligned; blank lines give no row.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any, Final

import duckdb
import polars as pl

from pipeline.core.owned import owned
from pipeline.decoders._fields import raw_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.core.model import Bytes
    from pipeline.decoders._fields import Field

_SETTINGS: Final = {
    "memory_limit": "400MB",
    "temp_directory": "",
    "preserve_insertion_order": "true",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_file_cache": "false",
    "produce_arrow_string_view": "true",
    "arrow_output_version": "1.4",
}
_LEAVES: Final = {
    "text": "VARCHAR", "texts": "VARCHAR[]", "int": "JSON", "bool": "JSON", "json": "JSON",
    "rows": "STRUCT(type VARCHAR)[]",
}  # fmt: skip
MAX_OBJECT: Final = 16 << 20


def _tree(fields: Mapping[str, Field]) -> dict[str, Any]:
    """The fields as nested dicts of DuckDB types."""
    tree: dict[str, Any] = {}
    for field in fields.values():
        node = tree
        for name in field.path[:-1]:
            node = node.setdefault(name, {})
        if field.kind == "object":
            node.setdefault(field.path[-1], {})
        else:
            node[field.path[-1]] = _LEAVES[field.kind]
    return tree


def _type(node: str | Mapping[str, Any]) -> str:
    if isinstance(node, str):
        return node
    return "STRUCT(" + ", ".join(f'"{name}" {_type(child)}' for name, child in node.items()) + ")"


def _query(path: str, fields: Mapping[str, Field]) -> str:
    columns = ", ".join(f"'{name}': '{_type(node)}'" for name, node in _tree(fields).items())
    return (
        f"SELECT * FROM read_json('{path}', format='newline_delimited', columns={{{columns}}}, "  # noqa: S608
        f"ignore_errors=true, maximum_object_size={MAX_OBJECT}, auto_detect=false, compression='uncompressed')"
    )


# The reader would make a number of "12" and a truth of 0 or "f": as JSON, only what is one is read as one.
_READ: Final[dict[str, Callable[[pl.Expr], pl.Expr]]] = {
    "object": lambda value: value.is_not_null(),
    "rows": lambda value: value.list.eval(pl.element().struct.field("type").is_not_null()).list.sum(),
    "int": lambda value: value.cast(pl.Int64, strict=False),
    "bool": lambda value: value.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean),
}


def _column(field: Field) -> pl.Expr:
    """A field out of the nested columns that the reader gives."""
    value = pl.col(field.path[0])
    for name in field.path[1:]:
        value = value.struct.field(name)
    return _READ[field.kind](value) if field.kind in _READ else value


class Table:
    """One connection and one anonymous file, used again for every batch. For one thread at a time."""

    def __init__(self, fields: Mapping[str, Field], threads: int) -> None:
        schema = raw_schema(fields)
        self._flat = [_column(field).cast(schema[name]).alias(name) for name, field in fields.items()]
        self._connection = duckdb.connect(config={**_SETTINGS, "threads": threads})
        self._connection.execute("SET enable_progress_bar = false")  # it is drawn on stdout
        self._file, path = _anonymous()
        self._query = _query(path, fields)

    def read(self, texts: Sequence[Bytes]) -> pl.DataFrame:
        """RAW rows of the lines in `texts` (UTF-8, ended by LF), one per line that is not blank.

        Raises duckdb.Error when the reader itself fails.
        """
        _write(self._file, texts)
        table = self._connection.sql(self._query).to_arrow_table()
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table gives a frame
        return owned(frame.select(self._flat))  # or one value that is kept would keep all columns of its rows


def _anonymous() -> tuple[int, str]:
    """A file without a name, and the path under which this process can open it again."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("keytrail-decode", os.MFD_CLOEXEC)
        return descriptor, f"/proc/self/fd/{descriptor}"
    descriptor, path = tempfile.mkstemp(prefix="keytrail-decode-")  # mode 0600
    return descriptor, path


def _write(descriptor: int, texts: Sequence[Bytes]) -> None:
    end = 0
    for text in texts:
        rest = text.data
        while len(rest):
            done = os.pwrite(descriptor, rest, end)
            rest, end = rest[done:], end + done
    os.ftruncate(descriptor, end)
