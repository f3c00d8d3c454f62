"""Somebody long away comes back, comes at an hour that is never theirs, or never goes. See README.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._accounts import EMERGENCY, any_of
from detectors._budget import Budget
from detectors._text import figure, hour_of, show
from detectors._usual import Bools, Floats
from detectors._window import Found, seen_in, tell, ways
from detectors.dormancy.news import News
from detectors.dormancy.places import Places
from detectors.dormancy.rhythm import Present, Rhythm, Told
from detectors.dormancy.unrest import Unrest
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="dormancy",
    version="1",
    title="Account awakens after a long absence",
    family="time",
    summary="absence, hour of day and network per principal against its own and its kind's habits",
    techniques=("T1078",),
    measures=("F3",),
    early=("return",),
)
_READS: Final = 0.2  # surprise added for each doubling of the values read
_NEXT: Final = (
    "Ask the person or the owner of the account whether this was them. If not: revoke its tokens, disable the log-in,"
    " and rotate what was read. An account nobody misses should be removed."
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account away for `idle_days` is told when absence, hour, reads and place sum up to `surprise` (-log10 of p).

    One known in `windows` windows or more is told for the hour alone (cause off_hours) from `hour_surprise` on. Where
    `together` of a cohort come at an hour that is not theirs, the cohort's clock moved. What an account does within
    `awake_hours` of its return still counts as its return. `per_day` is about how many are told a day. `emergency` are
    globs of accounts that are never there by nature, as `principals` of break_glass, which tells of their use. A person
    who is there in `round_hours` of the last 24 hours is told (cause round_the_clock) where hardly anybody ever was.
    `keys` bounds the memory, 184 bytes each and 32 for people.
    """

    idle_days: float = 7.0
    surprise: float = 4.0
    windows: int = 40
    hour_surprise: float = 3.5
    together: int = 4
    awake_hours: float = 6.0
    per_day: float = 0.5
    emergency: tuple[str, ...] = EMERGENCY
    round_hours: Annotated[int, msgspec.Meta(ge=2, le=24)] = 18
    keys: int = 200_000


@dataclass(frozen=True, slots=True)
class Judged:
    """Row i of every array is row i of Present."""

    told: Told
    woke: Bools
    surprise: Floats
    fresh: Floats  # secrets never read before
    strange: Bools  # in no network it was ever in


