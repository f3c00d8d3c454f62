"""From what was asked for and the verb to the one vocabulary of operations (SOURCES section 3), per distinct row."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.decoders._cluster import Asked

KEY: Final = ("verb", "ref_resource", "ref_group", "ref_part", "named")

_VERB: Final = pl.col("verb").fill_null("").str.to_lowercase()
_RESOURCE: Final = pl.col("ref_resource").fill_null("")
_PART: Final = pl.col("ref_part").fill_null("")
_CORE: Final = pl.col("ref_group").fill_null("") == ""
SECRETS: Final = (_RESOURCE == "secrets") & _CORE


def operation() -> pl.Expr:
    """schema.OPERATIONS_VOCABULARY of rows that have the columns of KEY."""
    return Asked(
        verb=_VERB,
        resource=_RESOURCE,
        part=_PART,
        secrets=SECRETS,
        named=pl.col("named") == "true",
        issued=(_RESOURCE == "serviceaccounts") & (_PART == "token"),
    ).operation()
