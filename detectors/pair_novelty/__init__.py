"""A principal reads what neither it, nor its kin, nor its folder gives reason to expect. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._acquaintance import Acquaintance
from detectors._budget import Budget
from detectors._groups import place, places
from detectors._news import DEPTHS, Actors, News, seen
from detectors._text import figure, several, show
from detectors._usual import Bools, Floats
from detectors._window import Found, seen_in, tell
from pipeline.core.clock import HOUR_US
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="pair_novelty",
    version="1",
    title="Reads secrets foreign to it",
    family="pair",
    summary="new (principal, secret) pairs weighed by folder, by peers and by how often this principal explores",
    techniques=("T1555.006", "T1078"),
    measures=("F3", "M4"),
    early=("places", "secrets"),
)
_NEXT: Final = (
    "Ask the owner of the principal whether this use is new and wanted. If not: revoke the principal's tokens, rotate"
    " what it read, and narrow its policy (view operations shows what it really uses)."
)
_SHOWN: Final = 3
_MANY: Final = 10
_ABOVE_PEAK: Final = 1.5
_EACH_HOME: Final = 1.0  # of surprise: one new program in ten takes something out of a home of others, or another
_NEWCOMER: Final = 4.9  # a newcomer's surprise to begin with, where it is told at all
_HARM: Final = 1.0  # surprise added when a strange secret was changed, beyond how seldom that is


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A window's new pairs are told when their surprise (-log10 of a probability) reaches `surprise`.

    A pair whose folder or peers make it at least `familiar` likely is no stranger. A principal known for less than
    `probation_hours` is told only when it takes `bulk_secrets` at once out of `bulk_places` folders, half known, or
    some out of so many folders that others have to themselves.
    Where `together` principals come new to one folder in one window, the folder moved, not they, and what they use in
    folders of that name in the three days after is no stranger either. `per_day` is about
    how many are told a day. `keys` bounds the memory, 24 bytes each.
    """

    surprise: float = 4.0
    familiar: float = 0.05
    probation_hours: int = 72
    bulk_secrets: int = 12
    bulk_places: int = 4
    together: int = 4
    per_day: float = 2.0
    keys: int = 2_000_000


