"""The lake's operations through windows, detectors and router once more, under one configuration or two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from pipeline import config as conf
from pipeline import named
from pipeline.baselines import Config as BaselinesConfig
from pipeline.core.clock import DAY_US
from pipeline.core.schema import INTEGRITY, conform, empty
from pipeline.evaluate.twins import SUITE, Watch
from pipeline.routing import Config as RoutingConfig
from pipeline.routing import Router
from pipeline.rows import no_findings
from pipeline.sli import Config as SliConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.core.model import Message
    from pipeline.store import Lake

DELIVERED: Final = ("ticket", "page")
BATCH: Final = 50_000  # operations; results do not depend on it


@dataclass(slots=True)
class Told:
    """What one configuration would have sent: each delivered alert's newest row by uid, and when it first was sent."""

    alerts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    opened_us: dict[str, int] = field(default_factory=dict)
    findings: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """`told` is by configuration; the span (µs) is what counted, `operations` what was read, learning included."""

    told: tuple[Told, ...]
    from_us: int
    to_us: int
    operations: int

    @property
    def days(self) -> float:
        """Days that counted."""
        return max(self.to_us - self.from_us, 1) / DAY_US


class _Suite:
    """One configuration: its router, and the detectors that are not the same as the first one's."""

    def __init__(self, settings: conf.Settings, first: _Suite | None) -> None:
        self.settings = settings
        self.router = Router(settings.table(RoutingConfig, "alerts"))
        self.told = Told()
        self.watch: Watch | None = Watch(settings, ())
        self.shared: frozenset[str] = frozenset()
        if first is not None:
            self.shared = same_detectors(first.settings, settings)
            kept = [one for one in self.watch.detectors if one.info.name not in self.shared]
            self.watch.detectors = kept
            if not kept:
                self.watch = None

    def take(self, operations: pl.DataFrame, until_us: int, verdicts: pl.DataFrame) -> pl.DataFrame:
        """FINDING rows of this configuration's own detectors."""
        if self.watch is None:
            return no_findings()
        self.watch.take(operations, until_us, verdicts)
        return self._found()

    def finish(self) -> pl.DataFrame:
        """The same for the window that is still open."""
        if self.watch is None:
            return no_findings()
        self.watch.finish()
        return self._found()

    def _found(self) -> pl.DataFrame:
        assert self.watch is not None  # noqa: S101  both callers have just looked
        return pl.concat([no_findings(), *self.watch.found.pop(SUITE, [])]).unique(
            "uid", keep="first", maintain_order=True
        )

    def route(self, findings: pl.DataFrame, until_us: int, *, hold: bool, from_us: int) -> None:
        """Fold findings into alerts, and note what would have been sent from `from_us` on."""
        self.told.findings += len(findings)
        result = self.router.push(findings, until_us, hold=hold)
        for message in result.messages:
            if message.alert["route"] in DELIVERED and message.alert["state"] not in {"closed", "suppressed"}:
                self._sent(message, from_us)
        for row in result.alerts.iter_rows(named=True):
            if row["uid"] in self.told.opened_us:
                self.told.alerts[row["uid"]] = row

    def _sent(self, message: Message, from_us: int) -> None:
        at = int(message.alert["last_time"].timestamp() * 1e6)
        if at >= from_us:
            self.told.opened_us.setdefault(message.alert_uid, at)


def same_detectors(one: conf.Settings, other: conf.Settings) -> frozenset[str]:
    """Names of the detectors that see and say the same under both configurations."""
    around: tuple[tuple[Any, str], ...] = (
        (conf.Detection, "detection"), (BaselinesConfig, "baselines"), (SliConfig, "slis"),
    )  # fmt: skip
    for kind, table in around:
        mine, theirs = one.table(kind, table), other.table(kind, table)
        if table == "detection":
            mine, theirs = (msgspec.structs.replace(each, disabled=()) for each in (mine, theirs))
        if mine != theirs:
            return frozenset()
    left, right = named.configured(one), named.configured(other)
    return frozenset(name for name, config in left.items() if name in right and right[name] == config)


def replay(
    lake: Lake,
    settings: tuple[conf.Settings, ...],
    span: tuple[int | None, int | None],
    learn_days: float | None,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Every operation before the span's end, in the canonical order; alerts count from its beginning on.

    What comes before is learned from, `learn_days` of it (None: all there is). Nothing is written.
    """
    from_us, to_us = span
    learn_us = None if learn_days is None or from_us is None else from_us - round(learn_days * DAY_US)
    suites = [_Suite(settings[0], None)]
    suites += [_Suite(more, suites[0]) for more in settings[1:]]
    verdicts = _Verdicts(lake, learn_us)
    counted_us = -(1 << 62) if from_us is None else from_us
    operations, first_us, until_us = 0, None, 0
    for rows in _batches(lake.operations(learn_us, to_us)):
        times = rows["complete_time"].to_physical()
        first_us = first_us if first_us is not None else int(rows["time"].to_physical().drop_nulls()[0])
        until_us = int(times[-1])
        operations += len(rows)
        _step(suites, [suite.take(rows, until_us, verdicts.until(until_us)) for suite in suites], until_us, counted_us)
        if progress is not None:
            progress(operations)
    if operations:
        _step(suites, [suite.finish() for suite in suites], until_us, counted_us, hold=False)
    start = from_us if from_us is not None else first_us or 0
    return Replayed(tuple(suite.told for suite in suites), start, to_us or until_us, operations)


def _step(suites: list[_Suite], own: list[pl.DataFrame], until_us: int, from_us: int, *, hold: bool = True) -> None:
    for suite, found in zip(suites, own, strict=True):
        shared = own[0].filter(pl.col("detector").is_in(suite.shared)) if suite is not suites[0] else own[0]
        whole = shared if suite is suites[0] else pl.concat([shared, found])
        suite.route(whole, until_us, hold=hold, from_us=from_us)


def _batches(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in pieces of a handy size."""
    waiting: list[pl.DataFrame] = []
    for frame in frames:
        waiting.append(frame)
        if sum(map(len, waiting)) < BATCH:
            continue
        whole = pl.concat(waiting)
        cut = len(whole) // BATCH * BATCH
        yield from (whole[at : at + BATCH] for at in range(0, cut, BATCH))
        waiting = [whole[cut:]] if cut < len(whole) else []
    if waiting:
        yield pl.concat(waiting)


class _Verdicts:
    """INTEGRITY rows in the order in which they became known; few, as long as the record is sound."""

    def __init__(self, lake: Lake, from_us: int | None) -> None:
        rows = pl.concat([empty(INTEGRITY), *(conform(frame, INTEGRITY) for frame in lake.read("integrity"))])
        known = pl.col("known").dt.epoch("us")
        rows = rows.filter(known.is_not_null() & (known >= (from_us if from_us is not None else -(1 << 62))))
        self._rows = rows.sort("known", "uid")
        self._times = self._rows["known"].to_physical().to_numpy()
        self._given: dict[int, pl.DataFrame] = {}
        self._place = 0

    def until(self, at_us: int) -> pl.DataFrame:
        """Those that became known since the last moment asked for; asked again for one, the same."""
        if at_us not in self._given:
            end = int(self._times.searchsorted(at_us, "right"))
            self._given = {at_us: self._rows[self._place : end]}
            self._place = end
        return self._given[at_us]
