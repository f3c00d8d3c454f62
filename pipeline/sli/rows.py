"""SLI rows out of counts: rolled up to store, namespace and mount, measured against their objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.schema import CACHE, SLI, TIME, conform
from pipeline.sli.bins import quantiles
from pipeline.sli.config import objective, thresholds
from pipeline.sli.tally import OTHER, under

if TYPE_CHECKING:
    from pipeline.sli.config import Config

SCOPE: Final = ["window", "store", "scope"]
OBJECTIVES: Final = ("M1", "M2", "M3", "M5", "M10")
_TOLD: Final = pl.lit(value=False)  # the log tells the thing itself
SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def rolled_up(
    places: pl.DataFrame, sums: pl.DataFrame, bins: pl.DataFrame, touched: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Columns window, store, scope, counts, p50, p95, p99 (ms) of the windows, one row per scope.

    `places`: window, place, store, namespace, mount. Where `touched` (window, place) is given, only scopes that one of
    those places belongs to.
    """
    links = _links(places)
    if touched is not None:
        links = links.join(links.join(touched, on=["window", "place"]).select(SCOPE).unique(), on=SCOPE, how="semi")
    scopes = links.select(SCOPE).unique(maintain_order=True).with_row_index("key")
    keyed = links.join(scopes, on=SCOPE).select("window", "place", "key")
    totals, binned = (counts.join(keyed, on=["window", "place"]) for counts in (sums, bins))
    counts = totals.drop("window", "place").group_by("key").sum()
    times = quantiles(binned.group_by("key", "bin").agg(pl.col("n").sum()), SHARES)
    return scopes.join(counts, on="key").join(times, on="key", how="left").drop("key").sort(SCOPE)


def rows(wide: pl.DataFrame, config: Config) -> pl.DataFrame:
    """`core.schema.SLI` rows of what is `rolled_up`.

    M1: successful reads of those that succeeded or failed. M2: good is faster than the objective, value the p95 in
    ms. M3: rotations done, of those asked for and those due. M4: good is what was not denied, value the denials.
    M5: reads of secrets with a lifetime, value those past it. M9: value is operations a minute. M10: lookups
    that a cache answered, by its own log; else reads that no cache would have answered, of those one could have.
    """
    places = wide.select("store", "scope").unique()
    goals = places.with_columns(
        pl.Series(sli, [objective(config, sli, *row) for row in places.rows()], pl.Float64) for sli in OBJECTIVES
    )
    whole = wide.join(goals, on=["store", "scope"])
    asked = whole.filter(pl.col("store") != CACHE)  # what a cache forwards stands in the store's own log as well
    parts = (
        *(_m1(asked), _m2(asked, config), _m3(asked, config), _m4(asked), _m5(asked, config)),
        *(_m9(asked, config), _m10(whole, config)),
    )
    return (
        pl.concat([conform(part, SLI) for part in parts])
        .with_columns(window_seconds=pl.lit(config.window_seconds, pl.Int64))
        .sort("window_start", "store", "scope", "sli")
    )


def _links(places: pl.DataFrame) -> pl.DataFrame:
    """window, place, store, scope: each place with its store, its namespace and, where it has one, its mount."""
    namespace, mount = pl.col("namespace"), pl.col("mount")
    path = pl.when(namespace == "").then(mount).otherwise(namespace + "/" + mount)
    scopes = (
        (pl.lit("store"), pl.lit(value=True)),
        ("namespace:" + namespace.replace(OTHER, "other"), pl.lit(value=True)),
        ("mount:" + pl.when(mount == OTHER).then(pl.lit("other")).otherwise(path), mount != ""),
    )
    return pl.concat(places.filter(there).select("window", "place", "store", scope=scope) for scope, there in scopes)


def _row(wide: pl.DataFrame, sli: str, *, estimate: pl.Expr = _TOLD, **columns: pl.Expr) -> pl.DataFrame:
    return wide.select(
        "store",
        "scope",
        pl.col("window").cast(TIME).alias("window_start"),
        sli=pl.lit(sli),
        estimate=estimate,
        **columns,
    )


