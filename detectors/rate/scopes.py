"""Operations of a window by principal and by secret: how many, whom each belongs with, what they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._groups import places
from detectors._memory import Keys, joined, keys_of, keys_of_few, keys_of_texts
from detectors._people import People, number_of
from detectors._usual import Bools, Floats, common_mode
from pipeline.core.coded import coded

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.coded import Coded
    from pipeline.core.model import Ints, Window

SCOPES: Final = ("principal", "secret")


@dataclass(frozen=True, slots=True)
class Keyed:
    """Counts of one scope with their keys: row i of every array is row i of `counts`."""

    counts: pl.DataFrame  # key, n
    at: Ints  # the key's place among the texts of the window's column
    keys: Keys
    kinds: Keys
    folders: Callable[[], tuple[Keys, Keys]]  # whom each belongs with, and where it is: only who judges asks

    @property
    def n(self) -> Floats:
        """The counts."""
        return self.counts["n"].to_numpy().astype(np.float64)


def counted(scope: str, window: Window) -> Keyed:
    """One row per principal or secret, in the order of names."""
    return _principals(window) if scope == "principal" else _secrets(coded(window, "secret"), window)


def _principals(window: Window) -> Keyed:
    people = People.of(window)
    each = people.each(people.rows, n=lambda of: of.sum(people.rows["n"].to_numpy()))
    counts = each.frame.select(pl.col("principal").alias("key"), "n")
    return Keyed(counts, people.places, each.keys, each.kinds, lambda: (each.cohorts, _last_places(people)))


def _last_places(people: People) -> Keys:
    """Of each principal the folder of its last secret in the order of names."""
    secrets = people.coded["secret"]
    ranks = np.append(secrets.ranks.astype(np.int64), -1)[people.rows[number_of("secret")].to_numpy().astype(np.int32)]
    last = np.append(secrets.order, -1)[people.groups.most(ranks)]
    keys: Keys = np.append(keys_of_few(places(secrets.names, 2)), keys_of(_NAMELESS))[last]
    return keys


def _secrets(secrets: Coded, window: Window) -> Keyed:
    named = secrets.order[(secrets.names.str.len_bytes() > 0).to_numpy()[secrets.order]]
    n = np.bincount(secrets.codes + 1, window.operations["n"].to_numpy(), len(secrets.texts) + 1).astype(np.int64)[1:]
    counts = pl.DataFrame([secrets.names[named.astype(np.uint32)].rename("key"), pl.Series("n", n[named])])
    names, kinds = counts["key"], np.repeat(keys_of(_SECRET), len(named))
    folders = lambda: (keys_of_few(places(names, 1)), keys_of_few(places(names, 2)))  # noqa: E731
    return Keyed(counts, named, keys_of_texts(secrets.texts)[named], kinds, folders)


_SECRET: Final = pl.Series(["secret"])
_NAMELESS: Final = pl.Series([""])


def shared(keyed: Keyed, n: Floats, mean: Floats, trusted: Bools) -> Floats:
    """The jump shared with the cohort, or with those who mostly use the same folder, whichever is larger."""
    jump = (n + 1) / (mean + 1)
    factor = np.ones(len(n))
    for tag, names in enumerate(keyed.folders()):
        groups = joined(tag, names)
        shared = common_mode(groups[trusted], jump[trusted])
        distinct, first = np.unique(groups[trusted], return_index=True)
        at = np.minimum(np.searchsorted(distinct, groups), max(len(distinct) - 1, 0))
        if len(distinct):
            factor = np.maximum(factor, np.where(distinct[at] == groups, shared[first][at], 1.0))
    return factor