class Dormancy:
    """Remembers per principal when it was there."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._rhythm = Rhythm(config.keys, config.awake_hours, any_of(config.emergency))
        self._news = News("news")
        self._places = Places(config.keys)
        self._unrest = Unrest(config.keys, config.round_hours)
        self._budget = Budget(min(config.surprise, config.hour_surprise), config.per_day)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        present = Present.of(window)
        if present is None:
            return empty(FINDING)
        judged = self._judge(present, window)
        least = np.where(judged.woke, self._config.surprise, self._config.hour_surprise)
        enough = np.maximum(self._budget.threshold(window.start_us), least)
        odd = judged.surprise >= enough
        found = [self._found(present, judged, i, window) for i in np.flatnonzero(odd).tolist()]
        if window.closed:
            found += self._restless(present, window)
            self._budget.note(window.start_us, judged.surprise[judged.surprise >= least].tolist())
            if self._news.asks(window):
                self._learn_news(present, judged, window)
            self._places.learn(present, judged.told.away_h >= self._config.idle_days * 24, window)
            self._rhythm.learn(present, judged.told, odd, self._config.idle_days * 24, window.start_us)
        return tell(self.info, window, found)

    def _judge(self, present: Present, window: Window) -> Judged:
        config = self._config
        told = self._rhythm.judged(present, window.start_us)
        values = present.frame["values"].to_numpy().astype(np.float64)
        woke = (told.away_h >= config.idle_days * 24) & (told.gap > 0) & (values > 0)
        late = (told.known >= config.windows) & (told.hour >= config.hour_surprise) & (values > 0) & ~woke
        late &= window.looked_us is None  # others may still come at that hour
        late &= ~_shared(present, (told.hour >= config.hour_surprise / 2), config.together)
        surprise = np.zeros(len(values))
        fresh = np.zeros(len(values))
        strange = np.zeros(len(values), dtype=np.bool_)
        surprise[late] = told.hour[late]
        if woke.any():
            fresh[woke] = _never_read(present, woke, window)
            strange = woke & self._places.strange(present, window.start_us)
            news, moves = (one.weight(present.kinds[woke], window.start_us) for one in (self._news, self._places))
            more = news * (fresh[woke] > 0) + moves * strange[woke] + _READS * np.log2(values[woke])
            surprise[woke] = told.gap[woke] + told.hour[woke] + more
        return Judged(told, woke, surprise, fresh, strange)

    def _learn_news(self, present: Present, judged: Judged, window: Window) -> None:
        """How usual it is to read something new; those that have just come back do not say."""
        here = (present.frame["values"] > 0).to_numpy() & ~judged.woke & (judged.told.known > 0)
        if here.any():
            self._news.learn(present.kinds[here], _never_read(present, here, window) > 0, window.start_us)

    def _found(self, present: Present, judged: Judged, i: int, window: Window) -> Found:
        one, told = present.frame.row(i, named=True), judged.told
        principal, woke = one["principal"], bool(judged.woke[i])
        rows = window.operations.filter((pl.col("principal") == principal) & (pl.col("outcome") == "success"))
        usual = self._rhythm.hours_of(present.keys[i : i + 1], window.start_us)
        days, new = told.away_h[i] / 24, int(judged.fresh[i])
        news = f", {new} of them for the first time" if new else ""
        what = ways(rows.filter("discloses_value"), "secret")
        if woke:
            since = f"not seen for {days:.0f} days"
            if told.never[i]:
                since = f"never there in the {days:.0f} days that are remembered"
            where = ", in a network it never was in" if judged.strange[i] else ""
            message = f"{show(principal)}, {since}, read {one['values']} values{news}{where}: {what}."
        else:
            message = f"{show(principal)} read {one['values']} values at an hour that is not its own: {what}."
        return Found(
            key=principal,
            cause=None if woke else "off_hours",
            title=None if woke else "Reads at an unusual hour",
            severity=("high" if judged.surprise[i] >= 6 and not told.never[i] else "medium") if woke else "low",
            confidence=0.7 if woke else 0.5,
            score=_tails.score(float(judged.surprise[i])),
            message=message,
            observed=f"{hour_of(window.start_us)} UTC, last seen {days:.0f} days before"
            if woke
            else f"{hour_of(window.start_us)} UTC",
            expected=f"seen in {figure(round(told.known[i]))} windows, mostly {usual}",
            next_step=_NEXT,
            principal=principal,
            **seen_in(rows),
        )

    def _restless(self, present: Present, window: Window) -> list[Found]:
        """Of a window that is over: the hours of people in it are learned, too."""
        hours = self._unrest.of(present, window)
        odd = self._unrest.odd(hours)
        self._unrest.learn(hours, odd)
        told = zip(present.frame["principal"].gather(hours.rows[odd]), hours.count[odd], strict=True)
        return [self._sleepless(principal, int(many), window) for principal, many in told]

    def _sleepless(self, principal: str, hours: int, window: Window) -> Found:
        rows = window.operations.filter((pl.col("principal") == principal) & (pl.col("outcome") == "success"))
        return Found(
            key=f"restless:{principal}",
            cause="round_the_clock",
            title="A person is there round the clock",
            severity="medium",
            confidence=0.7,
            score=0.6,
            message=f"{show(principal)}, a person, was there in {hours} of the last 24 hours:"
            f" {ways(rows, 'secret') or ways(rows, 'path')}.",
            observed=f"{hours} of the last 24 hours, for the first time",
            expected=f"fewer than {self._config.round_hours}, as with nearly everybody",
            next_step="Ask the person whether a program uses their token. If so: give it an identity of its own. If"
            " not: revoke the tokens, and see from where they were used (view operations, by session).",
            principal=principal,
            **seen_in(rows),
        )

    def snapshot(self) -> Frames:
        """Rhythms; people's hours; how much is news; networks; the budget."""
        parts = (self._rhythm, self._unrest, self._news, self._places, self._budget)
        return {name: frame for part in parts for name, frame in part.snapshot().items()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._rhythm.restore(frames)
        self._unrest.restore(frames)
        self._news.restore(frames)
        self._places.restore(frames)
        self._budget.restore(frames)


def _shared(present: Present, late: Bools, together: int) -> Bools:
    """Of a cohort of which at least `together` are there at an hour that is not theirs."""
    groups = present.cohorts
    distinct, count = np.unique(groups[late], return_counts=True)
    many: Bools = np.isin(groups, distinct[count >= together])
    return many


def _never_read(present: Present, woke: Bools, window: Window) -> Floats:
    """How many of its secrets each of those that woke never read before."""
    names = present.frame["principal"].filter(pl.Series(woke))
    read = pl.col("discloses_value") & (pl.col("secret") != "") & pl.col("principal").is_in(names.to_list())
    pairs = window.operations.filter(read).select("principal", "secret").unique().sort("principal", "secret")
    new = ~window.profiles.lookup("edge", pairs, window.start_us, ("known",))["known"]
    counts = pairs.filter(new).group_by("principal").len()
    told = names.to_frame().join(counts, on="principal", how="left", maintain_order="left")
    return told["len"].fill_null(0).to_numpy().astype(np.float64)


def create(config: Config) -> Dormancy:
    """The detector, with nothing remembered."""
    return Dormancy(config)
