"""Programs that nobody has met, from a network where none of their kind ever was: a door that somebody made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Table, joined, unique
from detectors._text import several, show
from detectors._window import Found, known_since, seen_in, values_in
from detectors.source_novelty.zones import SECOND
from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from detectors._usual import Floats
    from detectors.source_novelty.zones import Visits, Zones
    from pipeline.core.model import Frames, Ints, Window

_SITE, _KIND, _OUT = range(3)
_OUTSIDE: Final = 1.5  # on the surprise of an address of the internet where none of the kind ever had one
_NEW_US: Final = 2 * HOUR_US  # met before that, it is no newcomer
_YOUNG: Final = 1  # windows in which somebody may have been seen and still be a newcomer: a log-in alone takes nothing
_BORROWED: Final = 50.0  # windows' worth of belief that somebody new may come from anywhere


class Arrivals:
    """Where newcomers read first, by wider network, and how often such a place was new to their kind."""

    def __init__(self, limit: int, movers: int) -> None:
        self._tally = Table(1, limit)
        self._movers = movers

    def seen(self, visits: Visits, zones: Zones, window: Window) -> Ints:
        """The pairs of newcomers where neither their kind was nor an earlier newcomer read.

        None in a look: who else comes shows when the hour is over.
        """
        if window.looked_us is not None or not zones.sites_known(window.start_us):
            return np.empty(0, np.int64)
        rows = np.flatnonzero((visits.frame["kind"] != "human").to_numpy())
        rows = rows[zones.windows(visits, rows) <= _YOUNG]
        rows = rows[zones.foreign(visits, rows)]
        rows = rows[~self._tally.knows(joined(_SITE, visits.wide[rows]))]
        return rows[~known_since(window, visits.frame[rows].select("principal"), window.start_us - _NEW_US)]

    def inspect(
        self, visits: Visits, came: Ints, zones: Zones, window: Window, threshold: float
    ) -> tuple[list[Found], list[float]]:
        """What is told of pairs that were `seen` and read, and every surprise, each principal's largest."""
        pairs = visits.frame[came].with_columns(surprise=pl.Series(self._surprise(visits, came, zones)))
        each = pairs.filter(pl.col("surprise") > 0).sort(
            "principal", "surprise", "zone", descending=[False, True, False]
        )
        each = each.unique("principal", keep="first", maintain_order=True)
        found = [
            _found(one, window.operations.filter(principal=one["principal"], zone=one["zone"]))
            for one in each.filter(pl.col("surprise") >= threshold).iter_rows(named=True)
        ]
        return found, each["surprise"].to_list()

    def _surprise(self, visits: Visits, rows: Ints, zones: Zones) -> Floats:
        """Of each of these pairs; 0 where several come together, which is a new site."""
        each = np.unique(joined(0, visits.principal[rows], visits.wide[rows]), return_index=True)[1]
        places, count = np.unique(visits.wide[rows][each], return_counts=True)
        at = np.searchsorted(places, visits.wide[rows])
        before = self._tally.get(joined(_KIND, visits.kind[rows]), 0)[:, 0]
        outside = visits.outside[rows] & ~self._tally.knows(joined(_OUT, visits.kind[rows]))
        chance = (before + 0.5) / (zones.windows_of_kind(visits, rows) + _BORROWED)
        surprise = SECOND - np.log10(np.minimum(chance, 1.0)) + _OUTSIDE * outside
        return np.where(count[at] < self._movers, surprise, 0.0)

    def learn(self, visits: Visits, came: Ints, zones: Zones, at_us: int) -> None:
        """Add those that read in a closed window, and which kinds have addresses of the internet."""
        out = np.flatnonzero(visits.outside)
        kinds = unique(joined(_OUT, visits.kind[out[zones.windows(visits, out) > _YOUNG]]))
        self._tally.put(kinds, np.ones((len(kinds), 1)), at_us)
        first = came[np.unique(visits.wide[came], return_index=True)[1]]
        for tag, keys in ((_SITE, visits.wide), (_KIND, visits.kind)):
            self._tally.add(joined(tag, keys[first]), np.ones((len(first), 1)), at_us)

    def snapshot(self) -> Frames:
        """The tally."""
        return {"arrivals": self._tally.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot, maybe one from before newcomers were remembered."""
        if "arrivals" in frames:
            self._tally.restore(frames["arrivals"])


def _found(one: dict[str, Any], rows: pl.DataFrame) -> Found:
    who, values = one["principal"], values_in(rows)
    places = several(rows["client_ip"].drop_nulls().unique().sort().to_list())
    read = "a value" if values == 1 else f"{values} values"
    return Found(
        key=who,
        cause="newcomer_from_afar",
        title="Never met before, and from where none of its kind was",
        severity="medium",
        confidence=0.6,
        score=_tails.score(one["surprise"]),
        message=f"{show(who)} was never met before and read {read} from {places}, a network where no program that logs"
        " in as it does ever was.",
        observed=f"its first hours, from {show(one['zone'])}",
        expected="newcomers where others of their kind are",
        next_step="See who made its role or account (view operations, operation policy) and ask for the ticket. If"
        " there is none: delete it, revoke its tokens and its maker's, and rotate what it read.",
        principal=who,
        **seen_in(rows),
    )
