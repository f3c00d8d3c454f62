"""A service's valid token reads many secrets that are not its own, from where the service always is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import MINUTE

if TYPE_CHECKING:
    import numpy as np

    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """How many secrets in how many minutes, and how many are refused."""

    secrets: int
    minutes: int
    refused: float


LEVELS = {
    "easy": Level(120, 5, 0.2),
    "medium": Level(60, 20, 0.2),
    "hard": Level(25, 60, 0.2),
    "near": Level(8, 60, 0.0),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Read them in any order, at uneven pace."""
    level = LEVELS[stage.difficulty]
    length = level.minutes * MINUTE
    start = stage.moment(length)
    principal = stage.someone(Role.POD, Role.MACHINE)
    token = stage.token(principal, start, length)
    loot = stage.foreign(principal, level.secrets)
    stage.act(
        token,
        stage.spread(start, length, len(loot)),
        Action.READ,
        loot,
        outcome=stage.outcomes(len(loot), level.refused),
    )
    return principal, loot
