"""Which of the quickly parsed lines may be believed, and which go to the exact parser.

Two parsers that disagree on a line are a way to hide in it, so a line is believed only when the guarded names found in
its text are exactly those that the columns account for: a key given twice, written with escapes or blanks, of another
type than it should have, or standing where nobody looks, leaves a surplus. Suspicion costs time, never a result.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.decoders.vault.fields import FIELDS, GUARDED, TOKENS
from pipeline.decoders.vault.tokens import HASH, SUSPECT, VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEYS: Final = r'"(?:' + "|".join(GUARDED) + r')"[ \t\r]*:'
# JSON escapes of what Go's encoder writes plainly: ASCII letters, digits, "-", ".", "_"; and NUL.
_ESCAPES: Final = r"\\u00(?:00|2[deDE]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF])"
# What the quick parser takes for JSON and is none: a comma before a bracket, numbers that are none.
_LAX: Final = r",[ \t\r]*[}\]]|[:,\[][ \t\r]*-?(?i:nan|inf)"
_WRITTEN: Final = f"{_ESCAPES}|{SUSPECT}|{_LAX}"
# A string in `data` is a key, a device's hash or a time.
_HIDDEN: Final = rf'^(?:[^"]|"(?:{VALUE})"|"(?:[^"\\]|\\.)*"\s*:)*$'
_HEADERS: Final = (
    r'^\{{(?:,?"(?:{plain})":\[(?:,?"[^"\\]*")*\]|,?"[^"\\]*":\[(?:,?"hmac-sha256:[0-9a-f]{{64}}")*\])*\}}$'
)
MAX_OPEN: Final = 60  # brackets opened in `data`; more may mean nesting past the cap


class Headers:
    """Header objects that may be believed: every value hashed or under a plain name, none of `read` given twice."""

    def __init__(self, plain: Iterable[str], read: Iterable[str]) -> None:
        self._closed = _HEADERS.format(plain="|".join(map(re.escape, plain)))
        self._twice = "|".join(f'"{name}":.*"{name}":' for name in map(re.escape, read))

    def doubtful(self) -> pl.Expr:
        """Whether column request_headers has to be looked at."""
        text = pl.col("request_headers")
        return (~text.str.contains(self._closed) | text.str.contains(self._twice)).fill_null(value=False)


def _present(name: str, kind: str) -> pl.Expr:
    if kind == "rows":
        return pl.col(name).fill_null(0).cast(pl.UInt32)
    if kind == "object":
        return pl.col(name).cast(pl.UInt32)
    return pl.col(name).is_not_null().cast(pl.UInt32)


def _inside(name: str) -> pl.Expr:
    return pl.col(name).str.count_matches(_KEYS).fill_null(0)


_ACCOUNTED: Final = pl.sum_horizontal(
    *(_present(name, field.kind) for name, field in FIELDS.items()),
    _inside("request_data"), _inside("response_data"), _inside("request_headers"),
)  # fmt: skip


def _clear_data(name: str) -> pl.Expr:
    data = pl.col(name)
    closed = data.str.contains(_HIDDEN) & (data.str.count_matches(r"[\[{]") <= MAX_OPEN)
    return ~closed.fill_null(value=True)


def _clear_token(name: str) -> pl.Expr:
    return ~pl.col(name).str.starts_with(HASH).fill_null(value=True)


def in_text(lines: pl.Series) -> pl.DataFrame:
    """What the text of each line has: how many guarded `names`, and whether it is `written` unusually."""
    text = pl.col(lines.name)
    return lines.to_frame().select(names=text.str.count_matches(_KEYS), written=text.str.contains(_WRITTEN))


def suspicious(text: pl.DataFrame, raw: pl.DataFrame, headers: Headers) -> pl.Series:
    """Per row of `raw` (parsed from the line that `text` is of): must the exact parser look at it?"""
    surplus = pl.lit(text["names"]) != _ACCOUNTED
    shown = [*map(_clear_token, TOKENS), _clear_data("request_data"), _clear_data("response_data"), headers.doubtful()]
    odd = pl.any_horizontal(surplus, pl.lit(text["written"]), *shown)
    return raw.select(odd.fill_null(value=True).alias("odd")).to_series()
