"""Emergency accounts: used without a declared emergency, for longer than approved, or for what it is not about."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from detectors._accounts import EMERGENCY, any_of
from detectors._operation import said_of
from detectors._text import figure, several, show
from detectors._window import Found, tell
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, TIME, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="break_glass",
    version="1",
    title="Emergency account used",
    family="invariant",
    summary="emergency accounts outside a declared window, past their approved hours, or beyond its secrets",
    techniques=("T1078",),
    measures=("F3", "M8"),
    cadence="operation",
)


class Emergency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A declared emergency: who may, from when to when (RFC 3339), on which secrets (globs), and why."""

    start: datetime
    end: datetime
    reason: str
    principals: tuple[str, ...] = ("*",)
    secrets: tuple[str, ...] = ("*",)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`principals` are globs of the emergency accounts, by principal as in view operations; * matches any text.

    A log-in is approved while one of `emergencies` holds. After it the account may be used for `hours`; a use that goes
    on, or that reads a secret the emergency does not name, is told. `sessions` bounds the memory.
    """

    principals: tuple[str, ...] = EMERGENCY
    emergencies: tuple[Emergency, ...] = ()
    hours: float = 2.0
    sessions: int = 10_000


class BreakGlass:
    """Remembers since when each emergency account is in use, and what was told of that use."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._who = any_of(config.principals)
        self._uses: dict[str, dict[str, Any]] = {}  # rows of _USES by account, the latest used last

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        rows = window.operations.filter(pl.col("principal").str.contains(self._who), outcome="success")
        if rows.is_empty():
            return empty(FINDING)
        found: list[Found] = []
        for row in rows.sort("complete_time", "uid").select(_READ).iter_rows(named=True):
            found += self._judge(row)
        return tell(self.info, window, found)

    def _judge(self, row: dict[str, Any]) -> list[Found]:
        who, at = row["principal"], row["time"] or row["complete_time"]
        use = self._use(who, at)
        told: list[Found] = []
        allowed = [e for e in self._config.emergencies if e.start <= at < e.end and _match(who, e.principals)]
        if not allowed and not use["alone"]:
            use["alone"] = True
            told.append(self._undeclared(row, use))
        hours = (at - use["since"]).total_seconds() / 3600
        if hours > self._config.hours and not use["late"]:
            use["late"] = True
            told.append(self._too_long(row, use, hours))
        beyond = row["discloses_value"] and not any(_match(row["secret"], e.secrets) for e in allowed)
        if allowed and beyond:
            told.append(self._beyond(row, [e.reason for e in allowed]))
        self._note(use)
        return told

    def _use(self, who: str, at: datetime) -> dict[str, Any]:
        """The use that goes on; a new one after hours without any."""
        use = self._uses.get(who)
        if use is not None and (at - use["last"]).total_seconds() <= 3600 * max(self._config.hours, 1.0):
            return {**use, "last": max(use["last"], at)}
        return {"principal": who, "since": at, "last": at, "alone": False, "late": False}

    def _note(self, use: dict[str, Any]) -> None:
        self._uses.pop(use["principal"], None)
        self._uses[use["principal"]] = use
        while len(self._uses) > self._config.sessions:
            del self._uses[next(iter(self._uses))]

    def _undeclared(self, row: dict[str, Any], use: dict[str, Any]) -> Found:
        return Found(
            key=f"alone|{use['principal']}|{use['since'].isoformat()}",
            severity="high",
            confidence=0.9,
            score=0.9,
            message=f"{show(row['principal'])} is in use from {show(row['client_ip'])} and no emergency is declared.",
            observed=f"{show(row['api_operation'])} on {show(row['path'])}",
            expected="use only while an emergency is declared (detectors.break_glass.emergencies)",
            next_step="Call whoever holds the account. Declare the emergency if there is one; if not, revoke the"
            " tokens, change the credential, and rotate what was read.",
            principal=row["principal"],
            secret=row["secret"] or None,
            **said_of(row),
        )

    def _too_long(self, row: dict[str, Any], use: dict[str, Any], hours: float) -> Found:
        return Found(
            key=f"late|{use['principal']}|{use['since'].isoformat()}",
            cause="break_glass_too_long",
            title="Emergency account used for too long",
            severity="medium",
            confidence=0.9,
            score=0.7,
            message=f"{show(row['principal'])} is still in use {figure(round(hours, 1))} hours after its first use.",
            observed=f"in use for {figure(round(hours, 1))} hours",
            expected=f"at most {figure(self._config.hours)} hours",
            next_step="Ask whether the emergency goes on. If it is over: revoke the account's tokens and seal its"
            " credential again.",
            principal=row["principal"],
            secret=row["secret"] or None,
            **said_of(row),
        )

    def _beyond(self, row: dict[str, Any], reasons: Sequence[str]) -> Found:
        return Found(
            key=f"beyond|{row['principal']}|{row['secret']}|{row['time'] or row['complete_time']:%Y-%m-%d}",
            cause="break_glass_beyond",
            title="Emergency account reads beyond the emergency",
            severity="high",
            confidence=0.9,
            score=0.85,
            message=f"{show(row['principal'])} read {show(row['secret'])}, which the emergency does not name"
            f" ({several(list(reasons))}).",
            observed=f"read of {show(row['secret'])}",
            expected="reads of the secrets the emergency names",
            next_step="Ask whoever holds the account. If it was not needed: rotate the secret.",
            principal=row["principal"],
            secret=row["secret"] or None,
            **said_of(row),
        )

    def snapshot(self) -> Frames:
        """Frame uses: one row an account."""
        return {"uses": pl.DataFrame(list(self._uses.values()), schema=_USES)}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._uses = {use["principal"]: use for use in frames["uses"].iter_rows(named=True)}


_READ: Final = (
    "uid", "time", "complete_time", "principal", "secret", "store", "client_ip", "path", "api_operation",
    "discloses_value",
)  # fmt: skip
_USES: Final = pl.Schema(
    {"principal": pl.String(), "since": TIME, "last": TIME, "alone": pl.Boolean(), "late": pl.Boolean()}
)


def _match(text: str, globs: Sequence[str]) -> bool:
    return any(_glob(text, glob) for glob in globs)


def _glob(text: str, glob: str) -> bool:
    """Whether the text is what the glob says; only * is special."""
    first, *rest = glob.split("*")
    if not rest:
        return text == glob
    if not text.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(rest[-1]) and text.endswith(rest[-1])


def create(config: Config) -> BreakGlass:
    """The detector, with nothing remembered."""
    return BreakGlass(config)
