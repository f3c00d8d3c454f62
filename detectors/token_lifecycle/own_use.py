"""Log-ins made by one, and used at once from the very address they were made at: whoever makes them lends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors._accounts import account_in
from detectors._memory import Table, keys_of
from detectors._operation import said_of
from detectors._since import Since
from detectors._text import show
from detectors._window import Found
from pipeline.core.clock import HOUR_US
from pipeline.core.owned import added
from pipeline.core.schema import TIME

if TYPE_CHECKING:
    from pipeline.core.model import Frames

_SPAN: Final = pl.duration(hours=1)
_KEPT: Final = 20_000  # makings remembered
_SETTLE_US: Final = 72 * HOUR_US  # in which it is learned who does so day by day
_MAKES: Final = r"^auth/(.+)/(?:role/([^/]+)/(?:custom-)?secret-id|users/([^/]+)(?:/password)?)$"
_GIVEN: Final = pl.col("path").str.ends_with("secret-id") | pl.col("path").str.contains("/users/", literal=True)
_MADE: Final = pl.Schema(
    {"login": pl.String(), "client_ip": pl.String(), "maker": pl.String(), "made": TIME, "made_uid": pl.String()}
)


class OwnUse:
    """Remembers what was made in the last hour, and which makers ever used what they made: 24 bytes each."""

    def __init__(self, limit: int) -> None:
        self._made = pl.DataFrame(schema=_MADE)
        self._makers = Table(1, limit)
        self._since = Since()

    def inspect(self, operations: pl.DataFrame) -> list[Found]:
        """Judge OPERATION rows, in the order in which they became complete, by the makings before each."""
        if operations.is_empty():
            return []
        first = operations["complete_time"].min()
        self._since.begin(int(operations["complete_time"].to_physical().to_numpy().min()))
        given = operations.filter(_GIVEN)
        if given.is_empty() and self._made.is_empty():
            return []
        live = self._made.filter(pl.col("made") + _SPAN >= first)
        self._made = added(live, _makings(given)).tail(_KEPT)
        used = self._used(operations)
        if used.is_empty():
            return []
        keys = keys_of(used["maker"])
        fresh = ~self._makers.knows(keys)
        times = used["complete_time"].to_physical().to_numpy()
        for i, time in enumerate(times.tolist()):  # one by one: what is remembered must not depend on the cut
            self._makers.put(keys[i : i + 1], np.ones((1, 1)), time)
        told = fresh & [self._since.age_us(time) >= _SETTLE_US for time in times.tolist()]
        return [_found(row) for row in used.filter(pl.Series(told)).iter_rows(named=True)]

    def _used(self, operations: pl.DataFrame) -> pl.DataFrame:
        """For each maker the first log-in that used what it made, from where it made it."""
        if self._made.is_empty():
            return self._made.with_columns(complete_time=pl.col("made"))
        some = pl.col("login_principal").is_in(self._made["login"].unique().implode())
        logins = operations.filter(some & (pl.col("outcome") == "success"))
        both = logins.join(self._made, left_on=["login_principal", "client_ip"], right_on=["login", "client_ip"])
        after = (pl.col("complete_time") > pl.col("made")) & (pl.col("complete_time") <= pl.col("made") + _SPAN)
        mine = both.filter(after & (pl.col("maker") != pl.col("login_principal")))
        return mine.sort("complete_time", "uid", "made_uid").unique("maker", keep="first", maintain_order=True)

    def snapshot(self) -> Frames:
        """What was made, who uses what it makes, and since when; all under `own_use`."""
        age = self._since.snapshot()
        return {"own_use.made": self._made, "own_use.makers": self._makers.snapshot(), "own_use.age": age}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if "own_use.made" in frames:
            self._made = frames["own_use.made"]
            self._makers.restore(frames["own_use.makers"])
            self._since.restore(frames["own_use.age"])


def _makings(given: pl.DataFrame) -> pl.DataFrame:
    """_MADE rows of log-in credentials that were given out."""
    written = pl.col("api_operation").is_in(("create", "update", "patch")) & (pl.col("outcome") == "success")
    rows = given.filter(written & (pl.col("client_ip") != "") & pl.col("path").str.contains(_MAKES))
    return rows.select(
        account_in(pl.col("path"), _MAKES).alias("login"),
        "client_ip",
        pl.col("principal").alias("maker"),
        pl.col("complete_time").alias("made"),
        pl.col("uid").alias("made_uid"),
    )


def _found(row: dict[str, Any]) -> Found:
    maker, login = show(row["maker"]), show(row["login_principal"])
    return Found(
        key=f"own_use:{row['maker']}",
        cause="login_made_and_used",
        title="Credential made for somebody else, and used",
        severity="medium",
        confidence=0.75,
        score=0.75,
        message=f"{maker} made a log-in credential of {login}, and {login} logged in from the same address,"
        f" {show(row['client_ip'])}. {maker} has never done so before.",
        observed=f"a log-in as {login} where its credential was made, within an hour",
        expected="who makes a credential hands it to a workload, which logs in from where it runs",
        next_step="Ask for the deployment behind it. If there is none: destroy the secret-id or reset the password,"
        f" revoke the tokens, and read what was done as {login} since (view operations, by principal).",
        techniques=("T1098.001", "T1078"),
        principal=row["maker"],
        **said_of(row, [row["made_uid"], row["uid"]]),
    )
