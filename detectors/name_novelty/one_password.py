"""One and the same password tried on account after account, however slowly and from wherever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors._operation import said_of
from detectors._text import several, show
from detectors._window import Found
from pipeline.core.owned import added

if TYPE_CHECKING:
    from pipeline.core.model import Frames

_PASSWORDS: Final = r"^password:"
_NONE_SENT: Final = r"(?i)missing|zero length|empty"
_HOURS: Final = 21 * 24  # after which an attempt is forgotten
_MOST: Final = 20_000  # attempts remembered, the newest
_MANY: Final = 4  # times the fewest accounts: then it is grave
_NONE: Final = pl.DataFrame(
    schema={
        "name": pl.String, "account": pl.String, "client_ip": pl.String, "mount": pl.String, "uid": pl.String,
        "hour": pl.Int64,
    }
)  # fmt: skip
_NOBODY: Final = pl.col("principal").fill_null("anonymous") == "anonymous"


class OnePassword:
    """The attempts of three weeks: one row for each password, as the device hashes it, and account."""

    def __init__(self, accounts: int) -> None:
        self._accounts = accounts
        self._tried = _NONE

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Judge rows of one hour, in the order in which they became complete, by what came before each."""
        wrong = (pl.col("outcome") == "denied") & ~pl.col("error").fill_null("").str.contains(_NONE_SENT)
        tried = rows.filter(wrong).rename({"asked_for": "name"}).explode("name", empty_as_null=True)
        tried = tried.filter(pl.col("name").str.contains(_PASSWORDS))
        if tried.is_empty():
            return []
        account = pl.when(_NOBODY).then("path").otherwise("principal")
        tried = tried.with_columns(account=account, hour=pl.lit(hour, pl.Int64))
        self._tried = self._tried.filter(pl.col("hour") > hour - _HOURS)
        by = ["name", "account"]
        new = tried.unique(by, keep="first", maintain_order=True)
        new = new.join(self._tried, on=by, how="anti", maintain_order="left")
        if new.is_empty():
            return []
        before = self._tried.group_by("name").agg(before=pl.len())
        nth = new.join(before, on="name", how="left", maintain_order="left").with_columns(
            nth=pl.col("before").fill_null(0) + pl.int_range(1, pl.len() + 1).over("name")
        )
        self._tried = added(self._tried, new.select(_NONE.columns)).tail(_MOST)
        return [self._found(row) for row in nth.iter_rows(named=True) if self._tells(row["nth"])]

    def _tells(self, nth: int) -> bool:
        """At the fewest accounts, and whenever their number has doubled."""
        times, rest = divmod(nth, self._accounts)
        return times > 0 and not rest and not times & (times - 1)

    def _found(self, row: dict[str, Any]) -> Found:
        n = row["nth"]
        known = self._tried.filter(pl.col("name") == row["name"]).head(n)
        places, hours = known["client_ip"].n_unique(), max(row["hour"] - known["hour"][0], 1)
        within = f"{hours // 24} days" if hours >= 48 else f"{hours} hour{'s' if hours > 1 else ''}"
        return Found(
            key=f"{row['name']} {row['mount']} {n}",
            cause="password_sprayed",
            title="One password tried on many accounts",
            family="auth",
            techniques=("T1110.003",),
            severity="high" if n >= _MANY * self._accounts else "medium",
            confidence=0.85,
            score=n / (n + 2.0),
            message=f"One and the same password was refused for {n} accounts at {show(row['mount'])} within"
            f" {within}, from {places} address{'es' if places > 1 else ''}: {several(known['account'].to_list())}.",
            observed=f"{n} accounts tried with one password",
            expected="people mistype passwords of their own",
            next_step="See which of these accounts was let in from one of the addresses (view operations, operation"
            " auth). Block them, require a second factor at this mount, and enable the lock-out of users.",
            **said_of(row, known["uid"].tail(20).to_list()),
        )

    def snapshot(self) -> Frames:
        """Frame passwords."""
        return {"passwords": self._tried}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing tried."""
        self._tried = frames.get("passwords", _NONE)
