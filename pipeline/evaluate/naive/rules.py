"""Public rules: what published packs for Vault, OpenBao and cloud secret stores ask, each told once a day.

A hit counts by the severity its pack gives it, less with every day of the last seven on which the same principal hit
the same rule: the exception that whoever runs a pack writes in the first week.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.evaluate.naive.days import NAMELESS, Days, Today
from pipeline.evaluate.naive.method import Naive

LOW, MEDIUM, HIGH, CRITICAL = 1.0, 2.0, 3.0, 4.0
QUIET_DAYS: Final = 7  # of hits that make a rule less of a surprise, and after which a vault's user is new (Elastic)

_PATH: Final = pl.col("path").fill_null("")
_READ: Final = pl.col("operation") == "read"
_DENIED: Final = pl.col("outcome") == "denied"
EVENTS: Final[dict[str, tuple[float, pl.Expr]]] = {  # of a single operation
    "root token made": (CRITICAL, _PATH.str.contains(r"^sys/(generate-root|rekey)")),  # HashiCorp, Datadog
    "audit changed": (HIGH, _PATH.str.starts_with("sys/audit")),  # Wazuh; for cloud trails all of them
    "backup taken": (HIGH, _PATH.str.contains(r"^sys/storage|/(backup|export)/")),  # Sentinel, Elastic
    "policy written": (HIGH, pl.col("operation") == "policy"),  # Elastic, Tailpipe
    "deleted": (HIGH, pl.col("operation").is_in(["delete", "destroy"])),  # Wazuh, Sentinel, Sigma, Panther
    "system path": (MEDIUM, _PATH.str.starts_with("sys/")),  # Wazuh
    "key material": (MEDIUM, pl.col("mount").fill_null("").str.starts_with("transit") & ~_READ
                     & ~_PATH.str.contains(r"^transit/(encrypt|decrypt|sign|verify|hmac)")),  # Chronicle
    "token made": (MEDIUM, _PATH.str.starts_with("auth/token/create")),  # Elastic, for Kubernetes
    "tokens revoked": (LOW, _PATH.str.contains(r"^(sys/leases/revoke|auth/token/revoke)")),
    "listed": (LOW, pl.col("operation") == "list"),  # Elastic, Sigma, for Kubernetes
}  # fmt: skip
COUNTED: Final[dict[str, tuple[float, pl.Expr]]] = {  # of an hour
    "20 secrets": (MEDIUM, pl.col("wide") >= 20),  # Elastic
    "25 secrets": (MEDIUM, pl.col("wide") > 25),  # Panther
    "20 refused": (MEDIUM, pl.col("refused") >= 20),  # Panther
    "10 log-ins refused": (HIGH, pl.col("kept_out") >= 10),  # a laboratory's, for Vault
    "10,000 operations": (LOW, pl.col("operations") > 10_000),  # Vault audit analyser
}
DAILY: Final[dict[str, tuple[float, pl.Expr]]] = {  # of the day so far
    "50 reads of 10 secrets": (LOW, (pl.col("reads") >= 50) & (pl.col("secrets") >= 10)),  # Sentinel
    "20 refused a day": (LOW, pl.col("denied") >= 20),  # Panther
    "new to a secret": (LOW, pl.col("new_secrets") > 0),  # Elastic, for Azure
    "new to a place": (LOW, pl.col("new_acts") > 0),  # Elastic, for Azure
    "new network": (LOW, pl.col("new_zones") > 0),  # Elastic, Exabeam
    "new hour": (LOW, pl.col("new_hours") > 0),  # Exabeam
}
SEVERITY: Final = {name: worth for pack in (EVENTS, COUNTED, DAILY) for name, (worth, _) in pack.items()}


class Rules(Naive):
    """The sum over the rules that a principal hit today; of two alike, the one with more that is new or refused."""

    def __init__(self, name: str, days: Days, left_out: frozenset[str] = frozenset()) -> None:
        super().__init__(name, days, left_out, "rules")
        self._hits, self._now = pl.DataFrame(schema={"principal": pl.String, "rule": pl.String, "day": pl.Int64}), -1
        self._before = self._hits.group_by("principal", "rule").agg(pl.len().alias("days"))

    def score(self, today: Today) -> pl.DataFrame:
        """Above nothing hit."""
        if today.day != self._now:
            self._hits = self._hits.filter(pl.col("day") >= today.day - QUIET_DAYS)
            self._before = self._hits.group_by("principal", "rule").agg(pl.len().alias("days"))
            self._now = today.day
        hits = _hits(today).with_columns(day=pl.lit(today.day, pl.Int64))
        self._hits = pl.concat([self._hits, hits]).unique(maintain_order=True)
        mine = self._hits.filter(pl.col("day") == today.day).join(self._before, on=["principal", "rule"], how="left")
        worth = pl.col("rule").replace_strict(SEVERITY, return_dtype=pl.Float64) / (1 + pl.col("days").fill_null(0))
        each = mine.with_columns(worth=worth).group_by("principal").agg(pl.col("worth").sum())
        more = (pl.col("new_secrets") + pl.col("new_acts") + pl.col("denied") + pl.col("lists")).log1p() / 100
        return today.each.join(each, on="principal").select("principal", score=pl.col("worth") + more)


def _hits(today: Today) -> pl.DataFrame:
    """Columns principal, rule: each that the window, or the day with it, hit for the first time or again."""
    hour = today.rows.group_by("principal", pl.when(pl.col("principal") == NAMELESS).then("client_ip")).agg(
        pl.col("secret").filter(_READ & (pl.col("secret") != "")).n_unique().alias("wide"),
        pl.col("n").filter(_DENIED).sum().alias("refused"), pl.col("n").sum().alias("operations"),
        pl.col("n").filter((pl.col("operation") == "auth") & (pl.col("outcome") != "success")).sum().alias("kept_out"),
    )  # fmt: skip
    parts = [(today.rows, EVENTS), (hour, COUNTED), (today.each, DAILY)]
    return pl.concat(
        rows.filter(asked).select("principal", rule=pl.lit(name))
        for rows, pack in parts
        for name, (_, asked) in pack.items()
    ).unique().sort("principal", "rule")  # fmt: skip
