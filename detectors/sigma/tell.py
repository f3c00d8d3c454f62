"""What a match says: rows for `findings.build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors._operation import caller, evidence, whence
from detectors._text import show, shown
from detectors.sigma.amounts import shown as amount
from pipeline.core.schema import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.sigma.model import Correlation, Rule
    from detectors.sigma.sliding import Met

_SCORES: Final = dict(zip(SEVERITIES, (0.2, 0.4, 0.7, 0.9, 0.99), strict=True))
TOLD: Final = (
    "uid", "time", "complete_time", "principal", "secret", "store", "client_ip", "namespace", "outcome", "path",
    "api_operation", "request_uid", "response_uid",
)  # fmt: skip
_USUAL: Final = {
    "gt": "at most", "gte": "less than", "lt": "at least", "lte": "more than", "eq": "anything but", "neq": "exactly",
}  # fmt: skip
# Old clients put the token itself into the path.
_IN_PATH: Final = r"((?:^|/)(?:auth/token|sys)/[a-z/-]*(?:lookup|renew|revoke|wrap|unwrap|rewrap)[a-z-]*)/.+$"


def _next_step(rule: Rule | Correlation) -> str:
    harmless = "; ".join(show(text).rstrip(".") for text in rule.harmless[:3])
    named = f" Known to be harmless: {harmless}." if harmless else ""
    return f"Ask whether this was planned; if not, revoke the caller's token and read what else it did.{named}"


def _common(rule: Rule | Correlation) -> list[pl.Expr]:
    return [
        pl.lit(rule.level).alias("severity"),
        pl.lit(_SCORES[rule.level]).alias("score"),
        pl.lit(rule.confidence).alias("confidence"),
        pl.lit(show(rule.title)).alias("title"),
        pl.lit(rule.id).alias("cause"),
        pl.lit(_next_step(rule)).alias("next_step"),
        pl.lit(list(rule.techniques), dtype=pl.List(pl.String)).alias("techniques"),
    ]


def _worded(rows: pl.DataFrame) -> pl.DataFrame:
    path = pl.col("path").fill_null("").str.replace(_IN_PATH, "$1/…")
    return rows.with_columns(
        caller().alias("{who}"),
        pl.format("{} {}", shown(pl.col("api_operation").fill_null("asked")), shown(path)).alias("{what}"),
        whence().alias("{where}"),
    )


def matches(rule: Rule, hits: pl.DataFrame) -> pl.DataFrame:
    """Rows for `findings.build` of the operations (columns TOLD, `key`) that a rule matched."""
    said = pl.format("{}: {}, {}{}.", pl.lit(show(rule.title)), "{who}", "{what}", "{where}")
    return _worded(hits).select(
        pl.coalesce("time", "complete_time").alias("time"), "key", "principal", "secret", "store", "client_ip",
        *_common(rule),
        said.alias("message"),
        pl.format("{}: {}", "{what}", pl.col("outcome").fill_null("outcome unknown")).alias("observed"),
        pl.lit("no operation that this rule describes").alias("expected"),
        evidence().alias("evidence"),
    )  # fmt: skip


def together(rule: Correlation, met: Met, rows: pl.DataFrame, uids: Sequence[Sequence[str]]) -> pl.DataFrame:
    """The same for a correlation: `rows` are the operations (columns TOLD) at which it came to hold."""
    span = _span(rule.span_us)
    counted, less = _asked(rule)
    amounts = pl.Series("amounts", met.observed, dtype=pl.String)
    seen = pl.when(amounts == "").then(pl.lit(counted)).otherwise(pl.format("{} at {}", pl.lit(counted), amounts))
    whose = f" by the same {' and '.join(rule.group_names)}" if rule.group_names else ""
    said = pl.format(
        "{}: {}{} within {}; the last was {}, {}{}.", pl.lit(show(rule.title)), "{seen}", pl.lit(whose),
        pl.lit(span), "{who}", "{what}", "{where}",
    )  # fmt: skip
    keys = [f"{group}|{at}" for group, at in met.rows.select("group", "at").iter_rows()]
    return (
        _worded(rows)
        .with_columns(
            pl.Series("key", keys, dtype=pl.String),
            pl.Series("evidence", uids, dtype=pl.List(pl.String)),
            seen.alias("{seen}"),
        )
        .select(
            pl.coalesce("time", "complete_time").alias("time"), "key", "principal", "secret", "store", "client_ip",
            *_common(rule),
            said.alias("message"),
            pl.format("{} within {}", "{seen}", pl.lit(span)).alias("observed"),
            pl.lit(f"{less} within {span}").alias("expected"),
            "evidence",
        )
    )  # fmt: skip


def _asked(rule: Correlation) -> tuple[str, str]:
    """What a correlation measures, and what is usual."""
    if rule.asked is not None:
        what = {
            "value_sum": "sum",
            "value_avg": "average",
            "value_percentile": f"{_nth(rule.asked.percentile)} percentile",
            "value_median": "median",
        }[rule.kind]
        return f"{what} of {show(rule.counted_name)}", f"{_USUAL[rule.asked.op]} {amount(rule.asked.limit)}"
    counted = {
        "event_count": f"{rule.need} operations",
        "value_count": f"{rule.need} different values of {rule.counted_name}",
        "temporal": f"{rule.need} of {len(rule.members)} rules",
        "temporal_ordered": f"{len(rule.members)} rules in their order",
    }[rule.kind]
    return counted, "fewer" if rule.kind in {"event_count", "value_count"} else "not together"


def _nth(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number in {11, 12, 13} else ending}"


def _span(span_us: int) -> str:
    seconds = span_us // 1_000_000
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds % size == 0 and seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
