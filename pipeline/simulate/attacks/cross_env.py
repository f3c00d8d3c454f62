"""A developer's identity reads production secrets of another team, at work, from the usual place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    import numpy as np

    from pipeline.simulate.stage import Stage

LEVELS = {"easy": 4, "medium": 3, "hard": 2, "near": 1}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Within an hour of the session."""
    start = stage.moment(HOUR, hours=(10, 16), workday=True)
    developer = stage.estate.principals["env"] > 0
    principal = stage.someone(Role.HUMAN, where=developer)
    token = stage.token(principal, start, HOUR)
    loot = stage.foreign(principal, LEVELS[stage.difficulty])
    stage.act(token, stage.spread(start, HOUR, len(loot)), Action.READ, loot)
    return principal, loot
