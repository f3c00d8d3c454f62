"""Log-ins of a window, and who tried which account from where before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._memory import Keys, Table, joined, keys_of, keys_of_few
from detectors._usual import Bools, Floats, Habits
from pipeline.core.clock import DAY_US

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

_HALF_LIFE_US: Final = DAY_US / 2
_FORGOTTEN_US: Final = 3 * DAY_US  # after which the same attempt is a new one
_PRIOR: Final = (0.5, 4.0)  # foreign accounts refused in so many windows of a mount nobody knows
_JUMP, _FEW = 3.0, 0.5
_SOURCE, _ACCOUNT, _MOUNT = range(3)
_LOGIN: Final = (
    (pl.col("operation") == "auth")
    & pl.col("mount").str.starts_with("auth/")
    & (pl.col("mount") != "auth/token/")
    & (pl.col("client_ip") != "")
)
_NOBODY: Final = pl.col("principal").fill_null("anonymous") == "anonymous"
_ACCOUNT_OF: Final = pl.when(_NOBODY).then(pl.col("path")).otherwise("principal").alias("account")
_ZONE: Final = pl.col("zone").fill_null("")


def logins_of(window: Window) -> pl.DataFrame:
    """WINDOW rows of log-ins from somewhere, whatever came of them."""
    return window.operations.filter(_LOGIN)


@dataclass(frozen=True, slots=True)
class Logins:
    """Log-ins of one outcome; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # mount, account, zone, client_ip, n, time, last_time: in the order of names
    account: Keys
    source: Keys
    mount: Keys
    home: Keys  # account and zone

    @classmethod
    def of(cls, logins: pl.DataFrame, outcome: str) -> Logins | None:
        """Of the rows that `logins_of` gave; None when there is none."""
        rows = logins.filter(pl.col("outcome") == outcome)
        if rows.is_empty():
            return None
        frame = rows.group_by("mount", _ACCOUNT_OF, _ZONE, "client_ip").agg(
            pl.col("n").sum(), pl.col("time").min(), pl.col("last_time").max()
        ).sort("mount", "account", "zone", "client_ip")  # fmt: skip
        who, zone = keys_of(frame["account"]), keys_of_few(frame["zone"])
        return cls(frame, who, keys_of(frame["client_ip"]), keys_of_few(frame["mount"]), joined(9, who, zone))

    def filter(self, kept: Bools) -> Logins:
        """Some of the rows."""
        frame = self.frame.filter(pl.Series(kept))
        return Logins(frame, self.account[kept], self.source[kept], self.mount[kept], self.home[kept])


class Doors:
    """Which account is at home in which network; leaky counts of attempts; what a mount is used to."""

    def __init__(self, limit: int) -> None:
        self._home = Table(1, limit)
        self._tried = Table(1, limit)
        self._sums = Table(1, limit, _HALF_LIFE_US)
        self._windows = Table(1, 4_096, _HALF_LIFE_US)
        self._habits = Habits(4_096)

    def at_home(self, logins: Logins) -> Bools:
        """Log-ins from a network the account was let in from before."""
        return self._home.knows(logins.home)

    def fresh(self, refused: Logins, at_us: int) -> Bools:
        """One row for each pair of source and account that was not tried in the last days."""
        keys = joined(7, refused.source, refused.account)
        _, first = np.unique(keys, return_index=True)
        once = np.zeros(len(keys), dtype=np.bool_)
        once[first] = True
        new: Bools = once & (self._tried.seen(keys) <= at_us - _FORGOTTEN_US)
        return new

    def accounts_of(self, sources: Keys, fresh: Logins, at_us: int) -> Floats:
        """How many accounts each source has tried of late, this window's `fresh` attempts with them."""
        return self._sum(_SOURCE, sources, fresh.source, at_us)

    def sources_of(self, accounts: Keys, fresh: Logins, at_us: int) -> Floats:
        """From how many sources each account was tried of late."""
        return self._sum(_ACCOUNT, accounts, fresh.account, at_us)

    def tries_of(self, mounts: Keys, fresh: Logins, at_us: int) -> tuple[Floats, Floats, Floats]:
        """Per mount the decayed attempts with this window's; mean and size of what is usual in that time."""
        count = self._sum(_MOUNT, mounts, fresh.mount, at_us)
        windows = self._windows.get(mounts, at_us)[:, 0] + 1
        usual = self._habits.usual(mounts, np.zeros_like(mounts), windows, at_us, _PRIOR)
        return count, usual.mean, usual.size

    def _sum(self, tag: int, keys: Keys, now: Keys, at_us: int) -> Floats:
        order = np.sort(now)
        here = np.searchsorted(order, keys, "right") - np.searchsorted(order, keys, "left")
        return np.asarray(self._sums.get(joined(tag, keys), at_us)[:, 0] + here)

    def learn(self, let_in: Logins | None, fresh: Logins | None, at_us: int) -> None:
        """Add a closed window: who was let in, and the attempts on accounts from where they are not at home."""
        mounts = np.unique(np.concatenate([logins.mount for logins in (let_in, fresh) if logins is not None]))
        tried = np.zeros(len(mounts))
        if fresh is not None:
            order = np.sort(fresh.mount)
            tried = (np.searchsorted(order, mounts, "right") - np.searchsorted(order, mounts, "left")).astype(float)
            pairs = joined(7, fresh.source, fresh.account)
            self._tried.put(pairs, np.ones((len(pairs), 1)), at_us)
            for tag, keys in ((_SOURCE, fresh.source), (_ACCOUNT, fresh.account), (_MOUNT, fresh.mount)):
                self._sums.add(joined(tag, keys), np.ones((len(keys), 1)), at_us)
        ones = np.ones(len(mounts))
        usual = self._habits.usual(mounts, np.zeros_like(mounts), ones, at_us, _PRIOR)
        held = np.minimum(tried, _JUMP * usual.mean + _FEW)  # an attack is no habit, a new custom becomes one
        self._habits.learn(at_us, mounts, np.zeros_like(mounts), count=held, exposure=ones, mean=usual.mean)
        self._windows.add(mounts, ones[:, None], at_us)
        if let_in is not None:
            homes = np.unique(let_in.home)
            self._home.put(homes, np.ones((len(homes), 1)), at_us)

    def snapshot(self) -> Frames:
        """Four tables and the habits of mounts."""
        tables = {"home": self._home, "tried": self._tried, "sums": self._sums, "windows": self._windows}
        return {**{name: table.snapshot() for name, table in tables.items()}, **self._habits.snapshot("mounts")}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._home.restore(frames["home"])
        self._tried.restore(frames["tried"])
        self._sums.restore(frames["sums"])
        self._windows.restore(frames["windows"])
        self._habits.restore("mounts", frames)
