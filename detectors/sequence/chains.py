"""The chains: which fact, followed by what, says what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors._text import several, show
from detectors._window import Found
from detectors.sequence.facts import SPANS_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.model import Window

_ALONE_US: Final = 60_000_000  # a token may still be answered this long after its revocation was asked


@dataclass(frozen=True, slots=True)
class Chain:
    """A fact of kind `what`, then `setting` reads or more within its span. `by` are the columns both must share."""

    cause: str
    title: str
    what: str
    setting: str
    by: tuple[str, ...]
    severity: str
    many: int  # reads from which it is one level graver
    message: str  # {who}, {path}, {n}, {secrets}, {zone}
    expected: str
    next_step: str
    plain: float = 0.0  # reads that the fact itself is worth
    through_login: bool = False  # also by one who logged in from the same address since

    def told(self, facts: Mapping[str, pl.DataFrame], news: pl.DataFrame, least: int, window_us: int) -> list[Found]:
        """Chains whose last read so far lies in this window; one finding per principal that made the fact."""
        first = facts.get(self.what)
        if first is None:
            return []
        if not self.through_login:  # whoever was given rights just now may well be new
            news = news.filter("settled")
        pairs = self._followed(first, news)
        if self.through_login and "login" in facts:
            pairs = pl.concat([pairs, self._by_login(first, facts["login"], news)])
        if pairs.is_empty():
            return []
        pairs = pairs.sort("fact_time", "fact_uid", "time", "uid").unique(
            ["maker", "secret", "reader"], keep="first", maintain_order=True
        )
        each = pairs.group_by("maker", maintain_order=True).agg(pl.all(), n=pl.col("secret").n_unique())
        each = each.filter((pl.col("n") >= least) & pl.col("now").list.any()).sort("maker")
        return [self._found(one, window_us) for one in each.iter_rows(named=True)]

    def _followed(self, first: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
        both = first.select(*self.by, *_FACT).join(news, on=list(self.by), how="inner")
        return self._within(both.with_columns(reader=pl.col("principal")))

    def _by_login(self, first: pl.DataFrame, made: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
        """Change, log-in by somebody else from the same address, then reads by them."""
        logins = made.select("client_ip", "principal", login_time="time")
        chained = first.filter(pl.col("client_ip") != "").select("client_ip", *_FACT).join(logins, on="client_ip")
        chained = chained.filter(
            (pl.col("login_time") > pl.col("fact_time")) & (pl.col("principal") != pl.col("maker"))
        )
        both = chained.drop("client_ip").join(news, on="principal").filter(pl.col("time") >= pl.col("login_time"))
        return self._within(both.with_columns(reader=pl.col("principal")))

    def _within(self, both: pl.DataFrame) -> pl.DataFrame:
        after = pl.col("time").dt.timestamp("us") - pl.col("fact_time").dt.timestamp("us")
        return both.filter((after >= 0) & (after <= SPANS_US[self.what])).select(_PAIR)

    def _found(self, one: Mapping[str, Any], window_us: int) -> Found:
        secrets = sorted(set(one["secret"]))
        readers = sorted(set(one["reader"]) - {one["maker"]})
        through = f" through {several(readers)}" if readers else ""
        words = {
            "who": show(one["maker"]), "path": show(one["fact_path"][0]),
            "n": f"{one['n']} {'secret' if one['n'] == 1 else 'secrets'}",
            "secrets": several(secrets), "zone": show(one["fact_zone"][0]), "through": through,
        }  # fmt: skip
        last = max(range(len(one["time"])), key=lambda i: (one["time"][i], one["uid"][i]))
        return Found(
            key=f"{one['maker']}|{window_us}",
            cause=f"{self.cause}_by_another" if readers else self.cause,
            title=self.title,
            severity=_graver(self.severity) if one["n"] >= self.many else self.severity,
            confidence=0.8,
            score=(worth := one["n"] + self.plain) / (worth + 2.0),
            message=self.message.format(**words),
            observed=f"{words['n']} never read before, the last {_minutes(one, last)} minutes after",
            expected=self.expected,
            next_step=self.next_step,
            principal=one["maker"],
            secret=secrets[0],
            store=one["store"][0],
            client_ip=one["client_ip"][last],
            evidence=[one["fact_uid"][0], *one["uid"][:8]],
            time=one["time"][last],
        )


_FACT: Final = (
    pl.col("time").alias("fact_time"), pl.col("uid").alias("fact_uid"), pl.col("path").alias("fact_path"),
    pl.col("zone").alias("fact_zone"), pl.col("principal").alias("maker"),
)  # fmt: skip
_PAIR: Final = (
    "maker", "reader", "secret", "time", "uid", "store", "client_ip", "now", "fact_time", "fact_uid", "fact_path",
    "fact_zone",
)  # fmt: skip

_ROLES: Final = "a role is changed by one, or by code, and used by the service that it is for"
_ROLE_STEP: Final = (
    "Compare the role with the configuration as code (what its credentials may do, how long they live). If nobody"
    " asked for the change: put it back, and revoke the leases and tokens of its maker."
)
CHAINS: Final = (
    Chain(
        "policy_then_read", "Rights changed, then used", "policy", "after_policy", ("principal",), "medium", 3,
        "{who} changed {path} and within the hour{through} read {n} never read before: {secrets}.",
        "a change of rights by one, its use by another, on another day",
        "Ask for the ticket of the change. If there is none: undo it, revoke the tokens of both, rotate what was read.",
        through_login=True,
    ),
    Chain(
        "role_then_use", "Role of an engine changed, then used", "role", "after_role", ("principal", "secret"), "high",
        99,
        "{who} changed {path} and within the hour took credentials of it, {n} never read before: {secrets}.",
        _ROLES,
        _ROLE_STEP,
        plain=2.0,
    ),
    Chain(
        "audit_then_read", "Audit changed, then secrets read", "audit", "after_audit", ("principal",), "high", 99,
        "{who} changed {path} and within two hours read {n} never read before: {secrets}.",
        "maintenance of audit devices without a look at secrets",
        "Take it as an attempt to hide. Revoke the tokens, rotate what was read, and see what the other devices tell"
        " of the time between.",
    ),
    Chain(
        "list_then_read", "Lists, then reads what it found", "list", "after_list", ("principal",), "medium", 15,
        "{who} listed {path} and within half an hour read {n} never read before: {secrets}.",
        "lists by people and inventories, reads by those who know what they want",
        "Ask the owner. If it is no migration: revoke the tokens and rotate what was read.",
    ),
    Chain(
        "place_then_read", "New place, then new secrets", "place", "after_place", ("principal", "zone"),
        "high", 99,
        "{who} came from {zone} for the first time and within the hour read {n} never read before: {secrets}.",
        "either a new place or new secrets",
        "Take the credential as stolen until the owner explains it: revoke its tokens and the log-in credential.",
    ),
    Chain(
        "denied_then_allowed", "Refused, then allowed", "denied", "flipped", ("principal", "secret"), "medium", 10,
        "{who} was refused {n} and got them within a day: {secrets}.",
        "what is refused once stays refused, or a ticket says why not",
        "Find the change of policy between (view operations, operation policy) and who asked for it.",
    ),
)  # fmt: skip


def after_revocation(revoked: pl.DataFrame, window: Window) -> list[Found]:
    """Tokens that are used although their revocation was granted more than a minute before."""
    told = revoked.filter(pl.col("session") != "")
    ended = told.group_by("session").agg(pl.col("time").max().alias("ended"), pl.col("uid").last().alias("end_uid"))
    used = window.operations.filter(
        (pl.col("outcome") == "success") & pl.col("session").is_in(ended["session"].implode())
    )
    if used.is_empty():
        return []
    late = used.join(ended, on="session").filter(
        pl.col("last_time").dt.timestamp("us") > pl.col("ended").dt.timestamp("us") + _ALONE_US
    )
    first = late.sort("last_time", "uid").unique("session", keep="first", maintain_order=True)
    return [
        Found(
            key=f"revoked|{row['session']}",
            cause="used_after_revocation",
            title="Token used after its revocation",
            severity="high",
            confidence=0.8,
            score=0.8,
            message=f"A token of {show(row['principal'])} was still good after its own revocation was granted.",
            observed="an operation that succeeded more than a minute after auth/token/revoke-self did",
            expected="none",
            next_step="Compare the clocks of the nodes. If they agree, the revocation did not take (storage or"
            " replication lags): revoke the token by its accessor, and look at the server's log.",
            principal=row["principal"],
            store=row["store"],
            client_ip=row["client_ip"],
            evidence=[row["end_uid"], row["uid"]],
            time=row["last_time"],
        )
        for row in first.iter_rows(named=True)
    ]


def role_again(changed: pl.DataFrame, told: list[Found], least: int, window: Window) -> list[Found]:
    """Roles whose maker takes credentials of them within the hour, maybe as ever: what was changed is new.

    Who then changes it again covers its tracks. `changed` are facts of principals that are known for a while.
    """
    known = {one.principal for one in told if one.cause == "role_then_use"}
    first = changed.filter(~pl.col("principal").is_in(known)).select("principal", "secret", "path", *_FACT[:2])
    used = window.operations.filter(pl.col("discloses_value") & pl.col("secret").is_in(first["secret"].implode()))
    # Of a row's operations the first and the last are known to the moment.
    moments = [used.with_columns(moment=pl.col(name)) for name in ("time", "last_time")]
    both = pl.concat(moments).drop("path").join(first, on=["principal", "secret"])
    after = pl.col("moment").dt.timestamp("us") - pl.col("fact_time").dt.timestamp("us")
    follows = (after >= 0) & (after <= SPANS_US["role"])
    taken = both.filter(follows).sort("fact_time", "fact_uid", "moment", "uid")
    both_of = ["principal", "secret"]
    each = taken.group_by(both_of, maintain_order=True).agg(
        pl.all().first(), uses=pl.col("n").filter(pl.col("uid").is_first_distinct()).sum(), since=pl.col("moment").min()
    )
    latest = first.group_by(both_of).agg(latest=pl.col("fact_time").max())
    each = each.join(latest, on=both_of).filter(pl.col("uses") >= least)
    each = each.with_columns(covered=pl.col("latest") > pl.col("since"))
    each = each.sort("covered", *both_of, descending=[True, False, False]).unique("principal", keep="first")
    return [_again(row, window) for row in each.sort("principal").iter_rows(named=True)]


def _again(row: Mapping[str, Any], window: Window) -> Found:
    who, covered = show(row["principal"]), bool(row["covered"])
    then = "; then it was changed again" if covered else ""
    return Found(
        key=f"again|{row['principal']}|{window.start_us}",
        cause="role_then_use",
        title="Role of an engine changed, then used",
        severity="high" if covered else "medium",
        confidence=0.8 if covered else 0.7,
        score=0.7 if covered else 0.5,
        message=f"{who} changed {show(row['path'])} and within the hour took credentials of it{then}.",
        observed="credentials of a role, taken by whoever had just changed it",
        expected=_ROLES,
        next_step=_ROLE_STEP,
        principal=row["principal"],
        secret=row["secret"],
        store=row["store"],
        client_ip=row["client_ip"],
        evidence=[row["fact_uid"], row["uid"]],
        time=row["last_time"],
    )


def _graver(severity: str) -> str:
    return {"low": "medium", "medium": "high"}.get(severity, severity)


def _minutes(one: Mapping[str, Any], at: int) -> int:
    return max(0, int((one["time"][at] - one["fact_time"][0]).total_seconds() / 60 + 0.5))
