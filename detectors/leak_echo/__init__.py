"""Secrets that come back in the trail itself, and leaked tokens in use. See README.md."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from detectors._operation import said_of
from detectors._text import show, shown
from detectors._window import Found, tell
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="leak_echo",
    version="1",
    title="Secret stands in an error text",
    family="leak",
    summary="planted values and forms of credentials in error texts, leaked tokens in use",
    techniques=("T1552.001", "T1550.001"),
    measures=("F6", "M6"),
    cadence="operation",
)
# Forms that are a credential wherever they stand; what looks like a Vault token is taken out before rows get here.
_FORMS: Final = {
    "Vault token": r"\[redacted\]|\bhv[sbr]\.[A-Za-z0-9_-]{16}",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "GitHub token": r"\bgh[opsur]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{50}",
    "Slack token": r"\bxox[abeprs]-[A-Za-z0-9-]{10}",
    "signed token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10}",
    "password in an address": r"\b[a-z][a-z0-9+]{2,15}://[^\s:/@]+:[^\s:/@]+@",
    "password of a connection": r"\b(?i:password|passwd|pwd)=[^\s\"'`,;&*<>\[\]{}()$%=]{4,}",
    "cloud key": r"\bAIza[A-Za-z0-9_-]{35}\b|\bAccountKey=[A-Za-z0-9+/]{40,}",
}
_ANY: Final = "|".join(_FORMS.values())
_MASKED: Final = re.compile(r"(?i)(?<=[:=])(?:x{3,}|redacted)(?![a-z0-9])")  # what drivers put in a password's place
_WORDS: Final = re.compile(r"[^\s\"'`,;:=(){}<>\[\]]{6,}")
_LONGEST: Final = 4_096  # characters of a text that are looked at
_READ: Final = (
    "uid", "time", "complete_time", "principal", "secret", "store", "client_ip", "path", "error", "session",
)  # fmt: skip


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`values` are SHA-256 sums (hexadecimal) of planted values; texts of errors and paths are searched for them.

    `sessions` are tokens known to have leaked, as the view operations names them (column session: the accessor as the
    audit device hashes it). `forms`: look for what is a credential by its form. `told` bounds the memory.
    """

    values: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    forms: bool = True
    told: int = 10_000

    def __post_init__(self) -> None:
        wrong = [value for value in self.values if not re.fullmatch(r"[0-9a-f]{64}", value)]
        if wrong:
            raise ValueError("values must be SHA-256 sums of 64 hexadecimal digits, never the values themselves")


class LeakEcho:
    """Remembers what was told today: one error that repeats is one finding a day."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._values = frozenset(config.values)
        self._told: dict[str, None] = {}

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        rows, config = window.operations, self._config
        if rows.is_empty() or not (config.forms or config.values or config.sessions):
            return empty(FINDING)
        worth = pl.lit(value=False)
        if config.forms:
            worth |= pl.col("error").str.contains(_ANY).fill_null(value=False)
        if config.values:
            worth |= pl.col("error").is_not_null() | pl.col("outcome").is_in(["denied", "not_found"])
        if config.sessions:
            worth |= pl.col("session").is_in(config.sessions)
        found = [
            one
            for row in rows.filter(worth).select(_READ).sort("complete_time", "uid").iter_rows(named=True)
            for one in self._judge(row)
            if self._fresh(one.key)
        ]
        return tell(self.info, window, found)

    def _judge(self, row: dict[str, Any]) -> Iterator[Found]:
        if row["session"] in self._config.sessions:
            yield self._used(row)
        error, path = (row["error"] or "")[:_LONGEST], (row["path"] or "")[:_LONGEST]
        if self._values & {_sum(word) for word in _words(f"{error} {path}")}:
            yield self._echoed(row)
        elif self._config.forms:
            plain = _MASKED.sub("", error)
            for name, form in _FORMS.items():
                if re.search(form, plain):
                    yield self._shaped(row, name)
                    return

    def _fresh(self, key: str) -> bool:
        new = key not in self._told
        self._told[key] = None
        while len(self._told) > self._config.told:
            del self._told[next(iter(self._told))]
        return new

    def _used(self, row: dict[str, Any]) -> Found:
        return Found(
            key=f"used|{row['session']}|{_day(row)}",
            cause="leaked_token_used",
            title="Leaked token in use",
            severity="critical",
            confidence=0.95,
            score=0.97,
            message=f"A token that is known to have leaked was used as {show(row['principal'])} from"
            f" {show(row['client_ip'])}.",
            observed="an operation with a token named in detectors.leak_echo.sessions",
            expected="none: it should be revoked",
            next_step="Revoke it by its accessor now. Everything it did since it leaked is the attacker's until shown"
            " otherwise (view operations, by session); rotate what it read.",
            principal=row["principal"],
            **said_of(row),
        )

    def _echoed(self, row: dict[str, Any]) -> Found:
        return Found(
            key=f"echo|{row['principal']}|{_day(row)}",
            cause="planted_value_echoed",
            title="Planted value came back",
            severity="critical",
            confidence=0.95,
            score=0.95,
            message=f"A planted value was sent to the store by {show(row['principal'])} from {show(row['client_ip'])};"
            " it stands in the trail.",
            observed="a word of an error text or path whose SHA-256 sum is that of a planted value",
            expected="nobody knows the value but whoever read it where it was planted",
            next_step="Whoever used it has read the place it was planted in. Revoke the tokens of this client and find"
            " the read of the planted secret before (view operations, by secret).",
            principal=row["principal"],
            **said_of(row),
        )

    def _shaped(self, row: dict[str, Any], name: str) -> Found:
        return Found(
            key=f"form|{name}|{row['principal']}|{row['path']}|{_day(row)}",
            severity="medium",
            confidence=0.7,
            score=0.5,
            message=f"The error that {show(row['principal'])} got on {_safe(row['path'])} holds a {name} in clear.",
            observed=f"the form of a {name} in an error text",
            expected="error texts without credentials: the device does not hash them",
            next_step="Rotate it: whoever reads logs has it. Then fix the client or plug-in that put it there.",
            principal=row["principal"],
            **said_of(row),
        )

    def snapshot(self) -> Frames:
        """Frame told: keys, oldest first."""
        return {"told": pl.DataFrame({"key": list(self._told)}, schema={"key": pl.String})}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._told = dict.fromkeys(frames["told"]["key"])


def _words(text: str) -> Iterator[str]:
    """Words as they stand, and the segments of paths."""
    for word in _WORDS.findall(text):
        yield word
        yield from word.split("/")


def _sum(word: str) -> str:
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()


def _day(row: dict[str, Any]) -> str:
    return f"{row['time'] or row['complete_time']:%Y-%m-%d}"


def _safe(path: str | None) -> str:
    """A path without what has the form of a credential."""
    masked = re.sub(_ANY, "…", path or "")
    return str(pl.select(shown(pl.lit(masked))).item())


def create(config: Config) -> LeakEcho:
    """The detector, with nothing remembered."""
    return LeakEcho(config)
