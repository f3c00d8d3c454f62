"""What a user agent says of itself: what is compared, and what is shown of it."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from detectors._text import show

# An update, or another build of one commit, is no other program.
_VERSIONS: Final = r"[0-9][0-9A-Za-z._+\-]*|\b[0-9a-f]{7,}\b"
_LONGEST: Final = 200
_PRODUCT: Final = re.compile(r"\b([A-Za-z][A-Za-z0-9_.-]{0,30}/[0-9][0-9.]{0,14})(?![0-9A-Za-z])")
_SHOWN: Final = 3

PROGRAM: Final = pl.col("user_agent").str.slice(0, _LONGEST).str.replace_all(_VERSIONS, "")


def shown(user_agent: str) -> str:
    """Its products with their versions; other words of it are anybody's, and stay unsaid."""
    if not user_agent:
        return "a program that gives no name"
    products = _PRODUCT.findall(user_agent[:_LONGEST])[:_SHOWN]
    return show(" ".join(products)) if products else "a program of another name"
