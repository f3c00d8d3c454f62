"""What columns of several formats are made with."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.decoders._exact import EARLIEST, LATEST

# Polars also reads "2026-3-1T8:0:0Z" and the like, which is no time of RFC 3339.
_SHAPE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z$"

# A role that AWS Identity Center keeps for people: it names the session after the person, and lets in nobody else.
_PERSON: Final = r"^arn:[^:]*:sts::\d*:assumed-role/AWSReservedSSO_[^/]+/(.+)$"


def moment(text: pl.Expr) -> pl.Expr:
    """The time that an RFC 3339 text in UTC (`Z`) gives, to the microsecond; null for every other text."""
    read = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False)
    return pl.when(text.str.contains(_SHAPE) & read.is_between(EARLIEST, LATEST, closed="left")).then(read)


def first(*cases: tuple[pl.Expr, pl.Expr | str], otherwise: pl.Expr | str) -> pl.Expr:
    """The value of the first case that holds; a text stands for itself."""
    result = _value(otherwise)
    for condition, value in reversed(cases):
        result = pl.when(condition).then(_value(value)).otherwise(result)
    return result


def _value(value: pl.Expr | str) -> pl.Expr:
    return pl.lit(value) if isinstance(value, str) else value


def person(arn: pl.Expr) -> pl.Expr:
    """Whose session a role's is where the role is one for people of AWS Identity Center; null for every other ARN."""
    return arn.str.extract(_PERSON)
