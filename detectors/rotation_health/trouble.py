"""Who is refused on a secret it is used to, or reads it over and over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._groups import cohorts
from detectors._memory import Keys, Table, joined, keys_of
from detectors._people import People
from detectors._usual import Bools, Floats
from detectors._window import READ, hours
from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

_HALF_LIFE_US: Final = 3.0 * HOUR_US  # a broken consumer shows over some hours
_SHARE: Final = (1.0, 400.0)  # refused of so many reads of one's own secrets, held before anything is seen
_SIZE: Final = 1.0  # of the law of refusals
_READ_SIZE: Final = 1.5  # of the law of reads: what a consumer does after a restart is no news
_MUCH: Final = 2.0  # times the usual: fewer reads than that without a refusal give no reason
_TOTAL: Final = np.zeros(1, dtype=np.uint64)
_PROFILE: Final = ("known", "succeeded", "expected_per_hour")


@dataclass(frozen=True, slots=True)
class Pairs:
    """Reads of secrets by those who succeeded at them before; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # principal, secret, cohort, n, denied, sessions, until (the last refusal, else read), person
    keys: Keys
    count: Floats
    refused: Floats  # this and the above over the last hours, decayed
    expected: Floats  # reads, over as many hours


def _busier(known: pl.DataFrame, own: Floats, window: Window) -> Floats:
    """How many times its usual each pair's principal does beside the pair; at least 1. A deployment does all of it.

    A use of a key for each read belongs to the read, where a session reads again and again: in a cloud the store asks
    the key's in its reader's name.
    """
    names = known.select(pl.col("principal").unique(maintain_order=True))
    mine = window.operations.join(names, on="principal", how="semi").group_by("principal")
    use = (pl.col("operation") == "other") & (pl.col("store") != "vault")
    total = mine.agg(pl.col("n").sum(), uses=pl.col("n").filter(use).sum())
    profile = window.profiles.lookup("principal", names, window.start_us, ("expected_per_hour",))
    usual = profile["expected_per_hour"] * hours(window)
    each = names.with_columns(usual=usual).join(total.rename({"n": "total"}), on="principal", how="left")
    told = known.select("principal", "n", "sessions").join(each, on="principal", how="left", maintain_order="left")
    uses = pl.min_horizontal("uses", pl.max_horizontal(pl.col("n").cast(pl.Int64) - pl.col("sessions"), 0))
    beside = told.select(pl.col("total") - pl.col("n") - uses).to_series().to_numpy().astype(np.float64)
    rest = np.maximum(told["usual"].to_numpy() - own, 0.0)
    return np.asarray(np.maximum((beside + 1) / (rest + 1), 1.0))


class Trouble:
    """Leaky sums of reads, refusals and expected reads for pairs that gave reason: 40 bytes each."""

    def __init__(self, limit: int) -> None:
        self._sums = Table(3, limit, _HALF_LIFE_US)
        self._total = Table(2, 1, 24.0 * HOUR_US * 30)

    def of(self, window: Window, written: pl.Series, least: int) -> Pairs | None:
        """Pairs that are refused, or read a lately `written` secret more than a few times; None when there is none."""
        people = People.of(window)
        mine = people.rows.filter(READ)
        if mine.is_empty():
            return None
        reason = (pl.col("outcome") == "denied") | pl.col("secret").is_in(written.implode())
        worth = mine.filter(reason).select("principal", "secret").unique()
        if worth.is_empty():
            return None
        rows = mine.join(worth, on=["principal", "secret"], how="semi")
        refused = pl.col("outcome") == "denied"
        until = pl.coalesce(pl.col("last_time").filter(refused).max(), pl.col("last_time").max())
        frame = rows.group_by("principal", "secret").agg(
            pl.col("n").sum(), pl.col("n").filter(refused).sum().alias("denied"), until.alias("until"),
            pl.col("session").n_unique().alias("sessions"),
            pl.col("type").first().is_in(np.flatnonzero((people.kinds == "human").to_numpy())).alias("person"),
        )  # fmt: skip
        known = frame.filter((pl.col("denied") > 0) | (pl.col("n") >= least)).sort("principal", "secret")
        if known.is_empty():
            return None
        profile = window.profiles.lookup("edge", known.select("principal", "secret"), window.start_us, _PROFILE)
        rate = profile["expected_per_hour"]
        much = (known["denied"] > 0) | (known["n"] > _MUCH * rate * hours(window) + least)
        own = profile["known"] & profile["succeeded"] & much
        known = known.with_columns(rate=rate).filter(own)
        known = known.with_columns(cohorts(known["principal"]).alias("cohort"))
        return None if known.is_empty() else self._summed(known, window)

    def _summed(self, known: pl.DataFrame, window: Window) -> Pairs:
        """With the past of each pair. What a principal does more of on the whole, it may do more of here."""
        keys = joined(1, keys_of(known["principal"]), keys_of(known["secret"]))
        past = self._sums.get(keys, window.start_us)
        n, denied = (known[name].to_numpy().astype(np.float64) for name in ("n", "denied"))
        own = known["rate"].to_numpy() * hours(window)
        expected = own * _busier(known, own, window)
        return Pairs(known, keys, past[:, 0] + n, past[:, 1] + denied, past[:, 2] + expected)

    def surprise(self, pairs: Pairs, at_us: int) -> tuple[Floats, Floats]:
        """-log10 of so many refusals, and of so many reads."""
        refused, reads = self._total.get(_TOTAL, at_us)[0]
        share = (refused + _SHARE[0]) / (reads + _SHARE[1])
        size = np.full(len(pairs.keys), _SIZE)
        never = _tails.upper_where(pairs.refused >= 1, pairs.refused, pairs.count * share, size)
        often = _tails.upper_where(
            pairs.count > pairs.expected + 1, pairs.count, pairs.expected + 0.5, size * _READ_SIZE
        )
        return _tails.surprise(never), _tails.surprise(often)

    def learn(self, pairs: Pairs | None, reads: float, odd: Bools, at_us: int) -> None:
        """Add a closed window with so many reads of secrets in all. What was `odd` is no habit."""
        refused = 0.0
        if pairs is not None:
            self._sums.put(pairs.keys, np.stack([pairs.count, pairs.refused, pairs.expected], axis=1), at_us)
            refused = float(pairs.frame["denied"].to_numpy()[~odd].sum())
        self._total.add(_TOTAL, np.array([[refused, reads]]), at_us)

    def snapshot(self) -> Frames:
        """Frames sums and total."""
        return {"sums": self._sums.snapshot(), "total": self._total.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._sums.restore(frames["sums"])
        self._total.restore(frames["total"])
