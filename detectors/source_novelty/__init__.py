"""A known principal comes from a network it never used, while nobody like it does. See README.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._budget import Budget
from detectors._text import figure, several, show
from detectors._usual import Bools
from detectors._window import Found, known_since, seen_in, tell, values_in
from detectors.source_novelty.arrivals import Arrivals
from detectors.source_novelty.deeds import carriers, changers, taking
from detectors.source_novelty.front import Fronts, Limits
from detectors.source_novelty.homes import Homes, no_stranger
from detectors.source_novelty.hosts import Hosts, Stays, machine
from detectors.source_novelty.tokens import Tokens
from detectors.source_novelty.zones import COMMON, NODE, Visits, Zones
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Ints, Window

INFO: Final = DetectorInfo(
    name="source_novelty",
    version="1",
    title="Comes from a network new to it",
    family="source",
    summary="new networks, tokens at second addresses, programs on new machines, unless others move, too",
    techniques=("T1550.001", "T1078.004"),
    measures=("F3", "M7"),
    early=("networks",),
)

_NOTHING_TAKEN: Final = 2.0  # off the surprise of a new network from where no value was read
_OFTEN: Final = 3.0  # times somebody came from new networks and took nothing: a builder's job runs anywhere
_CARRIED: Final = 2.0  # on that of one where a token is used that a program has elsewhere, too


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new zone is told when its surprise (-log10 of a probability) reaches `surprise`.

    Principals seen in fewer than `windows` windows are not judged before they are known for `known_days`; in a wider
    network that nobody of their kind was ever in, after `foreign_days`. A zone that
    `movers` other principals adopted within `hours` is a move of the network. In the first `settle_hours` every zone is
    new, and none is told for it. `per_day` is about how many are told a day. `keys` bounds the memory. Where one or two
    addresses make `front_share` of a store's requests, by `front_principals` or more in each of `front_windows`
    windows, they are a proxy's.
    """

    surprise: float = 5.0
    windows: int = 24
    known_days: float = 7.0
    foreign_days: float = 3.0
    movers: int = 3
    hours: int = 24
    settle_hours: int = 72
    per_day: float = 1.0
    keys: int = 1_000_000
    front_share: float = 0.98
    front_principals: int = 10
    front_windows: int = 24


@dataclass(frozen=True, slots=True)
class Pairs:
    """Row i of Bools is row i of Visits; Ints are rows of it."""

    met: Bools
    looked: Bools  # judged before, and took nothing so far
    known: Bools  # met, and no news now
    moved: Ints  # new to a settled principal
    alone: Ints  # of these, its own doing
    judged: Bools
    odd: Bools


