"""What is read from an entry: one table of fields, from which both parsers of a format are built.

A RAW frame has one row per entry and one column per field, still in the store's own words. The quick parser (DuckDB,
`_table`) and the exact one (Python, `_exact`) fill the same frame, so everything after it exists once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping


class Field(NamedTuple):
    """One column: where it stands in the entry, and as what it is read.

    kind: text (anything, as text), texts (a list of it), int, bool, json (its JSON text), object (is there such an
    object, true or false), rows (how many objects of a list have a type).
    """

    path: tuple[str, ...]
    kind: str


_TYPES: Final = {
    "text": pl.String(), "texts": pl.List(pl.String), "int": pl.Int64(), "bool": pl.Boolean(), "json": pl.String(),
    "object": pl.Boolean(), "rows": pl.Int64(),
}  # fmt: skip


def raw_schema(fields: Mapping[str, Field]) -> pl.Schema:
    """The columns of the RAW frame of these fields."""
    return pl.Schema({name: _TYPES[field.kind] for name, field in fields.items()})


def guarded(fields: Mapping[str, Field]) -> tuple[str, ...]:
    """Every name whose value is read. A second one of them in an entry is how two parsers come to see two things."""
    return tuple(sorted({field.path[-1] for field in fields.values()}))
