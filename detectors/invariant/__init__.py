"""Deterministic rules: what is worth a finding whoever does it and however often. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from detectors._operation import Told
from detectors.invariant import judge
from detectors.invariant.rule import Group
from detectors.invariant.rules import GROUPS, RULES
from pipeline.core.findings import build
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from detectors.invariant.rule import Rule
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="invariant",
    version="1",
    title="Invariant broken",
    family="invariant",
    summary="root use, audit control, policy and mount changes, snapshots, key exports, planted secrets",
    techniques=("T1078", "T1098", "T1485", "T1552.004", "T1562.008"),
    measures=("F3", "F6", "M4", "M6", "M7"),
    cadence="operation",
)
_DAY: Final = 86_400
_REMEMBERED_DAYS: Final = 2


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`canary_secrets` are planted secrets, as `kv/app/db` or `namespace/kv/app/db`; `off` names rules to leave out."""

    canary_secrets: tuple[str, ...] = ()
    long_ttl_days: int = 32
    off: tuple[str, ...] = ()
    remembered: int = 20_000  # folded hits kept in memory; past it they are told again under the same uid

    def __post_init__(self) -> None:
        unknown = set(self.off) - {rule.id for rule in RULES}
        if unknown:
            raise ValueError(f"off names no such rule: {', '.join(sorted(unknown))}")


class Invariant:
    """Every rule on every operation. Its one memory is which folded hits of today and yesterday were told."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        kept = [Group(g.gate, tuple(rule for rule in g.rules if rule.id not in config.off)) for g in GROUPS]
        self._groups = tuple(group for group in kept if group.rules)
        self._told = Told("day", _REMEMBERED_DAYS, config.remembered)  # rules with their keys

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        if window.operations.is_empty():
            return empty(FINDING)
        rows = judge.prepared(window.operations, self._config.canary_secrets, self._config.long_ttl_days * _DAY)
        said = [
            judge.tell(rule, kept)
            for group, asked in judge.worth_asking(self._groups, rows)
            for rule, hits in judge.hits_of(group.rules, asked)
            if len(kept := self._new(rule, hits))
        ]
        if not said:
            return empty(FINDING)
        return build(self.info, pl.concat(said).sort("time", "cause", "key"), identity=("cause", "key"))

    def _new(self, rule: Rule, hits: pl.DataFrame) -> pl.DataFrame:
        """`hits`, of a folding rule only the first of each key that was not told before."""
        if not rule.once:
            return hits
        first = hits.sort("complete_time", "time", "uid").unique("key", keep="first", maintain_order=True)
        days = first.select(pl.coalesce("time", "complete_time").dt.epoch("d").fill_null(0)).to_series().to_list()
        fresh = [
            self._told.is_new(f"{rule.id}|{key}", day) for key, day in zip(first["key"].to_list(), days, strict=True)
        ]
        self._told.forget(max(days))
        return first.filter(pl.Series(fresh, dtype=pl.Boolean))

    def snapshot(self) -> Frames:
        """What was told: columns name, day."""
        return self._told.snapshot()

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._told.restore(frames)


def create(config: Config) -> Invariant:
    """The detector, with nothing remembered."""
    return Invariant(config)