class SourceNovelty:
    """Remembers which zones and machines a principal used, how many use a zone, who came new where in the last day,
    and where each token was."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._zones = Zones(config.keys, config.hours * HOUR_US, config.settle_hours * HOUR_US)
        self._homes = Homes(config.keys)
        self._arrivals = Arrivals(config.keys, config.movers)
        self._tokens = Tokens(config.keys, config.windows, config.movers)
        self._hosts = Hosts(config.keys, config.windows, config.movers)
        self._fronts = Fronts(Limits(config.front_share, config.front_principals, config.front_windows))
        self._budget = Budget(config.surprise, config.per_day)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        visits = Visits.of(window)
        if visits is None:
            return empty(FINDING)
        pairs, hidden = self._pairs(visits, window), self._fronts.zones()
        threshold = self._budget.threshold(window.start_us)
        found, surprises = self._newly(visits, pairs.odd, pairs.known, window)
        came = self._came(visits, window)
        visible = came[~visits.frame["zone"].gather(came).is_in(hidden).to_numpy()]
        more, others = self._arrivals.inspect(visits, visible, self._zones, window, threshold)
        found, surprises = found + more, surprises + others
        tokens, stays = self._tokens.seen(window, hidden), self._hosts.seen(window, hidden)
        if tokens is not None and not self._young(window):
            told = {one.principal for one in found}
            more, others = self._tokens.inspect(tokens, told, threshold)
            found, surprises = found + more, surprises + others
        if stays is not None and not self._young(window):
            told = {*(one.principal for one in found), *visits.frame["principal"].filter(pl.Series(~pairs.known))}
            more, others = self._machines(*stays, told, window)
            found, surprises = found + more, surprises + others
        if window.closed:
            self._learn(visits, pairs, came, window)
            self._budget.note(window.start_us, surprises)
            found += self._fronts.learn(window)
            if tokens is not None:
                self._tokens.learn(tokens)
            if stays is not None:
                self._hosts.learn(*stays, window.start_us)
        return tell(self.info, window, found)

    def _young(self, window: Window) -> bool:
        """Whether every zone is new, since the memory is."""
        return self._zones.age_us(window.start_us) < self._config.settle_hours * HOUR_US

    def _pairs(self, visits: Visits, window: Window) -> Pairs:
        """What is new of those of a window, and what of it is odd."""
        met, looked = self._zones.seen(visits)
        known = met & ~taking(visits, looked, window)
        moved, alone = self._moved(visits, known, window)
        odd = np.zeros(len(known), dtype=np.bool_)
        odd[alone] = not self._young(window)
        judged = looked | odd
        some = np.flatnonzero(judged)
        judged[some] = ~self._zones.frequented(visits, some)
        hidden = visits.frame["zone"].gather(alone).is_in(self._fronts.zones()).to_numpy()
        odd[alone] &= ~hidden & ~self._zones.followers(visits, alone, window)
        return Pairs(met, looked, known, moved, alone, judged, odd)

    def _learn(self, visits: Visits, pairs: Pairs, came: Ints, window: Window) -> None:
        """Add a closed window to what is known of zones."""
        at_us, moved, alone = window.start_us, pairs.moved, pairs.alone
        idle = pairs.judged & ~taking(visits, pairs.judged, window)
        self._arrivals.learn(visits, came, self._zones, at_us)
        fresh = (~pairs.met | pairs.looked) & ~idle
        self._homes.learn(visits, self._zones, pairs.known, (fresh, alone), at_us)
        self._zones.learn(visits, (moved, alone), idle, at_us)
        self._zones.practise(visits, self._practised(visits, ~pairs.met, moved, window), at_us)

    def _moved(self, visits: Visits, known: Bools, window: Window) -> tuple[Ints, Ints]:
        """The pairs that are new to a settled principal, and those of them that are its own doing."""
        new = np.flatnonzero(~known)
        moved = new[self._settled(visits, new, known, window)]
        movers = self._zones.movers(visits, moved, window.start_us)
        alone = (movers < self._config.movers) & ~self._zones.roams(visits, moved, self._config.movers)
        return moved, moved[alone]

    @staticmethod
    def _practised(visits: Visits, new: Bools, moved: Ints, window: Window) -> Ints:
        """The new pairs of programs that are not settled yet, and here since yesterday: that, too, is how they move.

        On its first day everything is new to anybody, and people have their homes.
        """
        programs = (visits.frame["kind"] != "human").to_numpy()
        rows = np.setdiff1d(np.flatnonzero(new & programs), moved)
        return rows[known_since(window, visits.frame[rows].select("principal"), window.start_us - DAY_US)]

    def _settled(self, visits: Visits, rows: Ints, known: Bools, window: Window) -> Bools:
        """Whether the principals of these pairs are known well enough: by windows, or who comes seldom by days.

        A person who comes seldom may come from anywhere its kind comes from, but not from there and, in one window,
        from a network of its own or of many of its kind.
        """
        enough: Bools = self._zones.windows(visits, rows) >= self._config.windows
        some = np.flatnonzero(~enough)
        if not len(some):
            return enough
        asked = visits.frame[rows[some]].select("principal")
        known_well, known_a_while = (
            known_since(window, asked, window.start_us - round(days * DAY_US))
            for days in (self._config.known_days, self._config.foreign_days)
        )
        common = self._zones.shares(visits) >= COMMON
        here = np.isin(visits.principal[rows[some]], visits.principal[known | common]) & ~common[rows[some]]
        program = (visits.frame["kind"] != "human").to_numpy()[rows[some]]
        foreign = self._zones.foreign(visits, rows[some]) & self._zones.sites_known(window.start_us)
        enough[some] = (known_well & (program | here)) | (known_a_while & foreign)
        return enough

    def _newly(self, visits: Visits, odd: Bools, known: Bools, window: Window) -> tuple[list[Found], list[float]]:
        """What is told, and every surprise, told or not."""
        if not odd.any():
            return [], []
        at = np.flatnonzero(odd)
        share, node = self._zones.shares(visits)[at], self._zones.on_nodes(visits, at)
        mean, size = self._zones.moving(visits, at, node)
        strange, took = self._zones.strange(visits, at, window.start_us), taking(visits, odd, window)[at]
        first = self._homes.first(visits, at)
        columns = {
            "share": share, "mean": np.maximum(mean, first), "size": size, "took": took,
            "strange": no_stranger(strange, first), "hurried": self._homes.hurried(visits, at, known),
            "glances": self._zones.glances(visits, at),
            # A first home is somebody's own by nature.
            "alike": np.where(first > 0, 1.0, np.where(node, np.maximum(share, NODE), share)), "node": node,
        }  # fmt: skip
        rows = visits.frame[at].with_columns(pl.Series(name, values) for name, values in columns.items())
        # Of two networks that are new to somebody the one that many come from says nothing.
        rare = pl.col("share") < COMMON
        rows = rows.filter(rare | ~rare.any().over("principal"))
        each = rows.group_by("principal").agg(
            pl.col("took").any(), pl.col("node").all(),
            pl.col("zone").sort(), pl.len().alias("count"), pl.col("share", "alike", "mean").max(),
            pl.col("size", "kind", "glances").first(), pl.col("strange", "hurried").max(),
        ).sort("principal")  # fmt: skip
        count, mean, size = (each[name].to_numpy().astype(np.float64) for name in ("count", "mean", "size"))
        count = np.where(each["node"].to_numpy(), 1.0, count)  # what is deployed starts on several nodes at once
        surprise = _tails.surprise(_tails.upper(count, mean, size)) - np.log10(each["alike"].to_numpy())
        surprise = np.maximum(surprise, each["strange"].to_numpy())
        surprise += each["hurried"].to_numpy()
        surprise -= _NOTHING_TAKEN * ~each["took"].to_numpy()
        idle = ~each["took"] & (each["glances"] >= _OFTEN) & ~each["principal"].is_in(changers(window).implode())
        surprise = np.where(idle.to_numpy(), 0.0, surprise)
        programs = (each["kind"] != "human").to_numpy()
        surprise += _CARRIED * (programs & each["principal"].is_in(carriers(rows, window).implode()).to_numpy())
        loud = np.flatnonzero(surprise >= self._budget.threshold(window.start_us)).tolist()
        return [
            self._found(each.row(i, named=True), float(surprise[i]), visits, window) for i in loud
        ], surprise.tolist()

    def _found(self, one: dict[str, Any], surprise: float, visits: Visits, window: Window) -> Found:
        principal, new = one["principal"], one["zone"]
        rows = window.operations.filter(pl.col("principal") == principal)
        there, elsewhere = rows.filter(pl.col("zone").is_in(new)), rows.filter(~pl.col("zone").is_in(new))
        sessions = set(there["session"].drop_nulls()) & set(elsewhere["session"].drop_nulls()) - {""}
        values = values_in(there)
        grave = (values > 0 and one["kind"] in ("service", "pod")) + bool(sessions)
        also = " One of its tokens is in use there and in its usual network at the same time." if sessions else ""
        return Found(
            key=principal,
            severity=("low", "medium", "high")[grave],
            confidence=0.75 if sessions else 0.6,
            score=_tails.score(surprise + _CARRIED * (bool(sessions) and one["kind"] == "human")),
            message=f"{show(principal)} came from {several(new)} for the first time, reading {values} values.{also}",
            observed=f"{len(new)} new {'zones' if len(new) > 1 else 'zone'}, used by {one['share']:.1%} of principals",
            expected=f"{self._usual(visits, principal, window)}; {figure(one['mean'])} new ones in an hour",
            next_step="Ask the owner whether the workload moved. If not: revoke its tokens and its log-in credential"
            " (secret-id, key), then look at what was read from there (view operations).",
            principal=principal,
            **seen_in(there),
        )

    def _usual(self, visits: Visits, principal: str, window: Window) -> str:
        """Where it came from so far: memory has no names, so those of zones that are in use are tried."""
        names = window.operations["zone"].drop_nulls().unique().sort()
        used, known = self._zones.of_principal(visits, principal, names)
        named = names.filter(pl.Series(known)).to_list()
        asked = pl.DataFrame({"principal": [principal]})
        addresses = window.profiles.lookup("principal", asked, window.start_us, ("distinct_ips",)).item()
        zones = f"one of its {used} zones" if used > 1 else "its one zone"
        among = f" ({several(named)}{' among them' if len(named) < used else ''})" if named else ""
        return f"{zones}{among}, {addresses} {'addresses' if addresses != 1 else 'address'} so far"

    def _came(self, visits: Visits, window: Window) -> Ints:
        """The pairs of newcomers from afar that read a value."""
        came = self._arrivals.seen(visits, self._zones, window)
        asked = np.zeros(len(visits.zone), dtype=np.bool_)
        asked[came] = True
        return came[taking(visits, asked, window)[came]]

    def _machines(
        self, stays: Stays, new: Bools, known: set[str | None], window: Window
    ) -> tuple[list[Found], list[float]]:
        """Programs on a machine new to them, of whom nothing else is told; nothing where many go to one network."""
        if not new.any():
            return [], []
        at, surprise, crowd = self._hosts.judged(stays, new)
        pairs = stays.named(at).with_columns(surprise=pl.Series(surprise))
        pairs = pairs.filter(~pl.Series(crowd) & ~pl.col("principal").is_in(known))
        rows = window.operations.join(pairs.drop("surprise"), on=["principal", "client_ip"], how="semi")
        took = rows.filter("discloses_value")["principal"].unique()
        idle = _NOTHING_TAKEN * ~pl.col("principal").is_in(took.implode())
        each = pairs.select("principal", pl.col("surprise") - idle).unique("principal").sort("principal")
        loud = each.filter(pl.col("surprise") >= self._budget.threshold(window.start_us))
        found = [machine(one, rows.filter(principal=one["principal"])) for one in loud.iter_rows(named=True)]
        return found, each["surprise"].to_list()

    def snapshot(self) -> Frames:
        """Tallies, people's own networks, tokens, machines, the adoptions of the last day; proxies; the budget."""
        parts = (
            self._zones, self._homes, self._arrivals, self._tokens, self._hosts, self._fronts, self._budget,
        )  # fmt: skip
        return {name: frame for part in parts for name, frame in part.snapshot().items()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._zones.restore(frames)
        self._homes.restore(frames)
        self._arrivals.restore(frames)
        self._tokens.restore(frames)
        self._hosts.restore(frames)
        self._fronts.restore(frames)
        self._budget.restore(frames)


def create(config: Config) -> SourceNovelty:
    """The detector, with nothing remembered."""
    return SourceNovelty(config)
