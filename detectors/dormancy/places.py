"""From which wider networks a principal came, as marks; and how often those of its kind are in none of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from detectors._groups import networks
from detectors._memory import Keys, Table, keys_of
from detectors._people import People, number_of
from detectors.dormancy.news import News

if TYPE_CHECKING:
    from detectors._people import Groups
    from detectors._usual import Bools, Floats
    from detectors.dormancy.rhythm import Present
    from pipeline.core.model import Frames, Window

_MARKS: Final = 48  # as many as a float holds; networks that share one are taken for one


def marks(people: People, groups: Groups) -> Keys:
    """Of each principal the marks of the networks its rows came from; none where the log tells no address."""
    zones = people.coded["zone"]
    each = np.uint64(1) << keys_of(networks(zones.names)) % np.uint64(_MARKS)
    each[(zones.names == "").to_numpy()] = 0
    none = len(each)  # of rows without a zone
    rows = np.minimum(groups.rows[number_of("zone")].to_numpy(), none)
    return np.bitwise_or.reduceat(np.append(each, np.uint64(0))[rows], groups.begins)


class Places:
    """Per principal its marks: 24 bytes. Past `limit` those not seen for longest go."""

    def __init__(self, limit: int) -> None:
        self._who = Table(1, limit)
        self._moves = News("places")

    def strange(self, present: Present, at_us: int) -> Bools:
        """Who is in no network that it was ever in, of those who were in one before."""
        own = self._own(present, at_us)
        strange: Bools = (present.marks > 0) & (own > 0) & (own & present.marks == 0)
        return strange

    def weight(self, kinds: Keys, at_us: int) -> Floats:
        """Surprise (-log10) of that, for one of each kind."""
        return self._moves.weight(kinds, at_us)

    def learn(self, present: Present, back: Bools, window: Window) -> None:
        """Add a closed window, but nothing of those that have just come `back`: they may be somebody else."""
        here, at_us = np.flatnonzero((present.marks > 0) & ~back), window.start_us
        if not len(here):
            return
        own = self._own(present, at_us)
        if self._moves.asks(window):
            known = here[own[here] > 0]
            self._moves.learn(present.kinds[known], (own & present.marks == 0)[known], at_us)
        self._who.put(present.keys[here], (own | present.marks)[here].astype(np.float64)[:, None], at_us)

    def _own(self, present: Present, at_us: int) -> Keys:
        return self._who.get(present.keys, at_us)[:, 0].astype(np.uint64)

    def snapshot(self) -> Frames:
        """Frames places.who and places."""
        return {"places.who": self._who.snapshot(), **self._moves.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot, maybe one from before there was this memory."""
        if "places.who" in frames:
            self._who.restore(frames["places.who"])
        self._moves.restore(frames)
