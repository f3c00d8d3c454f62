"""Building FINDING rows: a detector states what it saw, this fills what never varies and makes the uid."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import polars as pl

from pipeline.core.schema import FINDING, conform, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import DetectorInfo


def uid_of(*parts: str) -> str:
    """32 hexadecimal digits that depend on `parts` alone. Not for the hot path."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
    return digest.hexdigest()


def build(info: DetectorInfo, rows: pl.DataFrame, *, identity: Sequence[str]) -> pl.DataFrame:
    """FINDING rows from what a detector saw.

    `rows` holds at least time, severity, confidence, score, message, observed, expected, evidence. `identity` names
    its columns that make a finding the same one when it is found again (never a score or a text): with the
    detector's name and version they give the uid. title, cause, techniques and family default to the detector's.
    """
    if rows.is_empty():
        return empty(FINDING)
    keys = rows.select(pl.col(name).cast(pl.String).fill_null("") for name in identity).rows()
    filled = rows.with_columns(
        pl.Series("uid", [uid_of(info.name, info.version, *key) for key in keys], dtype=pl.String),
        detector=pl.lit(info.name),
        detector_version=pl.lit(info.version),
    )
    defaults = {
        "title": pl.lit(info.title),
        "cause": pl.lit(info.name),
        "family": pl.lit(info.family),
        "techniques": pl.lit(list(info.techniques), dtype=pl.List(pl.String)),
    }
    missing = {name: value for name, value in defaults.items() if name not in filled.columns}
    return conform(filled.with_columns(**missing), FINDING)
