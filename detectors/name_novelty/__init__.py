"""Certificates in a name that is not the requester's; log-ins with many roles, or one password. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from detectors._operation import by_hour
from detectors._window import Found, tell
from detectors.name_novelty.certified import Certified
from detectors.name_novelty.one_password import OnePassword
from detectors.name_novelty.tried import Tried
from pipeline.core.model import DetectorInfo

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="name_novelty",
    version="1",
    title="Certificate in a strange name",
    family="name",
    summary="certificates and signed keys in strange names; log-ins tried with many roles, or with one password",
    techniques=("T1649", "T1078", "T1110.003"),
    measures=("F3", "M4"),
    cadence="operation",
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name is told when its surprise (-log10 of a probability) reaches `surprise`.

    Who asked fewer than `least` times, or for fewer than `days` days, is not judged; where `together` principals of a
    mount come with new names in one hour, it is the mount that changed. `roles` refused roles or role ids from one
    address and hour, of which none ever let anybody of its network in, are told; so is one password refused for
    `accounts` accounts within three weeks. `keys` bounds each memory.
    """

    surprise: float = 3.5
    least: int = 10
    days: int = 3
    together: int = 4
    roles: int = 6
    accounts: int = 5
    keys: int = 500_000


class NameNovelty:
    """Remembers who asks for which names, as the audit device hashes them, and which roles let whom in from where.

    Of passwords it remembers for which accounts each was refused.

    Each operation is judged by what was known before its hour, and by what came before it in that hour.
    """

    info = INFO

    def __init__(self, config: Config) -> None:
        self._certified = Certified(config.surprise, config.least, config.days, config.together, config.keys)
        self._tried = Tried(config.roles, config.keys)
        self._passwords = OnePassword(config.accounts)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        named = (pl.col("asked_for").list.len() > 0).fill_null(value=False)
        rows = window.operations.filter(named)
        found: list[Found] = []
        for hour, part in by_hour(rows.with_columns(time=pl.coalesce("time", "complete_time"))):
            found += self._certified.inspect(part, hour) + self._tried.inspect(part, hour)
            found += self._passwords.inspect(part, hour)
        return tell(self.info, window, found)

    def snapshot(self) -> Frames:
        """The frames of the three judges."""
        return {**self._certified.snapshot(), **self._tried.snapshot(), **self._passwords.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._certified.restore(frames)
        self._tried.restore(frames)
        self._passwords.restore(frames)


def create(config: Config) -> NameNovelty:
    """The detector, with nothing remembered."""
    return NameNovelty(config)
