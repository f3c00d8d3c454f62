"""Which of the quickly parsed lines may be believed, and which go to the exact parser: see `_guard`.

Beside what holds for every format, nothing may stand in clear.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.decoders._guard import ESCAPES, LAX, MAX_OPEN, accounted, keys_of
from pipeline.decoders._tokens import HASH, SUSPECT, VALUE
from pipeline.decoders.vault.fields import FIELDS, GUARDED, TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEYS: Final = keys_of(GUARDED)
_WRITTEN: Final = f"{ESCAPES}|{SUSPECT}|{LAX}"
# A string in `data` is a key, a device's hash or a time.
_HIDDEN: Final = rf'^(?:[^"]|"(?:{VALUE})"|"(?:[^"\\]|\\.)*"\s*:)*$'
_HEADERS: Final = (
    r'^\{{(?:,?"(?:{plain})":\[(?:,?"[^"\\]*")*\]|,?"[^"\\]*":\[(?:,?"hmac-sha256:[0-9a-f]{{64}}")*\])*\}}$'
)


class Headers:
    """Header objects that may be believed: every value hashed or under a plain name, none of `read` given twice."""

    def __init__(self, plain: Iterable[str], read: Iterable[str]) -> None:
        self._closed = _HEADERS.format(plain="|".join(map(re.escape, plain)))
        self._twice = "|".join(f'"{name}":.*"{name}":' for name in map(re.escape, read))

    def doubtful(self) -> pl.Expr:
        """Whether column request_headers has to be looked at."""
        text = pl.col("request_headers")
        return (~text.str.contains(self._closed) | text.str.contains(self._twice)).fill_null(value=False)


_ACCOUNTED: Final = accounted(FIELDS, _KEYS)


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
