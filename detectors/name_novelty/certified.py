"""Which names each principal asks certificates for, and one that it never asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of, keys_of_few
from detectors._operation import said_of
from detectors._text import figure, show
from detectors._window import Found
from pipeline.core.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames

_OWN, _NAME, _HABIT, _MOUNT = range(4)
_BORROWED: Final = 20.0  # requests' worth of belief in the mount's habit of new names
_ANOTHERS: Final = 1.0  # surprise added when somebody else asks for that name
_HALF_LIFE_US: Final = 14 * DAY_US  # of habits: what was new once is so for weeks, not for ever
_ALIKE: Final = ("principal", "mount", "name")
_MOST: Final = 100_000  # names of one hour
_NONE: Final = pl.DataFrame(
    schema={**dict.fromkeys(_ALIKE, pl.String), "n": pl.Int64, "loud": pl.Boolean, "told": pl.Boolean}
)
_WORDS: Final = {
    "common_name": "common name", "alt_names": "alternative names", "ip_sans": "addresses", "uri_sans": "URIs",
    "other_sans": "other names", "email_sans": "mail addresses", "valid_principals": "accounts",
    "username": "account", "ip": "host", "none": "lack of a name",
}  # fmt: skip


class Certified:
    """Names by who asked for them, and how often new ones are asked for.

    24 bytes a name of a principal and of a mount, 32 a principal and mount, and 24 for when it was first there.
    """

    def __init__(self, surprise: float, least: int, days: int, together: int, limit: int) -> None:
        self._surprise, self._least, self._days, self._together = surprise, least, days, together
        self._names = Table(1, limit)  # of each principal's name 1, of a mount's how many ask for it
        self._habits = Table(2, limit, _HALF_LIFE_US)  # requests, of them with a name new to somebody known
        self._first = Table(1, limit)  # when each principal was first seen to ask in a mount, µs
        self._open = _NONE  # what the current hour had so far
        self._hour = 0

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Judge rows of one hour, in the order in which they became complete, by what was known before it."""
        if hour > self._hour:
            self._learn()
            self._hour = hour
        issued = pl.col("mount_type").is_in(["pki", "ssh"]) & (pl.col("outcome") == "success")
        asked = rows.filter(issued & pl.col("principal").is_not_null())
        if asked.is_empty():
            return []
        asked = asked.rename({"asked_for": "name"}).explode("name", empty_as_null=True)
        asked = asked.with_columns(pl.col(_ALIKE).fill_null(""))
        strange, surprise, others = self._judged(asked)
        asked = asked.with_columns(
            loud=pl.Series(strange & (surprise >= self._surprise)),
            surprise=pl.Series(surprise),
            others=pl.Series(others),
        )
        return [self._found(row) for row in self._told(asked).iter_rows(named=True)]

    def _told(self, asked: pl.DataFrame) -> pl.DataFrame:
        """Those of `asked`, which are added to the hour, that are told: each name of a principal once."""
        loud = asked.filter("loud").unique(_ALIKE, keep="first", maintain_order=True)
        loud = loud.join(self._open.filter("told"), on=_ALIKE, how="anti", maintain_order="left")
        one = asked.select(*_ALIKE, "loud", n=pl.lit(1, pl.Int64), told=pl.lit(value=False)).select(_NONE.columns)
        by = pl.concat([self._open, one]).group_by(_ALIKE, maintain_order=True)
        self._open = by.agg(pl.col("n").sum(), pl.col("loud", "told").any()).head(_MOST)
        loud = loud.filter(self._alone(loud))
        hit = loud.select(*_ALIKE, hit=pl.lit(value=True))
        hits = self._open.join(hit, on=_ALIKE, how="left", maintain_order="left")["hit"].fill_null(value=False)
        self._open = self._open.with_columns(told=pl.col("told") | hits)
        return loud

    def _judged(self, asked: pl.DataFrame) -> tuple[Bools, Floats, Floats]:
        """Of each name: whether it is new to one who is known, how odd that is, and how many others ask for it."""
        at_us = self._hour * HOUR_US
        own, name, habit, mount = _keys(asked)
        requests, fresh = self._habits.get(habit, at_us).T
        every, ever = self._habits.get(mount, at_us).T
        others = self._names.get(name, at_us)[:, 0]
        usual = _BORROWED * (ever + 0.5) / (every + 1.0)
        surprise = -np.log10((fresh + usual) / (requests + _BORROWED)) + _ANOTHERS * (others > 0)
        known = (requests >= self._least) & self._settled(habit)
        return known & ~self._names.knows(own), surprise, others

    def _settled(self, habit: Keys) -> Bools:
        """Who has asked for so many days."""
        first = self._first.get(habit, 0)[:, 0]
        settled: Bools = (first > 0) & (self._hour * HOUR_US - first >= self._days * DAY_US)
        return settled

    def _alone(self, loud: pl.DataFrame) -> pl.Series:
        """Whether fewer than `together` principals of the mount came with new names this hour, up to each of these."""
        newcomers = self._open.filter("loud").unique(("mount", "principal"), keep="first", maintain_order=True)
        ranked = newcomers.select("mount", "principal", rank=pl.int_range(1, pl.len() + 1).over("mount"))
        asked = loud.join(ranked, on=("mount", "principal"), how="left", maintain_order="left")
        return asked["rank"].fill_null(1) < self._together

    def _learn(self) -> None:
        """Add the hour that is over."""
        if self._open.is_empty():
            return
        at_us = self._hour * HOUR_US
        own, name, habit, mount = _keys(self._open)
        new = ~self._names.knows(own)
        self._names.put(own, np.ones((len(own), 1)), at_us)
        self._names.add(name[new], np.ones((int(new.sum()), 1)), at_us)
        n, later = self._open["n"].to_numpy().astype(np.float64), (new & self._settled(habit)).astype(np.float64)
        self._habits.add(np.concatenate([habit, mount]), np.tile(np.stack([n, later], axis=1), (2, 1)), at_us)
        begun = np.unique(habit)
        begun = begun[~self._first.knows(begun)]
        self._first.put(begun, np.full((len(begun), 1), float(at_us)), at_us)
        self._open = _NONE

    def _found(self, row: dict[str, Any]) -> Found:
        who, field, others = row["principal"], row["name"].partition(":")[0], row["others"]
        word = _WORDS.get(field, field)
        whose = f"; {figure(others)} other{'s ask' if others > 1 else ' asks'} for that" if others else ""
        return Found(
            key=f"{who} {row['mount']} {row['name']} {self._hour}",
            cause="strange_name",
            severity="medium",
            confidence=0.6,
            score=_tails.score(row["surprise"]),
            message=f"{show(who)} asked {show(row['path'])} for a certificate or key with {word} that it never asked"
            f" for{whose}.",
            observed=f"{word} not asked for before",
            expected="the names it asked for until now",
            next_step="Find the certificate in the engine by the time of the request: for whom is it? If it is not the"
            " requester's: revoke it, revoke the requester's tokens, and narrow the names that the role allows.",
            principal=who,
            **said_of(row),
        )

    def snapshot(self) -> Frames:
        """Frames names, habits, first, open, hour."""
        return {
            "names": self._names.snapshot(),
            "habits": self._habits.snapshot(),
            "first": self._first.snapshot(),
            "open": self._open,
            "hour": pl.DataFrame({"hour": [self._hour]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._names.restore(frames["names"])
        self._habits.restore(frames["habits"])
        self._first.restore(frames["first"])
        self._open = frames["open"]
        self._hour = frames["hour"]["hour"][0]


def _keys(rows: pl.DataFrame) -> tuple[Keys, Keys, Keys, Keys]:
    """Of who asks where for which name, of the name in its mount, of who asks where, of the mount.

    Where is the mount: a role is often reached by several paths (`issue`, `sign`, `issuer/<name>/issue`).
    """
    who, mount, name = keys_of(rows["principal"]), keys_of_few(rows["mount"]), keys_of(rows["name"])
    return joined(_OWN, who, mount, name), joined(_NAME, mount, name), joined(_HABIT, who, mount), joined(_MOUNT, mount)
