"""Versions of several secrets, a few at a time: whoever rolls back looks for one; nobody of its kind reads so many.

Of people only: programs read the versions they are pinned to, all of them when they start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._budget import Budget
from detectors._memory import Table, joined, keys_of
from detectors._people import People
from detectors._runs import begins
from detectors._since import Since
from detectors._text import figure, show
from detectors._window import OLD_VERSION, Found, seen_in, ways
from detectors.rate.versions import NEXT
from pipeline.core.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from detectors._leaky import Enough
    from detectors._memory import Keys
    from detectors._usual import Floats
    from pipeline.core.model import Frames, Window

_LATE_US: Final = 3.0 * DAY_US  # half-life of what counts as of late
_LONG_US: Final = 30.0 * DAY_US  # and of what people do
_AGAIN_US: Final = 7 * DAY_US  # for so long the same secret of the same person counts once
_TOGETHER: Final = 4  # people with several in one hour are an incident that they all work on
_PEOPLE: Final = np.zeros(1, dtype=np.uint64)
_READ: Final = OLD_VERSION & (pl.col("outcome") == "success")


class Most:
    """The two that had the most, of all that were learned; halved every 30 days."""

    def __init__(self) -> None:
        self._keys, self._values, self._at_us = np.empty(0, np.uint64), np.empty(0), 0

    def of_others(self, keys: Keys, at_us: int) -> Floats:
        """The most that somebody else had, for each of `keys`."""
        first, second = np.append(self._at(at_us), [0.0, 0.0])[:2]
        its_own = keys == self._keys[0] if len(self._keys) else False
        return np.where(its_own, second, np.full(len(keys), first))

    def learn(self, keys: Keys, values: Floats, at_us: int) -> None:
        """Add what distinct `keys` had."""
        keys, values = np.append(self._keys, keys), np.append(self._at(at_us), values)
        order = np.lexsort((keys, -values))
        _, first = np.unique(keys[order], return_index=True)
        order = order[np.sort(first)][:2]
        self._keys, self._values, self._at_us = keys[order], values[order], at_us

    def _at(self, at_us: int) -> Floats:
        return np.asarray(self._values * np.exp2(-max(at_us - self._at_us, 0) / _LONG_US))

    def snapshot(self) -> pl.DataFrame:
        """Columns key, value, at_us."""
        return pl.DataFrame({"key": self._keys.copy(), "value": self._values.copy()}).with_columns(at_us=self._at_us)

    def restore(self, frame: pl.DataFrame) -> None:
        """Continue from a snapshot."""
        self._keys = frame["key"].to_numpy().astype(np.uint64)
        self._values = frame["value"].to_numpy().astype(np.float64)
        self._at_us = int(frame["at_us"][0]) if len(frame) else 0


class Trawl:
    """Per person the secrets read by version of late (half-life three days), and which; and the most others had.

    24 bytes for each person with any, 24 more once told of, 24 for each pair of person and secret.
    """

    def __init__(self, enough: Enough, keys: int) -> None:
        self._enough = enough
        self._late, self._told = Table(1, keys, _LATE_US), Table(1, keys, _LONG_US)
        self._pairs = Table(1, keys)
        self._most = Most()  # of late, of those never told of
        self._watched = Table(1, 1, _LONG_US)  # hours of people
        self._since = Since()
        self._budget = Budget(-float(np.log10(enough.p)), enough.per_day)

    def inspect(self, window: Window) -> list[Found]:
        """Judge a window."""
        people, at_us, enough = People.of(window), window.start_us, self._enough
        type_ = people.kinds.index_of("human")
        if type_ is None:
            return []
        keys, names, pairs, new = self._new(people, type_, at_us)
        late = self._late.get(keys, at_us)[:, 0] + new
        loud = (late >= enough.least) & (new > 0) & ((new > 1).sum() < _TOGETHER)
        most, told = self._most.of_others(keys, at_us), self._told.get(keys, at_us)[:, 0]
        loud &= late > enough.above_peak * np.maximum(most, told)
        loud &= self._since.age_us(at_us) >= enough.settle_hours * HOUR_US
        watched = self._watched.get(_PEOPLE, at_us)
        surprise = np.where(loud, np.log10(watched[0, 0] + 1), 0.0)  # of so many hours none had as much
        odd = surprise >= self._budget.threshold(at_us)
        found = [
            _told(names[i], float(late[i]), (float(most[i]), float(surprise[i])), window)
            for i in np.flatnonzero(odd).tolist()
        ]
        if window.closed:
            self._since.begin(at_us)
            here = len(begins(people.rows.filter(pl.col("type") == type_)["who"].to_numpy()))
            self._watched.put(_PEOPLE, watched + here, at_us)
            fair = ~odd & (told == 0)
            self._most.learn(keys[fair], late[fair], at_us)
            self._late.put(keys, late[:, None], at_us)
            self._told.put(keys[odd], late[odd][:, None], at_us)
            self._pairs.put(pairs, np.ones((len(pairs), 1)), at_us)
            self._budget.note(at_us, surprise[loud].tolist())
        return found

    def _new(self, people: People, type_: int, at_us: int) -> tuple[Keys, list[str], Keys, Floats]:
        """Who read by version, by key and name; the pairs with a secret; how many of each person's are new of late."""
        rows = people.rows.filter((pl.col("type") == type_) & _READ)
        each = rows.unique(["who", "namespace", "secret"]).sort("who", "namespace", "secret")
        who = each["who"].to_numpy()
        pairs = joined(0, people.keys[who], keys_of(each["namespace"]), keys_of(each["secret"]))
        fresh = at_us - self._pairs.seen(pairs) > _AGAIN_US
        distinct, place = np.unique(who, return_inverse=True)
        new = np.bincount(place[fresh], minlength=len(distinct)).astype(np.float64)
        return people.keys[distinct], people.names.gather(distinct).to_list(), pairs, new

    def snapshot(self) -> Frames:
        """Five tables under `trawl`, since when, and the budget."""
        return {
            "trawl.late": self._late.snapshot(), "trawl.told": self._told.snapshot(),
            "trawl.pairs": self._pairs.snapshot(), "trawl.most": self._most.snapshot(),
            "trawl.watched": self._watched.snapshot(), "trawl.age": self._since.snapshot(),
            **self._budget.snapshot("trawl."),
        }  # fmt: skip

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if "trawl.late" not in frames:
            return
        self._late.restore(frames["trawl.late"])
        self._told.restore(frames["trawl.told"])
        self._pairs.restore(frames["trawl.pairs"])
        self._most.restore(frames["trawl.most"])
        self._watched.restore(frames["trawl.watched"])
        self._since.restore(frames["trawl.age"])
        self._budget.restore(frames, "trawl.")


def _told(principal: str, late: float, usual: tuple[float, float], window: Window) -> Found:
    most, surprise = usual
    mine = window.operations.filter((pl.col("principal") == principal) & _READ)
    return Found(
        key=f"trawl:{principal}",
        cause="rate_trawled",
        title="Versions of several secrets, one after the other",
        severity="medium",
        confidence=0.6,
        score=_tails.score(surprise),
        message=f"{show(principal)} asked for versions of about {figure(round(late))} secrets of late, more than any"
        f" other person; in this hour: {ways(mine, 'secret')}.",
        observed=f"{figure(late)} secrets read by version, those of three days ago counted half",
        expected=f"at most {figure(most)} by any other person so far",
        next_step=NEXT,
        techniques=("T1555.006",),
        principal=principal,
        **seen_in(mine),
    )
