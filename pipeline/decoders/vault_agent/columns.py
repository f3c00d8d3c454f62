"""RAW rows, whoever parsed them, to DECODED rows: a look into the cache is an operation, all else an event alone."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.core.schema import CACHE, CACHE_HIT, CACHE_MISS, DECODED, conform
from pipeline.decoders._expressions import first

_HIT: Final = pl.col("message") == "returning cached response"
_MISS: Final = pl.col("message") == "forwarding request from cache"
_LOOKUP: Final = _HIT | _MISS
_PATH: Final = pl.col("path").str.replace("^/+v1/", "")
_BAD: Final = pl.col("level") == "error"
_SAID: Final = pl.concat_str("message", pl.col("error").replace("", None), separator=": ", ignore_nulls=True)

_COLUMNS: Final[dict[str, pl.Expr]] = {
    "store": pl.lit(CACHE),
    "phase": pl.lit("single"),
    "operation": pl.lit("other"),
    "discloses_value": pl.lit(value=False),
    "api_operation": first((_HIT, CACHE_HIT), (_MISS, CACHE_MISS), otherwise=pl.col("module")),
    "namespace": pl.lit(""),
    # An engine's own path is not told: its first part stands for it.
    "mount": pl.when(_LOOKUP).then(_PATH.str.extract(r"^((?:auth/)?[^/]+)/", 1) + "/").fill_null(""),
    "secret": pl.lit(""),
    "outcome": first((_BAD, "failure"), otherwise="success"),
    "error": pl.when(_BAD).then(_SAID),
    "path": _PATH,
    "forwarded": pl.lit(value=False),
    "probe": ~_LOOKUP,
    "clear": pl.col("shown"),
}


def columns(raw: pl.DataFrame) -> pl.DataFrame:
    """DECODED rows in the order of `raw`, `piece` left null. `raw` has columns `moment` and `shown` more."""
    return conform(raw.select(**_COLUMNS), DECODED)
