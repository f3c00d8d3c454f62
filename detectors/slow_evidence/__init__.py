"""One foreign secret now and then, for days: too little for any window, too much in sum. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._acquaintance import Acquaintance
from detectors._budget import Budget
from detectors._news import seen
from detectors._text import figure, show
from detectors._window import Found, tell
from detectors.slow_evidence.trickle import Evidence, Trickle
from pipeline.core.clock import HOUR_US
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="slow_evidence",
    version="1",
    title="Foreign secrets, a few at a time",
    family="slow",
    summary="weak evidence of foreign secrets per principal, summed over days with a half-life",
    techniques=("T1555.006", "T1030"),
    measures=("F3",),
)
_SHOWN: Final = 4
_MANY: Final = 10
_AGAIN: Final = 1.5  # times the hits it was told of with
_RECENT: Final = 2.0  # accesses behind a decayed sum of one, about
_NEXT: Final = (
    "Ask the owner of the principal whether it has a new task. If not: revoke its tokens and log-in credential, rotate"
    " each secret of the timeline, and look at where these reads came from (view operations)."
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sum of a principal is told when its surprise (-log10 of a probability) reaches `surprise`.

    Evidence halves every `half_life_hours`; one window gives at most one hit, however loud. Below `hits` hits nothing
    is told. `familiar`, `probation_hours` and `together` are those of `pair_novelty`; for programs, which seldom
    explore, `familiar_programs` takes the place of `familiar`. `per_day` is about how many are told a day. `keys`
    bounds the tallies (24 bytes each), `principals` the sums and `timeline` the accesses remembered.
    """

    surprise: float = 3.5
    half_life_hours: Annotated[float, msgspec.Meta(gt=0)] = 72.0
    hits: float = 2.5
    familiar: float = 0.05
    familiar_programs: float = 0.12
    probation_hours: int = 72
    together: int = 4
    per_day: float = 1.0
    keys: int = 2_000_000
    principals: int = 200_000
    timeline: int = 50_000


class SlowEvidence:
    """Remembers who is at home where, and per principal a leaky sum of what was foreign to it."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known = Acquaintance(config.keys, by_window=True)
        self._trickle = Trickle(config.half_life_hours * HOUR_US, config.principals, config.timeline)
        self._budget = Budget(config.surprise, config.per_day)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        known, config, at_us = self._known, self._config, window.start_us
        both = seen(window, at_us - config.probation_hours * HOUR_US, known.young)
        if both is None:
            return empty(FINDING)
        actors, news = both
        strange = crowd = np.zeros(0, dtype=np.bool_)
        hits = Evidence.none()
        found: list[Found] = []
        count, surprise = np.zeros(0), np.zeros(0)
        told, known_of, goes_on = (np.zeros(0, dtype=np.bool_) for _ in range(3))
        if len(news.who):
            likely = known.likelihood(actors, news)
            people = (actors.frame["kind"] == "human").to_numpy()[news.who]
            familiar = np.where(people, config.familiar, config.familiar_programs)
            strange, crowd = known.strange(actors, news, likely < familiar, config.together)
            hits = Evidence.of(actors, news, likely, strange & ~actors.probation[news.who], window)
        if len(hits.who):
            count, windows = self._trickle.sums(hits, at_us)
            rate, size = known.exploration(actors, hits.who, _RECENT * count)
            mean = rate * windows
            surprise = _tails.surprise(_tails.upper_where(count >= config.hits, count, mean, size))
            # Who takes many strangers at a time (a rotator, a copier) does nothing slowly.
            surprise = np.where(known.peak(actors, hits.who) >= _MANY, 0.0, surprise)
            # What goes on for a day after it was told belongs to the same alert, and takes nothing of the budget. Later
            # it is told again when there is half as much again.
            before, goes_on = self._trickle.told(hits, at_us)
            known_of = before > 0
            enough = np.where(known_of, config.surprise, self._budget.threshold(at_us))
            told = (surprise >= enough) & (goes_on | (count >= _AGAIN * before))
            loud = np.flatnonzero(told).tolist()
            found = [self._found(hits, i, float(count[i]), float(mean[i]), float(surprise[i])) for i in loud]
        if window.closed:
            anew = told & ~goes_on
            self._trickle.tell(hits.keys[anew], count[anew], at_us)
            known.learn(actors, news, strange, crowd, at_us)
            self._trickle.learn(actors.principal[~actors.probation], hits, at_us)
            self._budget.note(at_us, surprise[~known_of].tolist())
        return tell(self.info, window, found)

    def _found(self, hits: Evidence, i: int, count: float, mean: float, surprise: float) -> Found:
        principal = hits.principals[i]
        line = self._trickle.timeline(principal, hits)
        first, last, total = line["time"][0], line["time"][-1], len(line)
        told = "; ".join(
            f"{time:%d %b %H:%M} {show(secret)}" for time, secret in line.select("time", "secret").tail(_SHOWN).rows()
        )
        newest = line.row(-1, named=True)
        return Found(
            key=principal,
            severity="high" if total >= 8 or surprise >= 9 else "medium",
            confidence=0.7,
            score=_tails.score(surprise),
            message=f"{show(principal)} took {total} secrets foreign to it, one by one, between {first:%d %b %H:%M} and"
            f" {last:%d %b %H:%M}; the last: {told}.",
            observed=f"{figure(count)} foreign accesses, halved every {figure(self._config.half_life_hours)} h",
            expected=f"{figure(mean)} for this principal in that time",
            next_step=_NEXT,
            principal=principal,
            secret=newest["secret"],
            store=newest["store"],
            client_ip=newest["client_ip"],
            time=newest["time"],
            evidence=line["uid"].tail(20).unique(maintain_order=True).to_list(),
        )

    def snapshot(self) -> Frames:
        """Tallies, sums, the timeline; the budget."""
        return {**self._known.snapshot(), **self._trickle.snapshot(), **self._budget.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._known.restore(frames)
        self._trickle.restore(frames)
        self._budget.restore(frames)


def create(config: Config) -> SlowEvidence:
    """The detector, with nothing remembered."""
    return SlowEvidence(config)
