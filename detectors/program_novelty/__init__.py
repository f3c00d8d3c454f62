"""A principal, or one of its tokens, used by a program that it never used. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from detectors._operation import by_hour
from detectors._people import somebody
from detectors._window import Found, tell
from detectors.program_novelty.agents import PROGRAM
from detectors.program_novelty.passed import Passed
from detectors.program_novelty.programs import Programs
from pipeline.core.model import DetectorInfo

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="program_novelty",
    version="1",
    title="Used by a program new to it",
    family="program",
    summary="programs (user agents) new to a principal, and tokens that a second program uses",
    techniques=("T1078", "T1550.001"),
    measures=("F3",),
    cadence="operation",
)
_BY: Final = ("principal", "session", "user_agent")
_ASKED: Final = (
    "uid", "time", "complete_time", "store", "principal", "principal_type", "session", "user_agent", "client_ip",
    "operation", "secret", "path",
)  # fmt: skip


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program is told when its surprise (-log10 of a probability) reaches `surprise`, a token that a second program
    uses when that reaches `passed_on`.

    Principals that were there on fewer than `days` days are not judged; in the first `settle_hours` nobody is. What
    `together` others of its kind came new to of late is a release. `keys` bounds each memory.
    """

    surprise: float = 4.0
    passed_on: float = 3.0
    days: int = 3
    settle_hours: int = 72
    together: int = 3
    keys: int = 500_000


class ProgramNovelty:
    """Remembers which programs each principal and each token was used by, as the requests say themselves.

    Each operation is judged by what was known before its hour, and by what came before it in that hour.
    """

    info = INFO

    def __init__(self, config: Config) -> None:
        self._programs = Programs(config.surprise, config.days, config.settle_hours, config.together, config.keys)
        self._passed = Passed(config.passed_on, config.settle_hours, config.together, config.keys)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        rows = self._from_the_first(window.operations.filter(_USED).select(_ASKED))
        found: list[Found] = []
        for hour, part in by_hour(rows):
            uses = part.unique(_BY, keep="first", maintain_order=True).with_columns(program=PROGRAM)
            found += self._passed.inspect(uses, hour) + self._programs.inspect(uses, hour)
        return tell(self.info, window, found)

    def _from_the_first(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows from the first on that told its program: a store that logs none has nothing to judge."""
        rows = rows.with_columns(pl.col("user_agent").fill_null(""))
        if self._programs.begun:
            return rows
        rows = rows.sort("complete_time", "uid")
        named = (rows["user_agent"] != "").arg_true()
        return rows[int(named[0]) :] if len(named) else rows.clear()

    def snapshot(self) -> Frames:
        """The frames of both."""
        return {**self._programs.snapshot(), **self._passed.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._programs.restore(frames)
        self._passed.restore(frames)


_USED: Final = ((pl.col("outcome") == "success") & (pl.col("operation") != "auth") & somebody()).fill_null(value=False)


def create(config: Config) -> ProgramNovelty:
    """The detector, with nothing remembered."""
    return ProgramNovelty(config)
