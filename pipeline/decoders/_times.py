"""Times of entries as they are written, as columns."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.decoders._exact import EARLIEST, LATEST

# Polars also reads "2026-3-1T8:0:0Z" and the like, which is no time of RFC 3339.
_SHAPE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z$"


def moment(text: pl.Expr) -> pl.Expr:
    """The time that an RFC 3339 text in UTC (`Z`) gives, to the microsecond; null for every other text."""
    read = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False)
    return pl.when(text.str.contains(_SHAPE) & read.is_between(EARLIEST, LATEST, closed="left")).then(read)
