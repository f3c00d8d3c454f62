"""Tokens made to outlive or outnumber what is usual, and wrapped secrets opened on their way. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import polars as pl

from detectors._window import Found, tell
from detectors.token_lifecycle import issued
from detectors.token_lifecycle.farm import ENDS, MAKES, Farm
from detectors.token_lifecycle.life import Life
from detectors.token_lifecycle.outlived import Outlived
from detectors.token_lifecycle.own_use import OwnUse
from detectors.token_lifecycle.wrapping import Wrapping
from pipeline.core.model import DetectorInfo

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="token_lifecycle",
    version="1",
    title="Token made to live long",
    family="token",
    summary="lives against the role's norm, tokens made or revoked in numbers or used when revoked, wraps, own log-ins",
    techniques=("T1550.001", "T1098.001", "T1136", "T1528", "T1531"),
    measures=("F1", "F3", "F4"),
    cadence="operation",
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time to live is told when it is `factor` times the longest its role had and `life_surprise` odd for its kind.

    `children` tokens made, or `revoked` revocations of others' tokens and leases, by one principal within an hour are
    told when a count like that has a mid-p value below `p` in its own past. `together` principals of a mount with
    longer lives in one hour: the mount was tuned. A wrapped secret opened in a strange network is told from
    `wrap_surprise` on. `keys` bounds the memory of roles, 32 bytes each.
    """

    factor: float = 4.0
    life_surprise: float = 4.0
    children: int = 5
    revoked: int = 8
    p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-4
    together: int = 4
    wrap_surprise: float = 3.0
    keys: int = 200_000


class TokenLifecycle:
    """Remembers per role how long its tokens live and how many are made, and where wrapped secrets are opened.

    Each operation is judged by what was known before its hour, and by what came before it in the last hour.
    """

    info = INFO

    def __init__(self, config: Config) -> None:
        self._life = Life(config.factor, config.life_surprise, config.together, config.keys)
        self._farm = Farm(MAKES, config.children, config.p, config.keys)
        self._cull = Farm(ENDS, config.revoked, config.p, config.keys)
        self._wrapping = Wrapping(config.wrap_surprise, config.keys)
        self._outlived = Outlived()
        self._own_use = OwnUse(config.keys)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        found: list[Found] = self._outlived.inspect(window.operations) + self._own_use.inspect(window.operations)
        rows = issued.of(window.operations)
        if rows.is_empty():
            return tell(self.info, window, found)
        for (hour,), part in rows.partition_by("hour", as_dict=True, maintain_order=True).items():
            for judge in (self._life, self._farm, self._cull, self._wrapping):
                found += judge.inspect(part, int(hour))
        return tell(self.info, window, found)

    def snapshot(self) -> Frames:
        """The frames of the six judges."""
        return {name: frame for judge in self._judges() for name, frame in judge.snapshot().items()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        for judge in self._judges():
            judge.restore(frames)

    def _judges(self) -> tuple[Life, Farm, Farm, Wrapping, Outlived, OwnUse]:
        return self._life, self._farm, self._cull, self._wrapping, self._outlived, self._own_use


def create(config: Config) -> TokenLifecycle:
    """The detector, with nothing remembered."""
    return TokenLifecycle(config)
