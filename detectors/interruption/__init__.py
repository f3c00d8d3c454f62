"""A store that was busy, fell silent for minutes and came back: seal, step-down, restart. See README.md."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import polars as pl

from detectors import _tails
from detectors._text import figure, show
from detectors._window import Found, tell
from detectors.interruption.minutes import WAVE, Pause, Store, packed, unpacked
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="interruption",
    version="1",
    title="Store was interrupted",
    family="silence",
    summary="minutes without any operation in a busy store, and the log-ins that follow",
    techniques=("T1489",),
    measures=("F4", "M1"),
    cadence="operation",
)
_MINUTE_US: Final = 60_000_000
_LOGIN: Final = (
    (pl.col("operation") == "auth") & (pl.col("outcome") == "success") & (pl.col("mount") != "auth/token/")
).fill_null(value=False)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`p` is the probability of a silence below which it is told, from `least` minutes on and up to `most`.

    `logins` in the ten minutes after it, and `times` the usual number, are a wave. Of more than `stores` those that
    spoke last are remembered.
    """

    p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-6
    least: int = 2
    most: int = 120
    logins: int = 10
    times: float = 3.0
    stores: int = 256


class Interruption:
    """Remembers the last hour of each store minute by minute, and at which hours it is used to pause."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stores: dict[str, Store] = {}

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        if window.operations.is_empty():
            return empty(FINDING)
        minute = pl.col("complete_time").dt.timestamp("us") // _MINUTE_US
        counts = (
            window.operations.group_by("store", minute.alias("minute"))
            .agg(pl.len().alias("n"), _LOGIN.sum().alias("logins"))
            .sort("minute", "store")
        )
        found = []
        for name, at, n, logins in counts.iter_rows():
            store = self._stores.setdefault(name, Store())
            ended = store.step(at, n, logins, self._config.p, self._config.least)
            if ended is not None and ended.end - ended.start <= self._config.most:
                found.append(self._found(name, ended))
        self._forget()
        return tell(self.info, window, found)

    def _forget(self) -> None:
        if len(self._stores) > self._config.stores:
            newest = sorted(self._stores, key=lambda name: (-self._stores[name].minute, name))
            self._stores = {name: self._stores[name] for name in newest[: self._config.stores]}

    def _found(self, name: str, pause: Pause) -> Found:
        minutes, since = pause.end - pause.start, _moment(pause.start)
        wave = pause.entered >= max(self._config.logins, self._config.times * pause.usual)
        after = f", then {pause.entered} log-ins in {WAVE} minutes" if wave else ""
        return Found(
            key=f"{name}:{pause.start}",
            title="Store was interrupted, then many logged in anew" if wave else None,
            severity="medium" if wave else "low",
            confidence=0.75 if wave else 0.5,
            score=_tails.score(pause.surprise),
            message=f"{show(name)} answered nothing for {minutes} minutes from {since:%Y-%m-%d %H:%M} UTC on{after}.",
            observed=f"no operation in {minutes} minutes, {pause.entered} log-ins in the {WAVE} minutes after",
            expected=f"{figure(pause.expected)} operations, {figure(pause.usual)} log-ins",
            next_step="Seal, unseal, step-down and restart leave no entry in Vault's trail: look for them in the log of"
            " the server, and for the change that asked for it. If the store worked meanwhile, its trail was cut off:"
            " treat these minutes as unobserved.",
            evidence=[],
            time=since,
            ready=_moment(pause.end + WAVE),
            store=name,
        )

    def snapshot(self) -> Frames:
        """Frame stores: one row each."""
        return {"stores": packed(self._stores)}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._stores = unpacked(frames["stores"])


def _moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def create(config: Config) -> Interruption:
    """The detector, with nothing remembered."""
    return Interruption(config)
