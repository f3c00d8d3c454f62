"""The operations that make, open or end tokens, as the judges of this folder see them."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.core.clock import HOUR_US
from pipeline.core.schema import OPERATION

_CREATED: Final = r"^auth/token/create"
_ENDED: Final = (
    r"^auth/token/revoke(?:-accessor|-orphan)?(?:/|$)|^sys/(?:leases/)?revoke|^auth/.+/secret-id(?:-accessor)?/destroy$"
)
_KEPT: Final = (
    "uid", "time", "complete_time", "store", "client_ip", "zone", "principal", "principal_type", "session", "mount",
    "outcome", "login_principal", "login_session", "token_ttl",
)  # fmt: skip
ROWS: Final = pl.Schema(
    {
        **{name: OPERATION[name] for name in _KEPT},
        "hour": pl.Int64(),
        "kind": pl.String(),  # login, create, wrap, lookup, unwrap, revoke
        "orphan": pl.Boolean(),
        "wrapped": pl.String(),  # the wrapping token that is opened, as the device hashes it
    }
)


def of(operations: pl.DataFrame) -> pl.DataFrame:
    """ROWS in the order in which the operations became complete."""
    path = pl.col("path")
    ends = (pl.col("operation") == "revoke") & path.str.contains(_ENDED)
    about = pl.col("login_session").is_not_null() | path.str.starts_with("sys/wrapping/") | ends
    rows = operations.filter(about.fill_null(value=False))
    kind = (
        pl.when(ends).then(pl.lit("revoke"))
        .when(path.str.starts_with("sys/wrapping/unwrap")).then(pl.lit("unwrap"))
        .when(path.str.starts_with("sys/wrapping/lookup")).then(pl.lit("lookup"))
        .when(pl.col("wrap_ttl").is_not_null()).then(pl.lit("wrap"))
        .when(path.str.contains(_CREATED)).then(pl.lit("create"))
        .otherwise(pl.lit("login"))
    )  # fmt: skip
    orphan = pl.col("flags").list.contains("no_parent") | path.str.starts_with("auth/token/create-orphan")
    return (
        rows.with_columns(
            kind=kind,
            orphan=orphan.fill_null(value=False),
            wrapped=pl.when(kind == "unwrap").then(pl.col("asked_for").list.first()),
            hour=pl.col("complete_time").dt.timestamp("us") // HOUR_US,
            time=pl.coalesce("time", "complete_time"),
        )
        .select(ROWS.names())
        .sort("complete_time", "uid")
    )
