"""Two halves, told by any number of devices, as one operation; and what a later copy adds to it."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.core.schema import OPERATION, TIME


def merge(entries: pl.DataFrame) -> pl.DataFrame:
    """One OPERATION row (and `key`) per key of `entries`, which hold `ready` and stand in canonical order.

    The halves are those of the device that first had both; where none has, the first of each, without a latency.
    """
    halves = _halves(entries.select("key", "source", "phase").with_row_index("i"))
    told = halves.select(
        request=pl.coalesce("asked", "first_asked"),
        response=pl.coalesce("answered", "first_answered"),
        owner=pl.coalesce("first_asked", "first_answered"),
    )
    return _merged(entries, told, halves).sort("complete_time", "uid")


def _halves(places: pl.DataFrame) -> pl.DataFrame:
    """Per key: rows of the first request and response, of those of the device that first had both, and the devices."""
    phase, i = pl.col("phase"), pl.col("i")
    rows = {
        "asked": pl.when(phase != "response").then(i).min(),
        "answered": pl.when(phase != "request").then(i).min(),
    }
    sources = places["source"].unique()
    if len(sources) == 1:
        found = places.group_by("key", maintain_order=True).agg(**rows)
        return _of_one(found, pl.lit(sources.to_list(), dtype=pl.List(pl.String)))
    found = places.group_by("key", "source", maintain_order=True).agg(**rows)
    shared = found["key"].is_duplicated()
    alone = _of_one(found.filter(~shared), pl.concat_list("source"))
    return pl.concat([alone, _of_several(found.filter(shared)).select(alone.columns)]) if shared.any() else alone


_BOTH: Final = pl.col("asked").is_not_null() & pl.col("answered").is_not_null()


def _of_one(found: pl.DataFrame, devices: pl.Expr) -> pl.DataFrame:
    """Of keys that one device has told of."""
    return found.select(
        "key",
        pl.lit(None, dtype=pl.List(pl.String)).alias("lacking"),
        pl.when(_BOTH).then("asked").alias("asked"),
        pl.when(_BOTH).then("answered").alias("answered"),
        first_asked="asked",
        first_answered="answered",
        devices=devices,
    )


def _of_several(found: pl.DataFrame) -> pl.DataFrame:
    return (
        found.group_by("key", maintain_order=True)
        .agg(
            first_asked=pl.col("asked").min(),
            first_answered=pl.col("answered").min(),
            asked=pl.col("asked").filter(_BOTH).sort_by(pl.col("answered").filter(_BOTH)).first(),
            answered=pl.col("answered").filter(_BOTH).min(),
            devices=pl.col("source").sort(),
            lacking=_lacking("request", "asked").append(_lacking("response", "answered")).sort(),
        )
        .with_columns(pl.when(pl.col("lacking").list.len() > 0).then("lacking").alias("lacking"))
    )


def _lacking(phase: str, row: str) -> pl.Expr:
    """The devices that have not told a half which another has told, each as `<phase>:<device>`."""
    untold = pl.col(row).is_null() & pl.col(row).is_not_null().any()
    return pl.concat_str(pl.lit(f"{phase}:"), pl.col("source")).filter(untold)


# The response repeats its request and knows more (mounts, the identity a log-in made), so it is what is read, and the
# request only where there is no response.
_TOLD = (
    "store", "cluster", "operation", "api_operation", "principal_type", "session", "client_ip", "user_agent",
    "namespace", "mount", "secret", "secret_version", "error", "correlation_uid", "path", "mount_type", "zone",
    "entity", "policies", "token_type", "login_principal", "login_policies", "login_session", "token_ttl", "wrap_ttl",
    "flags", "canary", "asked_for", "items",
)  # fmt: skip
_ASKED = ("uid", "time", "leaf_index", "outcome", "principal", "error", "clear")
_ANSWERED = (*_ASKED, "discloses_value", "latency_ms")


def _merged(entries: pl.DataFrame, told: pl.DataFrame, halves: pl.DataFrame) -> pl.DataFrame:
    response = entries.select(pl.col(_ANSWERED).gather(told["response"])).rename(lambda name: f"p_{name}")
    request = entries.select(pl.col(_ASKED).gather(told["request"])).rename(lambda name: f"q_{name}")
    owner = entries.select(pl.col("uid", "ready").gather(told["owner"]))
    either = entries.select(pl.col(_TOLD).gather(told["response"].fill_null(told["request"]))).drop("error")
    wide = pl.concat(
        [either, request, response, owner, halves.select("key", "devices", "asked", "lacking")], how="horizontal"
    )
    elapsed = _milliseconds(pl.col("p_time") - pl.col("q_time"))
    alone = pl.col("q_uid") == pl.col("p_uid")  # one entry that tells of both
    refused = (pl.col("q_outcome") == "denied") & (pl.col("p_outcome") == "success")
    logged_in = (pl.col("operation") == "auth") & pl.col("login_principal").is_not_null() & is_login()
    return wide.select(
        "key", "uid", *(name for name in _TOLD if name != "error"), "devices", "lacking",
        time=pl.coalesce("q_time", "p_time"),
        latency_ms=pl.when(alone).then("p_latency_ms").when(pl.col("asked").is_not_null()).then(elapsed),
        error=pl.coalesce("p_error", "q_error"),
        request_leaf="q_leaf_index", response_leaf="p_leaf_index", request_uid="q_uid", response_uid="p_uid",
        paired=pl.col("q_uid").is_not_null() & pl.col("p_uid").is_not_null(),
        complete_time=pl.col("ready").cast(TIME),
        clear=pl.col("q_clear").fill_null(value=False) | pl.col("p_clear").fill_null(value=False),
        discloses_value=pl.col("p_discloses_value").fill_null(value=False),
        outcome=pl.when(refused).then(pl.lit("denied")).otherwise(pl.coalesce("p_outcome", "q_outcome")),
        principal=pl.when(logged_in).then("login_principal").otherwise(pl.coalesce("q_principal", "p_principal")),
    ).select("key", *OPERATION.names())  # fmt: skip


def _milliseconds(span: pl.Expr | pl.Series) -> pl.Expr:
    """Exact to the microsecond: a division alone differs in the last bit between one row and many.

    Null where the answer is dated before its request: a clock moved, and how long it took nobody knows.
    """
    spent = (pl.lit(span) if isinstance(span, pl.Series) else span).dt.total_microseconds()
    return pl.when(spent >= 0).then(spent.truediv(1000.0).round(3))


def is_login() -> pl.Expr:
    """A log-in proper: its identity stands only in its response; a token creation has one already."""
    return pl.col("path").str.contains(
        r"^(?:[^/]+/)*auth/(?:[^/]+/)+(?:login|callback|oidc/callback)(?:/|$)"
    ) & ~pl.col("path").str.contains("auth/token/", literal=True)


_ADDED = (
    "outcome", "error", "discloses_value", "secret_version", "login_principal", "login_policies", "login_session",
    "response_uid", "response_leaf",
)  # fmt: skip


def says_more(corrected: pl.DataFrame, stored: pl.DataFrame) -> pl.Series:
    """Per corrected operation, whether it differs from the stored one in anything that `correct` can add."""
    before = corrected.select("key").join(stored, on="key", how="left", maintain_order="left")
    names = [name for name in (*_ADDED, "paired", "latency_ms", "clear") if name != "login_policies"]
    changed = [corrected[name].ne_missing(before[name]) for name in names]
    for name in ("login_policies", "devices", "lacking"):  # lists only ever grow or shrink
        changed.append(corrected[name].list.len().ne_missing(before[name].list.len()))
    return pl.select(pl.any_horizontal(changed)).to_series()


def correct(copies: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The stored operations with what later copies add: devices always, the missing half where there was one."""
    late = copies.join(stored.select("key"), on="key", how="semi").sort("key")
    base = stored.join(late.select("key"), on="key", how="semi").sort("key")
    answers = ~base["paired"] & (late["paired"] | late["response_uid"].is_not_null() & base["response_uid"].is_null())
    late_by = pl.select(_milliseconds(late["time"] - base["time"])).to_series()
    one_device = base["devices"].list.set_intersection(late["devices"]).list.len() > 0
    latency = late["latency_ms"].fill_null(late_by.set(~one_device | late["paired"], None))
    taken = base.with_columns(pl.when(answers).then(late[name]).otherwise(base[name]).alias(name) for name in _ADDED)
    united = taken.with_columns(
        devices=base["devices"].list.concat(late["devices"]).list.unique().list.sort(),
        paired=base["paired"] | (base["request_uid"].is_not_null() & taken["response_uid"].is_not_null()),
        latency_ms=pl.when(answers).then(latency).otherwise(base["latency_ms"]),
        clear=base["clear"] | late["clear"],
    )
    told = pl.concat([halves_told(base, "key"), halves_told(late, "key")]).unique()
    untold = _halves_known(united, "key").join(told, on=("operation_uid", "source", "phase"), how="anti")
    lacking = untold.group_by(key="operation_uid").agg(lacking=pl.col("half").sort())
    return (
        united.drop("lacking")
        .join(lacking, on="key", how="left", maintain_order="left")
        .select("key", *OPERATION.names())
    )


def halves_told(operations: pl.DataFrame, name: str = "uid") -> pl.DataFrame:
    """Which halves each device has told of these operations: operation_uid (from column `name`), source, phase."""
    return (
        _halves_known(operations, name)
        .join(
            operations.select(pl.col(name).alias("operation_uid"), pl.col("lacking").alias("half"))
            .explode("half")
            .drop_nulls(),
            on=("operation_uid", "half"),
            how="anti",
        )
        .drop("half")
    )


def _halves_known(operations: pl.DataFrame, name: str) -> pl.DataFrame:
    """The halves known of these operations, once for each of their devices; `half` is `<phase>:<device>`."""
    known = [
        operations.filter(pl.col(f"{phase}_uid").is_not_null()).select(
            operation_uid=name, source="devices", phase=pl.lit(phase)
        )
        for phase in ("request", "response")
    ]
    return pl.concat(known).explode("source").with_columns(half=pl.concat_str("phase", pl.lit(":"), "source"))
