"""Who belongs together by name alone: cohorts of principals, folders of secrets."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._remembered import FEW, Remembered
from detectors._texts import Texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectors._runs import Bools


@cache  # here and elsewhere: an expression costs more to make than to ask of a few rows
def cohort(name: str = "principal") -> pl.Expr:
    """Those a principal belongs with: its auth mount, Kubernetes namespace, account or mail domain."""
    column = pl.col(name)
    above = column.str.replace(r"[/:][^/:]*$", "")  # the pattern with a group in it takes five times as long
    placed = pl.when((above != column) & ~above.str.contains("\n", literal=True)).then(above)
    return pl.coalesce(placed, column.str.extract(r"(@.*)$", 1), pl.lit(""))


@cache
def place(name: str = "secret", depth: int = 2) -> pl.Expr:
    """The first `depth` folders a secret lies in, mount included; the mount for one that lies directly in it."""
    return pl.coalesce(pl.col(name).str.extract(rf"^((?:[^/]*/){{1,{depth}}})", 1), pl.lit(""))


class _Pattern:
    """What an expression over the column `name` makes of each name: of many at once what `cut` makes of their bytes.

    Where `cut` finds nothing in a name, the expression is asked.
    """

    def __init__(self, expression: pl.Expr, cut: Callable[[Texts], tuple[Texts, Bools]]) -> None:
        self._expression, self._cut = expression, cut
        self._remembered = Remembered(lambda names: self._worked_out(names).to_list())

    def of(self, names: pl.Series) -> pl.Series:
        """Row by row."""
        if len(names) > FEW:
            return self._of_many(names)
        return pl.Series(names.name, self._remembered.of(names.to_list()), dtype=pl.String)

    def _worked_out(self, names: pl.Series) -> pl.Series:
        told = names.to_frame("name").lazy().select(self._expression).collect()  # works common parts out once
        return told.to_series().alias(names.name)

    def _of_many(self, names: pl.Series) -> pl.Series:
        texts = Texts.of((names.fill_null("") if names.has_nulls() else names).rechunk().to_arrow())
        if (texts.data == ord("\n")).any():
            return self._worked_out(names)
        cut, found = self._cut(texts)
        told = cut.series()
        if not found.all():
            other = np.flatnonzero(~found)
            told = told.scatter(other, self._worked_out(names.gather(other)))
        return told.alias(names.name)


_SITE: Final = r"^(\d+\.\d+\.)\d+\.\d+/24$"
# RFC 1918, 6598, 3927, 4193 and 4291: addresses that are no one's on the internet.
_INSIDE: Final = (
    r"(?i)^(?:10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|"
    r"::1?(?:/|$)|fe[89ab][0-9a-f]:|f[cd][0-9a-f]{2}:)"
)
_ADDRESS: Final = r"^(?:\d+\.\d+\.|[0-9A-Fa-f]*:)"
_COHORTS: Final = _Pattern(cohort("name"), Texts.above)


@cache
def _folders(depth: int) -> _Pattern:
    return _Pattern(place("name", depth), lambda texts: (texts.folders(depth), np.ones(len(texts.sizes), np.bool_)))


def cohorts(principals: pl.Series) -> pl.Series:
    """`cohort` of each."""
    return _COHORTS.of(principals)


def methods(principals: pl.Series) -> pl.Series:
    """The auth mount that each is named after, with its slash; empty where a name has none."""
    return _folders(1).of(principals)


def places(secrets: pl.Series, depth: int = 2) -> pl.Series:
    """`place` of each."""
    return _folders(depth).of(secrets)


def networks(zones: pl.Series) -> pl.Series:
    """The network of a cluster or a site around each zone, the /16 of an IPv4 address; others are their own."""
    return zones.to_frame("zone").select(pl.coalesce(pl.col("zone").str.extract(_SITE, 1), "zone")).to_series()


def of_the_internet(zones: pl.Series) -> pl.Series:
    """Which zones are of addresses of the internet; a network that has a name is the operator's own."""
    return zones.str.contains(_ADDRESS) & ~zones.str.contains(_INSIDE)
