"""People's own networks: most people come to have one, and hardly anybody is in it and elsewhere at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from detectors._memory import Keys, Table, joined
from detectors.source_novelty.zones import COMMON, SECOND, Visits, Zones

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames, Ints

_MOVES, _AT_ONCE, _HOME, _HOMES, _HOMELESS = range(5)
_FEW_MOVES: Final = 10.0  # added to a kind's, so that the first few do not say how moves are
_FEW_WINDOWS: Final = 50.0
_USUAL: Final = 3.0  # people of a kind who came to one, before it is what people do


class Homes:
    """Who was in a wider network of his own (24 bytes each), and how often people come to the first."""

    def __init__(self, limit: int) -> None:
        self._tally = Table(1, limit)

    def first(self, visits: Visits, rows: Ints) -> Floats:
        """How often in a window people who never were in a wider network of their own come to one.

        0 for others, and while hardly anybody did.
        """
        kind = visits.kind[rows]
        homes = self._get(_HOMES, kind)
        rate = (homes + 0.5) / (self._get(_HOMELESS, kind) + _FEW_WINDOWS)
        return np.where(self._homeless(visits, rows) & (homes >= _USUAL), np.minimum(rate, 1.0), 0.0)

    def hurried(self, visits: Visits, rows: Ints, known: Bools) -> Floats:
        """Surprise of people who are in a new network and in one they know at once; 0 for others."""
        kind = visits.kind[rows]
        chance = (self._get(_AT_ONCE, kind) + 0.5) / (self._get(_MOVES, kind) + _FEW_MOVES)
        return np.where(_at_once(visits, rows, known), -np.log10(np.minimum(chance, 1.0)), 0.0)

    def learn(self, visits: Visits, zones: Zones, known: Bools, learned: tuple[Bools, Ints], at_us: int) -> None:
        """Add a closed window, before `zones` learns it.

        `known` are the pairs met before; `learned` those that are learned as new, and the moves of somebody's own.
        Nothing is learned before it is known which wider networks there are: at first nobody's is anybody's.
        """
        if not zones.sites_known(at_us):
            return
        pairs, alone = np.flatnonzero(learned[0]), learned[1][learned[0][learned[1]]]
        rare = alone[zones.shares(visits)[alone] < COMMON]
        self._add(at_us, _MOVES, visits.kind[rare])
        self._add(at_us, _AT_ONCE, visits.kind[rare[_at_once(visits, rare, known)]])
        self._add(at_us, _HOMELESS, visits.kind[visits.first[self._homeless(visits, visits.first)]])
        own = pairs[~zones.frequented(visits, pairs) & self._homeless(visits, pairs)]
        who, first = np.unique(visits.principal[own], return_index=True)
        self._add(at_us, _HOMES, visits.kind[own[first]])
        self._add(at_us, _HOME, who)

    def _homeless(self, visits: Visits, rows: Ints) -> Bools:
        """Which of these pairs are of a person that never was in a wider network that few people use."""
        return _people(visits, rows) & ~self._tally.knows(joined(_HOME, visits.principal[rows]))

    def _get(self, tag: int, keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, keys), 0)[:, 0])

    def _add(self, at_us: int, tag: int, keys: Keys) -> None:
        self._tally.add(joined(tag, keys), np.ones((len(keys), 1)), at_us)

    def snapshot(self) -> Frames:
        """One table."""
        return {"homes": self._tally.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nobody's home known."""
        if "homes" in frames:
            self._tally.restore(frames["homes"])


def no_stranger(strange: Floats, first: Floats) -> Floats:
    """`strange`, the surprise of a wider network; where it is somebody's `first` (see Homes), no more than that is."""
    return np.where(first > 0, np.minimum(strange, SECOND - np.log10(np.maximum(first, 1e-300))), strange)


def _people(visits: Visits, rows: Ints) -> Bools:
    people: Bools = (visits.frame["kind"] == "human").to_numpy()[rows]
    return people


def _at_once(visits: Visits, rows: Ints, known: Bools) -> Bools:
    """Which of these pairs are of a person that is in a network it knows in this window, too."""
    return np.isin(visits.principal[rows], visits.principal[known]) & _people(visits, rows)
