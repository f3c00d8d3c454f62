"""What in a line's text keeps the quick parser from being believed, whatever the format.

Two parsers that disagree on a line are a way to hide in it, so a line is believed only when the guarded names found in
its text are exactly those that the columns account for: a key given twice, written with escapes or blanks, of another
type than it should have, or standing where nobody looks, leaves a surplus. Suspicion costs time, never a result.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.decoders._fields import Field

# JSON escapes of what encoders write plainly: ASCII letters, digits, "-", ".", "_"; and NUL.
ESCAPES: Final = r"\\u00(?:00|2[deDE]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF])"
# What the quick parser takes for JSON and is none: a comma before a bracket, numbers that are none.
LAX: Final = r",[ \t\r]*[}\]]|[:,\[][ \t\r]*-?(?i:nan|inf(?:inity)?)[ \t\r]*[,}\]]"
MAX_OPEN: Final = 60  # brackets opened; more may mean nesting past the cap


def keys_of(names: Iterable[str]) -> str:
    """The pattern of these names where they are keys."""
    return r'"(?:' + "|".join(map(re.escape, names)) + r')"[ \t\r]*:'


def accounted(fields: Mapping[str, Field], keys: str) -> pl.Expr:
    """How many of the names that `keys` matches stand in the columns of a RAW row."""
    inside = (
        pl.col(name).str.count_matches(keys).fill_null(0) for name, field in fields.items() if field.kind == "json"
    )
    return pl.sum_horizontal(*(_present(name, field.kind) for name, field in fields.items()), *inside)


def _present(name: str, kind: str) -> pl.Expr:
    if kind == "rows":
        return pl.col(name).fill_null(0).cast(pl.UInt32)
    if kind == "object":
        return pl.col(name).cast(pl.UInt32)
    return pl.col(name).is_not_null().cast(pl.UInt32)
