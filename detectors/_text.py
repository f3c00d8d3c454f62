"""What a finding says: names made safe to show, and figures a person can compare."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import polars as pl

# Any name may be made to look like a credential, or hold one by mistake.
_CREDENTIAL: Final = (
    r"(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9]+)?"
    r"|eyJ[A-Za-z0-9_-]{8,}[A-Za-z0-9_.-]*"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\b[0-9a-fA-F]{40,}\b"
)
_UNSEEN: Final = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_LONGEST: Final = 160  # characters of one name


def shown(column: pl.Expr) -> pl.Expr:
    """A column of names with token-like parts, control characters and overlength taken out."""
    plain = column.str.replace_all(_CREDENTIAL, "…").str.replace_all(_UNSEEN, "�")
    return pl.when(plain.str.len_chars() > _LONGEST).then(plain.str.slice(0, _LONGEST) + "…").otherwise(plain)


def show(name: str | None) -> str:
    """`shown` for one name."""
    plain = re.sub(_UNSEEN, "�", re.sub(_CREDENTIAL, "…", name or ""))
    return plain[:_LONGEST] + "…" if len(plain) > _LONGEST else plain


def figure(value: float) -> str:
    """Three digits that mean something: 0.013, 6.1, 143."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def hour_of(at_us: int) -> str:
    """The place in the week, as profiles see it: `Tue 14h`."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%a %Hh")


def several(names: list[str], most: int = 3) -> str:
    """A short list in words: `a, b, c and 4 more`."""
    head = ", ".join(show(name) for name in names[:most])
    return f"{head} and {len(names) - most} more" if len(names) > most else head
