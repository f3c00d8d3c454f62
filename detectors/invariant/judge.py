"""Rules put to rows: which rows are worth asking about, which rule says yes, and in what words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from detectors._operation import caller, evidence, whence
from detectors._text import shown
from pipeline.core.schema import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.invariant.rule import Group, Rule

_SCORES: Final = dict(zip(SEVERITIES, (0.2, 0.4, 0.7, 0.9, 0.99), strict=True))
_LOWER: Final = {name: SEVERITIES[max(0, i - 1)] for i, name in enumerate(SEVERITIES)}
_REFUSED: Final = {
    "denied": "Attempt, refused: ",
    "failure": "Attempt, failed: ",
    "not_found": "Attempt, nothing there: ",
}
_WHOSE: Final = ("principal", "secret", "store", "client_ip")
_TOLD: Final = (
    "uid", "time", "complete_time", "principal", "secret", "store", "client_ip", "namespace", "outcome", "at",
    "api_operation", "login_principal", "token_ttl", "devices", "request_uid", "response_uid",
)  # fmt: skip

# Old clients put the token itself into the path.
_IN_PATH: Final = (
    r"^(auth/token/(?:lookup|renew|revoke)[a-z-]*|sys/wrapping/[a-z]+|sys/(?:leases/)?(?:renew|revoke))/.+$"
)


def prepared(operations: pl.DataFrame, canaries: Sequence[str], long_ttl: int) -> pl.DataFrame:
    """OPERATION rows with what gates look at beside them."""
    path = pl.col("path").fill_null("")
    inside = (pl.col("namespace") != "") & path.str.starts_with(pl.concat_str("namespace", pl.lit("/")))
    local = pl.when(inside).then(path.str.slice(pl.col("namespace").str.len_chars() + 1)).otherwise(path)
    if not operations.select((pl.col("namespace") != "").any()).item():
        local = path
    return operations.with_columns(
        local.str.strip_suffix("/").alias("at"),
        pl.col("api_operation").str.to_lowercase().alias("verb"),
        (_is_canary(canaries) if canaries else pl.lit(value=False)).alias("is_canary"),
        pl.lit(long_ttl).alias("long_ttl"),
    )


def worth_asking(groups: Sequence[Group], rows: pl.DataFrame) -> list[tuple[Group, pl.DataFrame]]:
    """For each group with something to look at, the `prepared` rows it looks at."""
    asked = rows.select(group.gate.expr.fill_null(value=False).alias(str(i)) for i, group in enumerate(groups))
    counts = asked.sum().row(0)
    return [
        (group, looked_at(rows.filter(asked[str(i)])))
        for i, (group, count) in enumerate(zip(groups, counts, strict=True))
        if count
    ]


def looked_at(rows: pl.DataFrame) -> pl.DataFrame:
    """`prepared` rows that passed the gate, with the other columns that rules speak of: see `rule`."""
    mount, at, kind = pl.col("mount").fill_null(""), pl.col("at"), pl.col("mount_type").fill_null("")
    known = (mount != "") & at.str.starts_with(mount)
    return rows.with_columns(
        at.str.replace(_IN_PATH, "$1/…").alias("at"),
        # Without a known mount, what follows the first name; a log too old to tell the type usually names it so.
        pl.when(known)
        .then(at.str.slice(mount.str.len_chars()))
        .otherwise(at.str.replace(r"^[^/]*/?", ""))
        .alias("rest"),
        pl.when(kind == "").then(mount.str.strip_chars("/")).otherwise(kind).alias("engine"),
        pl.col("verb").str.extract(r"([^./]+)$", 1).alias("method"),
        (pl.col("store") == "vault").alias("is_vault"),
        pl.col("verb").is_in(("create", "update", "patch")).alias("is_write"),
    )


def _is_canary(canaries: Sequence[str]) -> pl.Expr:
    """The operation names a planted secret, by itself or with its namespace before it."""
    full = pl.concat_str("namespace", pl.lit("/"), "secret")
    return pl.col("secret").is_in(canaries) | full.is_in(canaries)


def tell(rule: Rule, hits: pl.DataFrame) -> pl.DataFrame:
    """Rows for `findings.build` from the operations that a rule spoke about."""
    happened = pl.col("outcome") == "success"
    severity, prefix = pl.lit(rule.severity), pl.lit("")
    if rule.lowered:
        severity = pl.when(happened).then(pl.lit(rule.severity)).otherwise(pl.lit(_LOWER[rule.severity]))
        prefix = pl.col("outcome").replace_strict(_REFUSED, default="")
    # What befalls a whole device belongs to nobody in particular, and folds with what the stream itself tells.
    whose = [pl.lit(None, pl.String).alias(name) if rule.once == "device" else pl.col(name) for name in _WHOSE]
    return _worded(hits).select(
        pl.coalesce("time", "complete_time").alias("time"), "key", *whose,
        severity.alias("severity"),
        pl.lit(rule.confidence).alias("confidence"),
        severity.replace_strict(_SCORES, return_dtype=pl.Float64).alias("score"),
        _sentence(prefix, rule.message).alias("message"),
        pl.concat_str("{verb}", pl.lit(" "), "{path}", pl.lit(": "), "outcome", "{where}").alias("observed"),
        pl.lit(rule.expected).alias("expected"),
        pl.lit(rule.title).alias("title"),
        pl.lit(rule.id).alias("cause"),
        pl.lit(rule.next_step).alias("next_step"),
        pl.lit(list(rule.techniques), dtype=pl.List(pl.String)).alias("techniques"),
        evidence().alias("evidence"),
    )  # fmt: skip


def _worded(hits: pl.DataFrame) -> pl.DataFrame:
    """The columns that messages speak of, made safe to show."""
    path = shown(pl.col("at"))
    return hits.with_columns(
        caller().alias("{who}"),
        path.alias("{path}"),
        path.str.extract(r"([^/]*)$", 1).alias("{name}"),
        pl.when(pl.col("secret") != "").then(shown(pl.col("secret"))).otherwise(path).alias("{secret}"),
        shown(pl.col("api_operation").fill_null("")).alias("{verb}"),
        (pl.col("token_ttl") // 86_400).cast(pl.String).add(" days").fill_null("").alias("{ttl}"),
        shown(pl.col("devices").list.join(", ").fill_null("one device")).alias("{device}"),
        whence().alias("{where}"),
    )


def _sentence(prefix: pl.Expr, template: str) -> pl.Expr:
    """The template filled, what happened to the attempt before it, and where it came from behind it."""
    parts = [part for part in re.split(r"(\{\w+\})", template) if part]
    filled = [pl.col(part).fill_null("") if part.startswith("{") else pl.lit(part) for part in parts]
    return pl.concat_str(prefix, *filled, pl.col("{where}"), pl.lit("."))


def hits_of(rules: Sequence[Rule], rows: pl.DataFrame) -> list[tuple[Rule, pl.DataFrame]]:
    """For each rule with something to say, the rows it speaks about, with `key` (what makes them one finding)."""
    said = rows.select(
        (rule.when.expr.fill_null(value=False) & pl.col("outcome").is_in(rule.outcomes)).alias(rule.id)
        for rule in rules
    )
    counts = said.sum().row(0)
    return [
        (rule, rows.filter(said[rule.id]).select(_TOLD).with_columns(_key(rule).alias("key")))
        for rule, count in zip(rules, counts, strict=True)
        if count
    ]


def _key(rule: Rule) -> pl.Expr:
    day = pl.coalesce("time", "complete_time").dt.date().cast(pl.String)
    if rule.once == "device":
        return pl.concat_str(
            pl.col("devices").list.join(",").fill_null(""), "store", day, separator="|", ignore_nulls=True
        )
    if rule.once == "principal":
        query = pl.col("store") != "vault"  # what a client asked besides: a cluster lists page by page
        place = pl.when(query).then(pl.col("at").str.replace(r"\?.*$", "")).otherwise("at")
        return pl.concat_str("principal", place, "outcome", day, separator="|", ignore_nulls=True)
    if rule.once == "actor":
        return pl.concat_str("principal", "outcome", day, separator="|", ignore_nulls=True)
    return pl.col("uid")
