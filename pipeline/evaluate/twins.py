"""One seed, watched twice by the real detectors: without the attacks and with them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pipeline import config as conf
from pipeline import named, rows, suite
from pipeline.baselines import Baselines
from pipeline.baselines import Config as BaselinesConfig
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.errors import KeytrailError
from pipeline.core.inline import inline
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, empty
from pipeline.evaluate.calibration import Checks, checks
from pipeline.evaluate.calibration import since as checked_since
from pipeline.evaluate.checks import Marks, OneLiners
from pipeline.evaluate.evidence import Evidence
from pipeline.evaluate.hearing import heard
from pipeline.evaluate.naive import Naive, methods
from pipeline.evaluate.plan import BUDGETS, principals
from pipeline.simulate import Incident, Plot, frames, lay
from pipeline.sli import Config as SliConfig
from pipeline.sli import Slis
from pipeline.windows import Windows

if TYPE_CHECKING:
    from pipeline.evaluate.plan import Plan

SUITE = "suite"
RULE_HITS = 5.0  # principal-days a day and 1,000 principals that a one-line rule may cost


class SuiteFailedError(KeytrailError):
    """A detector stopped: what is measured then is not the suite."""


@dataclass(frozen=True)
class Staged:
    """An incident with the times of its requests (µs, in order)."""

    label: Incident
    times_us: tuple[int, ...]
    skew_us: int = 0  # how far a clock may be off that dated them

    @property
    def begin_us(self) -> int:
        """When it began, at the earliest."""
        return _micros(self.label.begin) - self.skew_us

    @property
    def end_us(self) -> int:
        """When it was over, at the latest."""
        return _micros(self.label.end) + self.skew_us


@dataclass(frozen=True)
class Happening:
    """A harmless look-alike: what, from when to when (µs), and who took part."""

    name: str
    begin_us: int
    end_us: int
    parties: frozenset[str]


@dataclass(frozen=True)
class Recorded:
    """What one seed gave. `quiet` and `staged` are FINDING rows by method, before any allowance."""

    seed: int
    start_us: int
    test_us: int  # from here on it counts
    end_us: int
    principals: int
    operations: int  # of the quiet twin, in the test days
    quiet: dict[str, pl.DataFrame]
    staged: dict[str, pl.DataFrame]
    incidents: tuple[Staged, ...]
    one_line: tuple[str, ...]  # for each incident the quiet one-line rules that find it
    marks: float | None  # see checks.Marks
    happenings: tuple[Happening, ...]
    since: Mapping[str, int] = field(default_factory=dict)  # see evidence.Evidence, of `staged`
    checks: Checks = field(default_factory=dict)  # of the quiet twin, in the test days

    @property
    def days(self) -> float:
        """Test days."""
        return (self.end_us - self.test_us) / DAY_US


@dataclass
class Watch:
    """Windows, detectors and baselines of one twin, and what they said. Without `suite`, what the naive methods did."""

    settings: conf.Settings
    naive: Sequence[Naive]
    suite: bool = True
    found: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        detection = self.settings.table(conf.Detection, "detection")
        self.windows = Windows(detection.window_seconds, detection.look_seconds if self.suite else None)
        self.baselines = Baselines(self.settings.table(BaselinesConfig, "baselines"))
        self.slis = Slis(self.settings.table(SliConfig, "slis"))
        self.detectors = named.detectors(self.settings) if self.suite else []
        self.evidence: Evidence | None = None

    def watch(self, incidents: Sequence[Staged]) -> None:
        """From now on it is asked, too, since when each thing that is said in their time could have been said."""
        self.evidence = Evidence(self.detectors, incidents)

    @inline
    def take(self, operations: pl.DataFrame, until_us: int, verdicts: pl.DataFrame | None = None) -> None:
        """What the line does with operations and INTEGRITY rows, from the detectors on."""
        if not self.suite:
            for window in self.windows.push(operations, until_us):
                self._compare(window)
            return
        seen = empty(INTEGRITY) if verdicts is None else verdicts
        self._note(SUITE, self._inspect(suite.chunk(operations, seen, self.baselines), "operation"))
        if self.evidence is not None:
            self.evidence.take(operations)
        for window in self.windows.push(operations, until_us):
            if self.evidence is not None:
                self.evidence.judged(window, self.baselines)
            found = self._inspect(window, "window")
            self._note(SUITE, found)
            if self.evidence is not None:
                self.evidence.over(window, found)
            if not window.closed:
                continue
            self._compare(window)
            self.baselines.learn(window)
        told = self.slis.push(operations, until_us)
        self._note(SUITE, self._whole(suite.slis(self.detectors, told, self.baselines)))

    def _compare(self, window: Window) -> None:
        """What naive methods say of a window that is over."""
        for method in self.naive:
            self._note(method.name, rows.ready(method.inspect(window), window, "window"))

    @inline
    def finish(self) -> None:
        """The operations have ended: the open window is judged and not learned from."""
        if (current := self.windows.current()) is not None:
            self._note(SUITE, self._inspect(current, "window"))

    def _inspect(self, window: Window, cadence: str) -> pl.DataFrame:
        return self._whole(suite.inspect(self.detectors, window, cadence, self.baselines))

    def _whole(self, found: pl.DataFrame) -> pl.DataFrame:
        failed = found.filter(detector="keytrail")
        if len(failed):
            raise SuiteFailedError(failed["message"][0])
        return found

    def _note(self, method: str, findings: pl.DataFrame) -> None:
        if len(findings):
            self.found.setdefault(method, []).append(findings)

    def fork(self) -> Watch:
        """Another one that goes on from here, by way of the states a commit would keep."""
        found = {name: list(each) for name, each in self.found.items()}
        other = Watch(self.settings, copy.deepcopy(self.naive), self.suite, found)
        pairs: list[tuple[Any, Any]] = [
            (self.windows, other.windows),
            (self.baselines, other.baselines),
            (self.slis, other.slis),
        ]
        pairs += [
            (old, new)
            for old, new in zip(self.detectors, other.detectors, strict=True)
            if hasattr(old, "snapshot")
        ]  # fmt: skip
        for old, new in pairs:
            new.restore(dict(old.snapshot()))
        return other

    def told(self) -> dict[str, pl.DataFrame]:
        """Every finding by method; a window judged twice tells it once."""
        return {
            name: pl.concat(each).unique("uid", keep="first", maintain_order=True) for name, each in self.found.items()
        }


def record(plan: Plan, nth: int, tree: dict[str, Any]) -> Recorded:
    """Run the n-th seed of the plan with the configuration `tree`. Raises SuiteFailedError."""
    scenario = plan.scenario(nth)
    plot = lay(scenario)
    most = {"alerts": {"per_day": BUDGETS[-1] * principals(plan.preset) / 1000, **tree.get("alerts", {})}}
    settings = settings_for(plot, {**tree, **most})  # the detectors offer what the largest allowance could take
    start_us = scenario.start_ns // 1000
    test_us = start_us + plan.learn_days * DAY_US
    quiet, staged = Watch(settings, methods(plot, scenario.seed) if plan.naive else (), plan.suite), None
    operations, who, before = 0, set(), checks(quiet.detectors)
    one_liners, marks, incidents = OneLiners(), Marks(scenario.seed), _incidents(plot, plan.skew_minutes)
    for hour, (plain, attacked) in enumerate(heard(plot, plan)):
        until_us = start_us + (hour + 1) * HOUR_US
        if staged is None and attacked is not plain:
            staged = quiet.fork()
            staged.watch(incidents)
        quiet.take(plain, until_us)
        if staged is not None:
            staged.take(attacked, until_us)
        if until_us == test_us:
            before = checks(quiet.detectors)
        if until_us > test_us:
            operations += len(plain)
            who.update(plain["principal"].unique().to_list())
            one_liners.note(plain, until_us - HOUR_US)
            marks.note(plain)
    told = quiet.told()
    theirs = frames.operations(plot.world, plot.rows)
    return Recorded(
        seed=scenario.seed, start_us=start_us, test_us=test_us, end_us=start_us + plan.days * DAY_US,
        principals=len(who), operations=operations, quiet=told, staged=told if staged is None else staged.told(),
        incidents=incidents, marks=marks.score(theirs),
        one_line=tuple(one_liners.best(theirs, incidents, RULE_HITS * plan.test_days * len(who) / 1000)),
        happenings=_happenings(plot), since={} if staged is None or staged.evidence is None else staged.evidence.since,
        checks=checked_since(before, checks(quiet.detectors)),
    )  # fmt: skip


def settings_for(plot: Plot, tree: dict[str, Any]) -> conf.Settings:
    """The configuration, with what an operator knows of his own store: which secrets are bait."""
    bait = [plot.world.estate.secret(int(i)) for i in plot.world.estate.canaries]
    detectors = dict(tree.get("detectors", {}))
    detectors["invariant"] = {"canary_secrets": bait, **detectors.get("invariant", {})}
    return conf.Settings(None, {**tree, "detectors": detectors})


def _incidents(plot: Plot, skew_minutes: float) -> tuple[Staged, ...]:
    times, skew_us = plot.rows["t"] // 1000, round(skew_minutes * HOUR_US / 60)
    return tuple(
        Staged(label, tuple(np.sort(times[plot.rows["incident"] == number]).tolist()), skew_us)
        for number, label in enumerate(plot.incidents)
    )


def _happenings(plot: Plot) -> tuple[Happening, ...]:
    return tuple(
        Happening(label.attack, _micros(label.begin), _micros(label.end), parties)
        for label, parties in zip(plot.happenings, plot.parties, strict=True)
    )


def _micros(text: str) -> int:
    return int(np.datetime64(text.rstrip("Z"), "us").astype(np.int64))
