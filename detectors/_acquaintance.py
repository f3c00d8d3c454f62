"""Who is at home where: tallies of principals, cohorts, folders and secrets, by hashed key in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._memory import Keys, Table, joined
from detectors._news import DEPTHS, Actors, News
from detectors._since import Since
from detectors._usual import Bools, Floats
from pipeline.core.clock import DAY_US

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.core.model import Frames

HOMES: Final = (*DEPTHS, 4)  # the last: a deepest folder of that name, in whatever mount and environment
_EVERYBODY, _COHORT, _READERS, _OWN, _STRANGE, _ACTIVE, _KIND, _KIND_ACTIVE, _MET, _ANYBODY, _PEAK, _FOLDER = range(12)
_MOVED: Final = _FOLDER + 2 * max(HOMES) + 2
_CHANGED: Final = _MOVED + 1
_JOINED: Final = _CHANGED + 1
_TAKEOVER_US: Final = 3 * DAY_US  # who came with others may look around for so long
_MOUNTS: Final = 64  # remembered by name, those met first: a mount that is renamed was there before
_FLOOR: Final = 1e-3  # no pair is less likely than this, or one new colleague would weigh like a break-in
# Nobody is at home at a secret that nobody has used yet: secrets are made every day. What lies in no folder but the
# mount is an engine's role or key, mostly, and those are not.
_UNKNOWN_FLOOR: Final = 1e-2
_BORROWED: Final = 50.0  # windows' worth of belief in the kind's habit of exploring
_BURSTY: Final = 3.0
_HOME: Final = 0.2  # of all principals: a folder that so many use says nothing about any of them
_SMALL: Final = 3.0  # principals added to every estate, so that two in a folder are no crowd among a handful
_RARELY: Final = (2.0, 5.0)  # of strange pairs so many were changed, before any was seen
_OPEN, _MANY = 0.1, 20.0  # how likely a new user of a secret with ever so many is, and what is half of many


class Acquaintance:
    """Tallies that only grow; past `limit` those not touched for longest go.

    How often a principal explores is counted in strange pairs or, with `by_window`, in windows that had any.
    """

    def __init__(self, limit: int, *, by_window: bool = False) -> None:
        self._by_window = by_window
        self._tally, self._mounts = Table(1, limit), list[str]()
        self._since = Since()
        self._moves: tuple[News, Bools] | None = None  # what `_moved` found, until it is learned

    def age_us(self, at_us: int) -> int:
        """How long this memory has watched."""
        return self._since.age_us(at_us)

    def young(self, principal: Keys, since_us: int) -> Bools:
        """Whether each principal was not met before, or first after `since_us`."""
        met = self._get(_MET, principal)
        fresh: Bools = (met == 0) | (met > since_us)
        return fresh

    def _get(self, tag: int, *keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, *keys), 0)[:, 0])

    def likelihood(self, actors: Actors, news: News) -> Floats:
        """How likely each new pair is, by folder and by peers."""
        principal, group = actors.principal[news.who], actors.cohort[news.who]
        others = self._others(news)
        owned = np.maximum(self._get(_OWN, principal), 1.0)
        # One reader is the secret's owner and says nothing about the others.
        readers = np.maximum(self._get(_READERS, group, news.secret) - 1, 0.0)
        best = readers / np.maximum(self._get(_COHORT, group) - 1, 1.0)
        # A secret with many users gains new ones; two more may be a copier and a scanner.
        users = np.maximum(self._get(_ANYBODY, news.secret) - 1, 0.0)
        best = np.maximum(best, _OPEN * users / (users + _MANY))
        people = (actors.frame["kind"] == "human").to_numpy()[news.who]
        for depth, folders in zip(HOMES, news.folders, strict=True):
            tag = _FOLDER + 2 * depth
            # A folder is a home as far as few others live in it: kv/prod/ is nobody's, kv/prod/shop/ is.
            crowd = np.maximum(self._get(tag, folders) - 1, 0.0) / others
            # Who issues or decrypts under one name of an engine is not at home at its other names.
            mine = np.maximum(self._get(tag + 1, principal, folders) - news.bare, 0.0) / owned
            if depth not in DEPTHS:  # people work in every environment of their team, a workload lives in one
                mine *= people
            best = np.maximum(best, mine * np.maximum(1 - crowd / _HOME, 0.0))
        best = np.where(news.made | news.own | self._moved(news), 1.0, best)
        return np.clip(best, np.where(news.unknown & ~news.bare, _UNKNOWN_FLOOR, _FLOOR), 1.0)

    def _others(self, news: News) -> Floats:
        """How many principals there are but for one, or that use the pair's mount; of a small estate some more."""
        everybody = self._get(_EVERYBODY, np.zeros(1, dtype=np.uint64))
        users = self._get(_FOLDER + 2 * HOMES[0], news.folders[0]) if news.among.any() else everybody
        return np.asarray(np.maximum(np.where(news.among, users, everybody) - 1, 0.0) + _SMALL)

    def _moved(self, news: News) -> Bools:
        """Pairs in another mount under a name that is the principal's own: a mount was renamed or copied.

        Only where that secret is new to everybody: what others have is theirs, whatever it is called here.
        """
        if self._moves is not None and self._moves[0] is news:
            return self._moves[1]
        fresh = news.unknown | self._tally.knows(joined(_MOVED, news.secret))
        asks = self.age_us(news.start_us) >= DAY_US and fresh.any()
        moved = news.elsewhere(fresh, self._mounts) if asks else np.zeros_like(fresh)
        self._moves = news, moved
        return moved

    def strange(self, actors: Actors, news: News, odd: Bools, together: int) -> tuple[Bools, Bools]:
        """Of the `odd` pairs those that are foreign, and those that are not because `together` principals came at once.

        Who came so may use folders of that name, in any environment, for three days: a team takes another's work over.
        """
        crowd = odd & news.crowded(together)
        foreign = odd & ~crowd
        some = np.flatnonzero(foreign & ~news.bare)
        if len(some):
            came = self._get(_JOINED, actors.principal[news.who[some]], news.folders[len(DEPTHS)][some])
            foreign[some] = came <= news.start_us - _TAKEOVER_US
        return foreign, crowd

    def exploration(
        self, actors: Actors, at: npt.NDArray[np.int64], recent: Floats | float = 0.0
    ) -> tuple[Floats, Floats]:
        """Mean and size of the number of strange pairs in a window, for the principals of rows `at`.

        `recent` strange pairs are left out: what is being judged is no habit yet.
        """
        principal, kind = actors.principal[at], actors.kind[at]
        habit = (self._get(_KIND, kind) + 0.5) / (self._get(_KIND_ACTIVE, kind) + _BORROWED)
        own = np.maximum(self._get(_STRANGE, principal) - recent, 0.0)
        borrowed = _BORROWED / (1.0 + own)  # who explores is no longer like those of its kind who do not
        shape = own + habit * borrowed
        return shape / (self._get(_ACTIVE, principal) + borrowed), np.minimum(shape, _BURSTY)

    def changing(self, actors: Actors, at: npt.NDArray[np.int64]) -> Floats:
        """For the principals of rows `at`: of their kind's strange pairs the share that was changed, not only read."""
        kind = actors.kind[at]
        return np.maximum((self._get(_CHANGED, kind) + _RARELY[0]) / (self._get(_KIND, kind) + _RARELY[1]), _FLOOR)

    def users(self, actors: Actors, news: News, row: int) -> tuple[int, int, int, int]:
        """Of the secret of new pair `row`: its users in the cohort, the cohort's others, its users, all others."""
        who, secret = news.who[row : row + 1], news.secret[row : row + 1]
        cohort = actors.cohort[who]
        kin, everybody = self._get(_COHORT, cohort), self._get(_EVERYBODY, np.zeros(1, dtype=np.uint64))
        others = [max(int(met[0]) - 1, 0) for met in (kin, everybody)]
        used = (self._get(_READERS, cohort, secret), self._get(_ANYBODY, secret))
        near, far = (min(int(n[0]), most) for n, most in zip(used, others, strict=True))
        return near, others[0], far, others[1]

    def homes(self, news: News) -> Keys:
        """Of each new pair the widest folder around its secret that is others' home; 0 where there is none."""
        most = _HOME * self._others(news)
        found = np.zeros(len(news.who), dtype=np.uint64)
        for depth, folders in zip(DEPTHS, news.folders, strict=False):
            users = self._get(_FOLDER + 2 * depth, folders)
            home = (users > 0) & (users <= most) & (found == 0) & ~news.unknown
            found = np.where(home, folders, found)
        return found

    def abroad(self, actors: Actors, news: News, rows: npt.NDArray[np.int64]) -> Bools:
        """Whether the new pairs `rows` lie in a deepest folder that their principal never used."""
        depth = DEPTHS[-1]
        principal, folder = actors.principal[news.who[rows]], news.folders[depth - 1][rows]
        return ~self._tally.knows(joined(_FOLDER + 2 * depth + 1, principal, folder))

    def peak(self, actors: Actors, at: npt.NDArray[np.int64]) -> Floats:
        """The most strange pairs that the principals of rows `at` had in one window."""
        return self._get(_PEAK, actors.principal[at])

    def learn(self, actors: Actors, news: News, strange: Bools, crowd: Bools, at_us: int) -> None:
        """Add a closed window. `strange` and `crowd` are what `strange` said of its pairs."""
        self._since.begin(at_us)
        fresh = ~self._tally.knows(joined(_MET, actors.principal))
        met = joined(_MET, actors.principal[fresh])
        came = joined(_JOINED, actors.principal[news.who[crowd]], news.folders[len(DEPTHS)][crowd])
        now = np.concatenate([met, np.unique(came)])
        self._tally.put(now, np.full((len(now), 1), float(at_us)), at_us)
        practised = self._practised(actors, at_us)
        grown = [
            joined(_ACTIVE, actors.principal[practised]),
            joined(_KIND_ACTIVE, actors.kind[~actors.probation]),
            joined(_EVERYBODY, np.zeros_like(actors.principal[fresh])),
            joined(_COHORT, actors.cohort[fresh]),
        ]
        if len(news.who):
            grown += self._learn_new(actors, news, strange, practised, at_us)
        keys = np.concatenate(grown)  # at once: a table is searched as often for one key as for many
        self._tally.add(keys, np.ones((len(keys), 1)), at_us)

    def _learn_new(self, actors: Actors, news: News, strange: Bools, practised: Bools, at_us: int) -> list[Keys]:
        """What the new pairs add one to. Nobody is at home by making secrets: that is how to make oneself at home."""
        principal, lives = actors.principal[news.who], ~news.made if news.made.any() else slice(None)
        moved = joined(_MOVED, news.secret[self._moved(news)])
        self._moves = None
        self._mounts = [*self._mounts, *(name for name in news.mounts if name not in self._mounts)][:_MOUNTS]
        grown = []
        for depth, every in zip(HOMES, news.folders, strict=True):
            tag, folders = _FOLDER + 2 * depth, every[lives]
            here = joined(tag + 1, principal[lives], folders)
            _, first = np.unique(here, return_index=True)
            grown += [joined(tag, folders[first[~self._tally.knows(here[first])]]), here]
        odd = news.who[strange & practised[news.who]]
        who, count = np.unique(odd, return_counts=True)
        most = np.maximum(self.peak(actors, who), count)
        self._tally.put(joined(_PEAK, actors.principal[who]), most[:, None], at_us)
        odd = who if self._by_window else odd
        settled = strange & ~actors.probation[news.who]
        grown += [
            moved,
            joined(_OWN, principal[lives]),
            joined(_ANYBODY, news.secret),
            joined(_READERS, actors.cohort[news.who], news.secret),
            joined(_STRANGE, actors.principal[odd]),
            joined(_KIND, actors.kind[odd[~actors.probation[odd]]]),
            joined(_CHANGED, actors.kind[news.who[settled & news.changed]]),
        ]
        return grown

    def _practised(self, actors: Actors, at_us: int) -> Bools:
        """Whose habit of exploring is learned: what somebody does on its first day is new to it, whatever it does."""
        met = self._get(_MET, actors.principal)
        return ~actors.probation | ((met > 0) & (met <= at_us - DAY_US))

    def snapshot(self) -> Frames:
        """The tallies, since when, and mounts by name."""
        mounts = pl.DataFrame({"mount": self._mounts}, schema={"mount": pl.String()})
        return {"tally": self._tally.snapshot(), "age": self._since.snapshot(), "mounts": mounts}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with no mount known."""
        self._tally.restore(frames["tally"])
        self._mounts = frames["mounts"]["mount"].to_list() if "mounts" in frames else []
        self._since.restore(frames["age"])