def _share(
    wide: pl.DataFrame, sli: str, good: pl.Expr, total: pl.Expr, coverage: pl.Expr, *, estimate: pl.Expr = _TOLD
) -> pl.DataFrame:
    """One whose value is the good among all, met from its objective on; no row where there is none."""
    return _row(
        wide.filter(total > 0),
        sli,
        estimate=estimate,
        good=good,
        total=total,
        value=good / total,
        objective=pl.col(sli),
        met=good / total >= pl.col(sli),
        coverage=coverage,
    )


def _m1(wide: pl.DataFrame) -> pl.DataFrame:
    good, total = pl.col("read_good"), pl.col("read_good") + pl.col("read_failed")
    return _share(
        wide,
        "M1",
        good,
        total,
        pl.format(
            "{} denied and {} not found stand apart; every retry counts; requests that never reached the store do not",
            "read_denied",
            "read_not_found",
        ),
    )


def _m2(wide: pl.DataFrame, config: Config) -> pl.DataFrame:
    limits = thresholds(config)
    return _row(
        wide.filter(pl.col("timed") > 0),
        "M2",
        good=pl.coalesce(pl.when(pl.col("M2") == limit).then(under(limit)) for limit in limits),
        total=pl.col("timed"),
        value=pl.col("p95"),
        objective=pl.col("M2"),
        met=pl.col("p95") < pl.col("M2"),
        coverage=pl.format(
            "p50 {} ms, p99 {} ms, each within 1 %; inside the store only; {} of {} operations timed",
            pl.col("p50").round_sig_figs(3),
            pl.col("p99").round_sig_figs(3),
            "timed",
            "attempts",
        ),
    )


def _m3(wide: pl.DataFrame, config: Config) -> pl.DataFrame:
    good = pl.col("asked_done") + pl.col("due_done")
    total = good + pl.col("asked_failed") + pl.col("due_missed")
    due = pl.format(
        "{} of {} due by their lifetime came in time",
        "due_done",
        pl.col("due_done") + pl.col("due_missed"),
    )
    return _share(
        wide,
        "M3",
        good,
        total,
        pl.format(
            "{} of {} asked for were done; {}; what a store rotates by itself counts as far as it logs it",
            "asked_done",
            pl.col("asked_done") + pl.col("asked_failed"),
            due if config.lifetime_days else pl.lit("no lifetime is declared, so none is due"),
        ),
    )


def _m4(wide: pl.DataFrame) -> pl.DataFrame:
    return _row(
        wide,
        "M4",
        good=pl.col("attempts") - pl.col("denied"),
        total=pl.col("attempts"),
        value=pl.col("denied"),
        coverage=pl.lit("attempts the store logged; scanners and health checks among them"),
    )


def _m5(wide: pl.DataFrame, config: Config) -> pl.DataFrame:
    return _row(
        wide.filter(pl.lit(bool(config.lifetime_days)) & (pl.col("alive") + pl.col("unwatched") > 0)),
        "M5",
        good=pl.col("alive") - pl.col("outlived"),
        total=pl.col("alive"),
        value=pl.when(pl.col("alive") > 0).then("outlived"),
        objective=pl.col("M5"),
        met=pl.when(pl.col("alive") > 0).then(pl.col("outlived") <= pl.col("M5")),
        coverage=pl.format(
            "reads of secrets with a declared lifetime, which begins with the last change seen, else with the first"
            " use; {} of secrets past max_declared left out; leases and certificates are not in it",
            "unwatched",
        ),
    )


def _m9(wide: pl.DataFrame, config: Config) -> pl.DataFrame:
    return _row(
        wide,
        "M9",
        total=pl.col("attempts"),
        value=pl.col("attempts") * 60 / config.window_seconds,
        coverage=pl.lit("every operation logged, whatever its outcome"),
    )


def _m10(wide: pl.DataFrame, config: Config) -> pl.DataFrame:
    estimated = pl.format(
        "reads that no cache of {} s would have answered; what a cache did answer never came here;"
        " {} that came late or past max_cached left out",
        pl.lit(config.cache_seconds),
        "left_out",
    )
    return _share(
        wide,
        "M10",
        pl.col("needed"),
        pl.col("needed") + pl.col("repeated"),
        estimate=pl.col("store") != CACHE,
        coverage=pl.when(pl.col("store") == CACHE)
        .then(pl.lit("what went through the cache, by its own log; what cannot be cached counts as a miss"))
        .otherwise(estimated),
    )
