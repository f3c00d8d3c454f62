"""The error budget burns too fast, over a long and a short window at once. See README.md."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import polars as pl
from scipy.special import betainc  # type: ignore[import-untyped]

from detectors import _tails
from detectors._text import figure, show
from detectors._window import Found, tell
from detectors.sli_burn.ring import Key, Ring
from detectors.sli_burn.usual import Usual
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, SLI, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames, Ints, Window

INFO: Final = DetectorInfo(
    name="sli_burn",
    version="1",
    title="Error budget burns fast",
    family="sli",
    summary="multi-window burn rates of success, latency and rotations against objectives, gated by an exact test",
    techniques=("T1499",),
    measures=("F1", "F4", "M1", "M2", "M3"),
    cadence="sli",
)
_DAY: Final = 86_400
_FAST_SHARE: Final = 0.95  # of operations faster than M2's objective: what a p95 promises
_NAMES: Final = {
    "M1": "reads that succeed", "M2": "operations that are fast enough", "M3": "rotations that are done, and in time",
}  # fmt: skip
_ROTATE: Final = (
    "See which rotations fail (view operations, operation rotate, and error), or which secrets are past their lifetime"
    " (M5 of the view slis): the job that rotates, its credential, or the account that it changes passwords with."
)
_PAUSE: Final = (
    "Pause deployments. See which mount and which error it is (view operations, outcome and error), and whether the"
    " store's backend or its network is slow."
)
_SHOWN: Final = 3
_READ: Final = ("window_start", "window_seconds", "sli", "store", "scope", "good", "total", "objective")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`budget` (a share of the period's error budget) gone within `long_seconds` is worth a `severity`."""

    severity: str
    budget: Annotated[float, msgspec.Meta(gt=0, le=1)]
    long_seconds: Annotated[int, msgspec.Meta(ge=3_600, le=3 * _DAY)]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules of The Site Reliability Workbook, chapter 5, over `period_days`; the short window is a twelfth.

    A burn is told when it begins: at least `failures` failures (M2: `slow` slow answers), too many to be chance by an
    exact binomial test of the long window at `significance`, more than `above_usual` times the share that failed in the
    month before, and half of the long window was watched. One that rests for less than its long window has not ended.
    `keys` bounds the memory: pairs of SLI and store or mount, 2,500 bytes each.
    """

    period_days: Annotated[int, msgspec.Meta(ge=1)] = 30
    rules: tuple[Rule, ...] = (
        Rule("high", 0.02, 3_600),
        Rule("high", 0.05, 6 * 3_600),
        Rule("medium", 0.10, _DAY),
        Rule("medium", 0.10, 3 * _DAY),
    )
    failures: int = 5
    slow: int = 30
    significance: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-3
    above_usual: Annotated[float, msgspec.Meta(ge=1)] = 2.0
    keys: Annotated[int, msgspec.Meta(ge=1)] = 4_000


class SliBurn:
    """Remembers three days of good and total per SLI, store and mount, and which burns go on.

    A window is judged one window after it closed: by then every late operation is in it, so the cut of the stream
    decides nothing.
    """

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._ring = Ring(config.keys)
        self._usual = Usual()
        self._waiting = empty(SLI)
        self._judged_us = -(1 << 62)
        self._objective: dict[Key, float] = {}
        self._burning: dict[tuple[Key, int], int] = {}  # key and rule -> window it last burned in

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of SLI rows."""
        if window.slis is None or window.slis.is_empty():
            return empty(FINDING)
        mine = pl.col("sli").is_in(list(_NAMES)) & ~pl.col("scope").str.starts_with("namespace:")
        rows = pl.concat([self._waiting, window.slis.filter(mine)])
        starts = rows["window_start"].to_physical()
        rows = rows.filter(starts > self._judged_us)
        self._waiting = rows.unique(["sli", "store", "scope", "window_start"], keep="last", maintain_order=True)
        found: list[Found] = []
        told = self._waiting.sort("window_start", "sli", "store", "scope").with_columns(
            pl.col("window_start").to_physical()
        )
        newest = told["window_start"].max()
        for at_us, group in groupby(told.select(_READ).iter_rows(), itemgetter(0)):
            judged = list(group)
            size = judged[0][1] * 1_000_000
            if at_us + size <= newest:
                found += self._judge(judged, at_us, size)
                self._judged_us = at_us
        self._waiting = self._waiting.filter(pl.col("window_start").to_physical() > self._judged_us)
        return tell(self.info, window, found)

    def _judge(self, rows: Sequence[tuple[Any, ...]], at_us: int, size: int) -> list[Found]:
        number = at_us // size
        self._usual.advance(self._ring, number, size)
        self._ring.advance(number)
        for _, _, sli, store, scope, good, total, objective in rows:
            key = (sli, store, scope)
            self._ring.add(key, (total or 0.0) - (good or 0.0), total or 0.0)
            self._objective[key] = 1 - (_FAST_SHARE if sli == "M2" else objective)
        self._objective = {key: self._objective[key] for key in self._ring.keys if key in self._objective}
        allowed = np.array([self._objective.get(key, 1.0) for key in self._ring.keys])
        least = np.array([self._config.slow if sli == "M2" else self._config.failures for sli, _, _ in self._ring.keys])
        fresh = [
            (place, rule, burn)
            for rule in range(len(self._config.rules))
            for place, burn in self._begun(rule, (allowed, least), number, size)
        ]
        return self._worded(fresh, at_us, size)

    def _begun(self, number: int, bounds: tuple[Floats, Ints], window: int, size: int) -> list[tuple[int, float]]:
        """Keys whose burn under a rule begins in this window, with the burn rate of the long one.

        `bounds` are, of each key, the share of failures that its objective allows, and the fewest that count.
        """
        (allowed, least), rule, config = bounds, self._config.rules[number], self._config
        long, short = (max(rule.long_seconds * 1_000_000 // part // size, 1) for part in (1, 12))
        if 2 * self._ring.age < long:
            return []
        failed, total = self._ring.over(long).T
        if not (failed >= least).any():
            return []
        recent = self._ring.over(short)
        threshold = rule.budget * config.period_days * _DAY / rule.long_seconds
        burn = _rate(failed, total) / allowed
        over = (burn > threshold) & (_rate(*recent.T) / allowed > threshold)
        hot: Bools = over & (failed >= least) & (_chance(failed, total, allowed) < config.significance)
        some = np.flatnonzero(hot)
        usual = self._usual.share([self._ring.keys[place] for place in some.tolist()])
        bar = np.minimum(config.above_usual * usual, (2 + usual) / 3)
        hot[some] = _rate(failed[some], total[some]) > bar
        begun = []
        for place in np.flatnonzero(hot).tolist():
            key = (self._ring.keys[place], number)
            if window - self._burning.get(key, -(1 << 62)) > long:
                begun.append((place, float(burn[place])))
            self._burning[key] = window
        if len(self._burning) > 2 * config.keys:
            self._burning = {
                key: at for key, at in self._burning.items() if (window - at) * size <= 3 * _DAY * 1_000_000
            }
        return begun

    def _worded(self, fresh: Sequence[tuple[int, int, float]], at_us: int, size: int) -> list[Found]:
        """One finding a burn; that of a mount is not told where its store burns by the same rule."""
        stores = {self._ring.keys[place][:2] for place, _, _ in fresh if self._ring.keys[place][2] == "store"}
        burning = {key[:2] for key, _ in self._burning if key[2] == "store" and self._is_hot(key, at_us // size)}
        return [
            self._found(self._ring.keys[place], (self._config.rules[rule], rule), burn, (at_us, size))
            for place, rule, burn in fresh
            if self._ring.keys[place][2] == "store" or self._ring.keys[place][:2] not in stores | burning
        ]

    def _is_hot(self, key: Key, window: int) -> bool:
        return any(self._burning.get((key, rule)) == window for rule in range(len(self._config.rules)))

    def _found(self, key: Key, numbered: tuple[Rule, int], burn: float, when: tuple[int, int]) -> Found:
        (sli, store, scope), (rule, number), (at_us, size) = key, numbered, when
        place, allowed = self._ring.keys.index(key), self._objective[key]
        windows = rule.long_seconds * 1_000_000 // size
        failed, total = self._ring.over(windows)[place]
        gone = burn * rule.long_seconds / (self._config.period_days * _DAY)
        where = f"the store {show(store)}" if scope == "store" else f"{show(scope)} of {show(store)}"
        blamed = self._blamed(sli, store, windows) if scope == "store" else ""
        threshold = rule.budget * self._config.period_days * _DAY / rule.long_seconds
        return Found(
            key=f"{sli}|{store}|{scope}|{number}|{at_us}",
            cause=f"sli_burn:{sli}:{scope}",
            severity=rule.severity,
            confidence=0.9,
            score=_tails.score(burn / threshold * 6),
            message=f"{sli} ({_NAMES[sli]}) of {where} burns its error budget {figure(burn)} times too fast:"
            f" {figure(failed)} of {figure(total)} failed in {_span(rule.long_seconds)}{blamed}.",
            observed=f"burn rate {figure(burn)}; {gone:.0%} of the {self._config.period_days}-day budget gone in"
            f" {_span(rule.long_seconds)}",
            expected=f"burn rate below {figure(threshold)}; {allowed:.2%} may fail",
            next_step=_ROTATE if sli == "M3" else _PAUSE,
            evidence=[],
            time=datetime.fromtimestamp(at_us / 1e6, UTC),
            ready=datetime.fromtimestamp((at_us + 3 * size) / 1e6, UTC),
            store=store,
        )

    def _blamed(self, sli: str, store: str, windows: int) -> str:
        failed = self._ring.over(windows)[:, 0]
        mounts = [
            (float(failed[i]), key[2].removeprefix("mount:"))
            for i, key in enumerate(self._ring.keys)
            if key[:2] == (sli, store) and key[2].startswith("mount:") and failed[i] > 0
        ]
        worst = [f"{show(name)} {figure(count)}" for count, name in sorted(mounts, key=lambda m: (-m[0], m[1]))]
        return f", most at {', '.join(worst[:_SHOWN])}" if worst else ""

    def snapshot(self) -> Frames:
        """The ring; what is usual; rows not judged yet; objectives; burns that go on."""
        names = ("sli", "store", "scope")
        burning = [(*key, rule, at) for (key, rule), at in self._burning.items()]
        objective = [(*key, allowed) for key, allowed in self._objective.items()]
        texts: dict[str, Any] = dict.fromkeys(names, pl.String)
        return {
            **self._ring.snapshot(),
            **self._usual.snapshot(),
            "waiting": self._waiting,
            "judged": pl.DataFrame({"at_us": [self._judged_us]}),
            "objective": pl.DataFrame(objective, schema={**texts, "allowed": pl.Float64}, orient="row"),
            "burning": pl.DataFrame(burning, schema={**texts, "rule": pl.Int64, "at": pl.Int64}, orient="row"),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._ring.restore(frames)
        self._usual.restore(frames)
        self._waiting = frames["waiting"]
        self._judged_us = int(frames["judged"]["at_us"][0])
        self._objective = {(a, b, c): allowed for a, b, c, allowed in frames["objective"].iter_rows()}
        self._burning = {((a, b, c), rule): at for a, b, c, rule, at in frames["burning"].iter_rows()}


def _rate(failed: Floats, total: Floats) -> Floats:
    return np.asarray(failed / np.maximum(total, 1.0))


def _chance(failed: Floats, total: Floats, allowed: Floats) -> Floats:
    """The chance of that many failures or more when each attempt fails with the share allowed: the exact binomial."""
    many = np.minimum(np.maximum(failed, 1.0), np.maximum(total, 1.0))
    tail: Floats = np.where(failed > 0, betainc(many, np.maximum(total, 1.0) - many + 1, allowed), 1.0)
    return tail


def _span(seconds: int) -> str:
    return f"{seconds // _DAY} days" if seconds >= 2 * _DAY else f"{seconds // 3_600} h"


def create(config: Config) -> SliBurn:
    """The detector, with nothing remembered."""
    return SliBurn(config)