class PairNovelty:
    """Remembers who is at home where; which pairs are new, the profiles know."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known = Acquaintance(config.keys)
        self._budget = Budget(config.surprise, config.per_day)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        known, config = self._known, self._config
        since = window.start_us - config.probation_hours * HOUR_US
        both = seen(window, since, known.young)
        if both is None:
            return empty(FINDING)
        actors, news = both
        found: list[Found] = []
        surprises: list[float] = []
        strange = crowd = np.zeros(0, dtype=np.bool_)
        if len(news.who):
            likely = known.likelihood(actors, news)
            strange, crowd = known.strange(actors, news, likely < config.familiar, config.together)
            asked = strange & ~actors.probation[news.who]
            asked &= ~news.followers(asked, window)
            found, surprises = self._strangers(actors, news, asked, likely, window)
            if known.age_us(window.start_us) >= config.probation_hours * HOUR_US:
                found += self._newcomers(actors, news, window)
        if window.closed:
            known.learn(actors, news, strange, crowd, window.start_us)
            self._budget.note(window.start_us, surprises)
        return tell(self.info, window, found)

    def _strangers(
        self, actors: Actors, news: News, strange: Bools, likely: Floats, window: Window
    ) -> tuple[list[Found], list[float]]:
        """What is told, and every surprise, told or not."""
        if not strange.any():
            return [], []
        rows = news.frame.with_columns(
            likely=pl.Series(likely),
            who=pl.Series(news.who),
            row=pl.int_range(pl.len()),
            changed=pl.Series(news.changed),
        )
        each = rows.filter(pl.Series(strange)).sort("likely", "secret").group_by("principal", maintain_order=True).agg(
            pl.len().alias("count"), "secret", "row", pl.col("who").first(), pl.col("likely").mean(),
            pl.col("likely").min().alias("least"), pl.col("secret").filter("changed").alias("changed"),
        ).sort("principal")  # fmt: skip
        count = each["count"].to_numpy().astype(np.float64)
        mean, size = self._known.exploration(actors, each["who"].to_numpy())
        surprise = _tails.surprise(_tails.upper(count, mean, size)) - np.log10(each["likely"].to_numpy())
        changed = np.flatnonzero((each["changed"].list.len() > 0).to_numpy())
        surprise[changed] += _HARM - np.log10(self._known.changing(actors, each["who"].to_numpy()[changed]))
        # Whoever takes many strangers at a time (a rotator, a copier) is odd only beyond what it took before.
        peak = self._known.peak(actors, each["who"].to_numpy())
        surprise = np.where((peak >= _MANY) & (count <= _ABOVE_PEAK * peak), 0.0, surprise)
        loud = np.flatnonzero(surprise >= self._budget.threshold(window.start_us)).tolist()
        told = []
        for i in loud:
            one = each.row(i, named=True)
            words = {"peers": self._peers(actors, news, one), "folders": self._folders(actors, news, one)}
            told.append(self._stranger({**one, **words, "mean": float(mean[i])}, float(surprise[i]), window))
        return told, surprise.tolist()

    def _peers(self, actors: Actors, news: News, one: dict[str, Any]) -> str:
        """Who else ever used the least likely of its new secrets, in words."""
        near, kin, far, everybody = self._known.users(actors, news, one["row"][0])
        cohort = actors.frame["cohort"][one["who"]]
        told = [f"{near} of {kin} others of {show(cohort)}"] if cohort else []
        if not cohort or kin < everybody:
            told.append(f"{far} of {everybody} others in all")
        return f"{' and '.join(told)} ever used {show(one['secret'][0])}"

    def _folders(self, actors: Actors, news: News, one: dict[str, Any]) -> str:
        """Which of the folders it never used before, as a sentence; empty for none."""
        new = self._known.abroad(actors, news, np.array(one["row"]))
        folders = places(pl.Series(one["secret"]).filter(pl.Series(new)), DEPTHS[-1]).unique().sort().to_list()
        return f" It never used {several(folders, _SHOWN)} before." if folders else ""

    def _stranger(self, one: dict[str, Any], surprise: float, window: Window) -> Found:
        principal, secrets, mean = one["principal"], one["secret"], one["mean"]
        rows = window.operations.filter((pl.col("principal") == principal) & pl.col("secret").is_in(secrets))
        count, changed = len(secrets), one["changed"]
        did = f" It changed {several(changed, _SHOWN)}." if changed else ""
        return Found(
            key=principal,
            severity="high" if count >= 10 else "medium" if count >= 3 or changed or surprise >= 7.5 else "low",
            confidence=0.7,
            score=_tails.score(surprise),
            message=f"{show(principal)} used {several(secrets, _SHOWN)} for the first time; its folders and its peers"
            f" give no reason to.{one['folders']}{did}",
            observed=f"{count} new foreign {'secrets' if count > 1 else 'secret'}, likelihood {figure(one['least'])}"
            " by folder and peers",
            expected=f"{figure(mean)} in an hour for this principal; {one['peers']}",
            next_step=_NEXT,
            principal=principal,
            secret=secrets[0],
            **seen_in(rows),
        )

    def _newcomers(self, actors: Actors, news: News, window: Window) -> list[Found]:
        """Principals in probation that take known secrets out of many folders at once, or out of many others' homes."""
        config = self._config
        fresh = np.flatnonzero(actors.probation[news.who])
        if len(fresh) < min(config.bulk_secrets, config.bulk_places):
            return []
        # People begin with what their colleagues have, in many folders; a program has one task.
        home = np.where((actors.frame["kind"] != "human").to_numpy()[news.who], self._known.homes(news), 0)
        rows = news.frame[fresh].with_columns(home=pl.Series(home[fresh]))
        spread = pl.max_horizontal(*(place("secret", depth).n_unique() for depth in (1, 2)))
        homes = pl.col("home").filter(pl.col("home") > 0).n_unique()
        wide = rows.group_by("principal").agg("secret", spread.alias("places"), homes.alias("homes"))
        bulk = (pl.col("secret").list.len() >= config.bulk_secrets) & (pl.col("places") >= config.bulk_places)
        return [
            one
            for row in wide.filter(bulk | (pl.col("homes") >= config.bulk_places))
            .sort("principal")
            .iter_rows(named=True)
            if (one := self._newcomer(row, window)) is not None
        ]

    def _newcomer(self, one: dict[str, Any], window: Window) -> Found | None:
        principal, secrets, places = one["principal"], sorted(one["secret"]), max(one["places"], one["homes"])
        asked = pl.DataFrame({"secret": secrets})
        before = window.profiles.lookup("secret", asked, window.start_us, ("known",))
        known = int(before["known"].sum())
        if 2 * known < len(secrets):
            return None
        rows = window.operations.filter((pl.col("principal") == principal) & pl.col("secret").is_in(secrets))
        return Found(
            key=principal,
            cause="pair_bulk",
            title="Newcomer reads across folders",
            severity="medium",
            confidence=0.6,
            score=_tails.score(float(_NEWCOMER + np.log10(known) + _EACH_HOME * one["homes"])),
            message=f"{show(principal)}, known for less than {self._config.probation_hours} hours, used {len(secrets)}"
            f" secrets, {known} of them others', out of {places} folders: {several(secrets, _SHOWN)}.",
            observed=f"{len(secrets)} secrets, {known} known before, {places} folders, {one['homes']} of them"
            " others' homes",
            expected=f"fewer than {self._config.bulk_secrets} secrets, in its own folder",
            next_step=_NEXT,
            principal=principal,
            **seen_in(rows),
        )

    def snapshot(self) -> Frames:
        """A table of tallies and its age; the budget."""
        return {**self._known.snapshot(), **self._budget.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._known.restore(frames)
        self._budget.restore(frames)


def create(config: Config) -> PairNovelty:
    """The detector, with nothing remembered."""
    return PairNovelty(config)
