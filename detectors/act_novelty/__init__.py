"""A settled principal does a kind of thing it never did, in an engine where its like do not. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._budget import Budget
from detectors._text import figure, several, show
from detectors._usual import Bools
from detectors._window import Found, seen_in, tell
from detectors.act_novelty.acts import ACTS, Acts, Habit
from pipeline.core.model import DetectorInfo

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Ints, Window

INFO: Final = DetectorInfo(
    name="act_novelty",
    version="1",
    title="Does what it never did",
    family="act",
    summary="first listing, write, removal or other use of an engine by a settled principal, weighed by its kind",
    techniques=("T1078", "T1565.001"),
    measures=("F3", "M7"),
)
_GRAVE: Final = ("write", "delete", "rotate", "revoke", "decrypt", "old version", "undelete", "wrap")
_MORE: Final = 0.2  # surprise added for each doubling of the values taken
_RARE: Final = ("old version", "undelete", "describe", "wrap")  # hardly anybody's daily work
_SETS: Final = ("write", "rotate", "describe")  # acts on a secret that was there before; a new one is its maker's


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A first act is told when its surprise (-log10 of a probability) reaches `surprise`.

    Principals that were there on fewer than `days` days are not judged, and for what is hardly anybody's work and none
    of its kind ever did, on fewer than `rare_days`. An act that `together` others came new to
    of late is a change of all of them. `per_day` is about how many are told a day. `keys` bounds the memory, 24 bytes
    each.
    """

    surprise: float = 5.0
    days: int = 7
    rare_days: int = 4
    together: int = 3
    per_day: float = 0.5
    keys: int = 1_000_000


class ActNovelty:
    """Remembers who did what where, and how many of its kind do the same."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._habit = Habit(config.keys)
        self._budget = Budget(config.surprise, config.per_day)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        acts, habit, config = Acts.of(window), self._habit, self._config
        new = habit.new(acts)
        moved = np.flatnonzero(new)
        moved = moved[acts.days(moved) >= np.where(self._rare(acts, moved), config.rare_days, config.days)]
        odd = moved[habit.crowd(acts, moved) < config.together]
        odd = odd[_there_before(acts, odd)]
        surprise = habit.surprise(acts, odd) + _MORE * np.log2(acts.taken(odd))
        loud = surprise >= self._budget.threshold(window.start_us)
        told = zip(odd[loud].tolist(), surprise[loud], strict=True)
        found = [self._found(acts, i, float(much)) for i, much in told]
        if window.closed:
            habit.learn(acts, new, moved, odd)
            self._budget.note(window.start_us, surprise.tolist())
        return tell(self.info, window, found)

    def _rare(self, acts: Acts, at: Ints) -> Bools:
        """Whether these new acts are of a rare sort, which nobody of their kind ever did here."""
        rare: Bools = acts.frame["operation"][at].is_in(_RARE).to_numpy() & (self._habit.doers(acts, at) == 0)
        return rare

    def _found(self, acts: Acts, at: int, surprise: float) -> Found:
        one = acts.frame.row(at, named=True)
        principal, word, where = one["principal"], ACTS[one["operation"]], one["place"]
        rows = acts.rows(at)
        secrets = rows["secret"].filter(rows["secret"] != "").unique().sort().to_list()
        what = several(secrets or rows["path"].unique().sort().to_list())
        days, doers, kin = self._habit.told(acts, at)
        return Found(
            key=f"{principal} {one['operation']} {where}",
            severity="medium" if one["operation"] in _GRAVE else "low",
            confidence=0.6,
            score=_tails.score(surprise),
            message=f"{show(principal)}, known on {days} days, {word} {show(where)} for the first time: {what}.",
            observed=f"{int(rows['n'].sum())} operations of that sort",
            expected=f"none by this principal; {figure(doers)} of {figure(kin)} of its kind ever did so",
            next_step="Ask the owner whether the program has this new task. If not: revoke its tokens and the"
            " credential it logs in with, put back what was changed, and take the right out of its policy.",
            principal=principal,
            secret=secrets[0] if secrets else None,
            **seen_in(rows),
        )

    def snapshot(self) -> Frames:
        """Who was there, what was done, what came new of late; the budget."""
        return {**self._habit.snapshot(), **self._budget.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._habit.restore(frames)
        self._budget.restore(frames)


def _there_before(acts: Acts, asked: Ints) -> Bools:
    """Whether what each of these acts sets was used before by anybody; true of what sets nothing."""
    if not len(asked):
        return np.ones(0, np.bool_)
    rows = acts.frame[asked]
    sets = rows["operation"].is_in(_SETS).to_numpy() & (rows["secret"] != "").to_numpy()
    known = acts.window.profiles.lookup("secret", rows.select("secret"), acts.window.start_us, ("known",))["known"]
    there: Bools = known.to_numpy() | ~sets
    return there


def create(config: Config) -> ActNovelty:
    """The detector, with nothing remembered."""
    return ActNovelty(config)
