"""Versions are destroyed, or secrets deleted with all that is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {
    "easy": (30, True),
    "medium": (12, True),
    "hard": (3, False),
    "near": (1, False),
}  # secrets, beyond the own team


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Those that nobody reads, so that what others see of them stays true."""
    count, anywhere = LEVELS[stage.difficulty]
    start = stage.moment(30 * MINUTE, hours=(7, 22))
    principal = stage.someone(Role.HUMAN, Role.ADMIN)
    token = stage.token(principal, start, 30 * MINUTE)
    team = int(stage.estate.principals["team"][principal])
    used = np.unique(stage.estate.edge_object)
    idle = np.setdiff1d(stage.estate.secrets, used)
    mine = idle[[anywhere or stage.estate.object_team[i] == team for i in idle.tolist()]] if len(idle) else idle
    pool = mine if len(mine) >= count else idle
    loot = (
        stage.rng.choice(pool, min(count, len(pool)), replace=False) if len(pool) else stage.foreign(principal, count)
    )
    for what, at in zip(loot.tolist(), stage.spread(start, 20 * MINUTE, len(loot)).tolist(), strict=True):
        stage.act(token, at, Action.DESTROY if stage.rng.random() < 0.5 else Action.META_DELETE, what)
    return principal, loot
