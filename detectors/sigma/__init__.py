"""Sigma rules over operations, and correlations over windows that slide. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import polars as pl

from detectors._operation import Told
from detectors.sigma import tell
from detectors.sigma.amounts import thousandths
from detectors.sigma.judged import ROW
from detectors.sigma.match import Matcher
from detectors.sigma.sliding import Sliding
from pipeline.core.clock import HOUR_US
from pipeline.core.errors import MissingExtraError
from pipeline.core.findings import build
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.sigma.match import Codes
    from detectors.sigma.model import Correlation, Pack, Rule
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="sigma",
    version="1",
    title="Sigma rule matched",
    family="rules",
    summary="your own Sigma rules and correlations, over what the lake knows of each operation",
    techniques=("T1555.006",),
    measures=("F3",),
    cadence="operation",
)
_REMEMBERED_HOURS: Final = 2
_NONE: Final = "\x1f"  # between the parts of a group's name


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rules` are files and folders of Sigma rules (*.yml, *.yaml); without any, this detector does nothing.

    `placeholders` gives the values of `%name%` for rules that use `expand`. With `ours_only`, rules for streams that
    are not read here are left out without a word; `off` names rules (by name or id) to leave out. `correlated` is how
    many operations one correlation remembers at most, `remembered` how many folded matches of the last hours.
    """

    rules: tuple[str, ...] = ()
    placeholders: dict[str, tuple[str, ...]] = {}
    ours_only: bool = False
    off: tuple[str, ...] = ()
    correlated: Annotated[int, msgspec.Meta(ge=1)] = 200_000
    remembered: int = 100_000


class Sigma:
    """Remembers which matches of this hour and the last were told, and what each correlation's window holds."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        pack = load(config)
        self._rules: tuple[Rule, ...] = pack.rules if pack else ()
        self.problems = pack.problems if pack else ()
        self._matcher = Matcher(self._rules)
        self._correlations: tuple[Sliding, ...] = tuple(
            Sliding(correlation, config.correlated) for correlation in (pack.correlations if pack else ())
        )
        self._told = Told("hour", _REMEMBERED_HOURS, config.remembered)  # keys of matches

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person who starts a run should know."""
        if not self.problems:
            return ()
        return (f"sigma: {len(self.problems)} rules are left out; keytrail check says why",)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        if window.operations.is_empty() or not self._rules:
            return empty(FINDING)
        operations = window.operations.sort("complete_time", "uid")
        hits = self._matcher.hits(operations)
        said = [self._single(self._rules[place], operations, rows) for place, rows in hits.items()]
        said += [self._slid(sliding, operations, hits) for sliding in self._correlations]
        whole = [frame for frame in said if len(frame)]
        self._told.forget(int(operations["complete_time"].to_physical().to_numpy()[-1]) // HOUR_US)
        if not whole:
            return empty(FINDING)
        return build(self.info, pl.concat(whole).sort("time", "cause", "key"), identity=("cause", "key"))

    def _single(self, rule: Rule, operations: pl.DataFrame, rows: Codes) -> pl.DataFrame:
        if rule.silent:
            return pl.DataFrame()
        hits = operations[rows].select(tell.TOLD)
        hour = pl.col("complete_time").dt.epoch("us") // HOUR_US
        alike = ("principal", "secret", "client_ip", "outcome", "store")
        key = pl.concat_str(pl.lit(rule.id), *(pl.col(n).fill_null("") for n in alike), hour, separator="|")
        first = hits.with_columns(key.alias("key"), hour.alias("hour")).unique("key", keep="first", maintain_order=True)
        fresh = [self._told.is_new(name, at) for name, at in first.select("key", "hour").iter_rows()]
        kept = first.filter(pl.Series(fresh, dtype=pl.Boolean))
        return tell.matches(rule, kept) if len(kept) else pl.DataFrame()

    def _slid(self, sliding: Sliding, operations: pl.DataFrame, hits: dict[int, Codes]) -> pl.DataFrame:
        rows = _rows(sliding.correlation, operations, hits)
        if rows.is_empty():
            return pl.DataFrame()
        met = sliding.push(rows)
        if met.rows.is_empty():
            return pl.DataFrame()
        told = met.rows.select("uid").join(operations.select(tell.TOLD), on="uid", how="left", maintain_order="left")
        return tell.together(sliding.correlation, met, told, met.evidence)

    def snapshot(self) -> Frames:
        """What was told (name, hour), and the windows of all correlations (`sliding.ROW` and the correlation's id)."""
        kept = [each.kept.with_columns(rule=pl.lit(each.correlation.id)) for each in self._correlations]
        return {
            **self._told.snapshot(),
            "windows": pl.concat([pl.DataFrame(schema={**ROW, "rule": pl.String()}), *kept]),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot. A correlation that was not there then begins with nothing."""
        self._told.restore(frames)
        for each in self._correlations:
            each.restore(frames["windows"].filter(rule=each.correlation.id).drop("rule"))


def load(config: Config) -> Pack | None:
    """The rules that the config names; None when it names none. Raises ConfigError."""
    if not config.rules:
        return None
    try:
        from detectors.sigma.read import read  # noqa: PLC0415  an extra: only needed with rules
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in {"sigma", "yaml"}:
            raise
        raise MissingExtraError("[detectors.sigma] rules need pySigma: install keytrail[sigma]") from None
    return read(config.rules, config.placeholders, off=config.off, ours_only=config.ours_only)


def check(config: Config) -> Sequence[str]:
    """In words, every rule of the config that cannot be run or can never match. Raises ConfigError."""
    pack = load(config)
    return [str(problem) for problem in pack.problems] if pack else []


def _rows(correlation: Correlation, operations: pl.DataFrame, hits: dict[int, Codes]) -> pl.DataFrame:
    """sliding.ROW for every operation that a member matched."""
    frames = []
    for member, place in enumerate(correlation.members):
        if place not in hits:
            continue
        group = [field.expr.cast(pl.String).fill_null("") for field in correlation.groups[member]]
        value, number = pl.lit(None, pl.String), pl.lit(None, pl.Int64)
        if correlation.asked is not None:
            number = thousandths(correlation.counted[member].expr)
        elif correlation.counted:
            value = correlation.counted[member].expr.cast(pl.String)
        frames.append(
            operations[hits[place]].select(
                (pl.concat_str(*group, separator=_NONE) if group else pl.lit("")).alias("group"),
                pl.col("complete_time").dt.epoch("us").alias("at"),
                "uid",
                pl.coalesce("request_uid", "response_uid", "uid").alias("entry"),
                pl.lit(member, pl.Int64).alias("member"),
                value.alias("value"),
                number.alias("number"),
                pl.lit(None, pl.Int64).alias("begun"),
                pl.lit(0, pl.Int64).alias("length"),
                pl.lit(None, pl.List(pl.String)).alias("trail"),
                pl.lit(value=False).alias("met"),
                pl.lit(value=True).alias("fresh"),
            )
        )
    if not frames:
        return pl.DataFrame(schema=ROW)
    rows = pl.concat(frames)
    if correlation.asked is not None:
        rows = rows.filter(pl.col("number").is_not_null())
    elif correlation.counted:
        rows = rows.filter(pl.col("value").fill_null("") != "")
    if not correlation.kind.startswith("temporal"):  # an operation that several rules match is one
        rows = rows.unique(["group", "uid"], keep="first", maintain_order=True)
    return rows


def create(config: Config) -> Sigma:
    """The detector, with nothing remembered."""
    return Sigma(config)
